/**
 * Reads the head of a request as `node:http` parsed it: refuses what llhttp lets pass and a proxy must not, takes the
 * facts that routing needs, and writes the fields for the upstream, all in one pass.
 */
import type { IncomingMessage } from 'node:http';
import { isHostValid } from '../http/host-field.ts';
import { clientAddress, withoutPort } from '../http/message-fields.ts';
import { trimBlanks } from '../routing/field-values.ts';
import { readGroup } from '../routing/group.ts';
import { ForwardedHeaders } from './forwarded-headers.ts';
import type { Peer } from './peer.ts';
import type { ForwardPolicy } from './policy.ts';
import type { FailureReason } from './reasons.ts';
import type { RequestDescription } from './request-description.ts';

export interface RequestHead extends RequestDescription {
  /** Flat list for the upstream. Host comes first; its value is '' when the client sent none (HTTP/1.0). */
  readonly upstreamHeaders: string[];
  readonly accept: string | undefined;
  readonly hasBody: boolean;
  /** Bytes; -1 when the body is chunked. */
  readonly contentLength: number;
  /** Why the request is refused, and what a person may want to know of it. */
  readonly refusal: FailureReason | undefined;
  readonly refusalDetail: string | undefined;
}

const NO_HEADERS: readonly string[] = [];

const MAX_CONTENT_LENGTH = 999_999_999_999_999;

/** Of the head that is being read. */
const forwarded = new ForwardedHeaders();

export function readRequestHead(req: IncomingMessage, policy: ForwardPolicy, peer: Peer): RequestHead {
  const raw = req.rawHeaders;
  const fields = policy.requestFields;
  const trusted = peer.trusted;
  const takesGroup = trusted || !policy.groupNeedsTrust;
  const nominated = fields.nominated(req.headers.connection);
  const headers: string[] = ['Host', ''];

  let refusal: FailureReason | undefined;
  let detail: string | undefined;
  let hidesGroup = false;
  let host: string | undefined;
  let transferEncoding: string | undefined;
  let contentLength = 0;
  let group: string | undefined;
  let moreGroups: string[] | undefined;
  let accept: string | undefined;
  let debug: string | undefined;
  let baggage: string | undefined;
  forwarded.clear();

  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!;
    const value = raw[i + 1]!;
    const role = fields.roleOf(name);
    switch (role) {
      case 'pass':
        if (nominated?.has(name.toLowerCase())) continue;
        break;
      case 'hopByHop':
      case 'expect':
      case 'connection':
      case 'upgrade':
        continue;
      case 'host':
        // RFC 9112, 3.2: refused even when they are equal.
        if (host !== undefined) {
          refusal = 'host_mismatch';
          detail = 'It has two Host fields.';
        } else if (!isHostValid(value)) {
          refusal = 'bad_request';
          detail = 'The Host field is not a host with an optional port.';
        }
        host = value;
        continue;
      case 'contentLength':
        contentLength = Number(value);
        // As the fast lane: a double holds this exactly, and others a few more digits not.
        if (contentLength > MAX_CONTENT_LENGTH) {
          refusal = 'body_too_large';
          detail = 'No more than 15 digits of Content-Length are understood.';
        }
        break;
      case 'transferEncoding':
        transferEncoding = transferEncoding === undefined ? value : `${transferEncoding}, ${value}`;
        continue;
      case 'group':
        if (!takesGroup) {
          hidesGroup = true;
          continue;
        }
        if (group === undefined) group = value;
        else {
          moreGroups ??= [group];
          moreGroups.push(value);
        }
        break;
      case 'requestId':
      case 'xForwardedFor':
      case 'xForwardedProto':
      case 'xForwardedHost':
        if (trusted) forwarded.take(role, value);
        continue;
      case 'debug':
        debug ??= value;
        continue;
      case 'decision':
      case 'alias':
        continue;
      case 'baggage':
        if (nominated?.has(name.toLowerCase())) continue;
        // Several lines of one list are one list (RFC 9110, 5.3).
        baggage = baggage === undefined ? value : `${baggage},${value}`;
        continue;
      case 'xForwardedOther':
      case 'forwarded':
        if (!trusted || value === '') continue;
        break;
      case 'accept':
        accept ??= value;
        break;
    }
    headers.push(name, value);
  }

  // `transfer-encoding` in any form but `chunked` cannot be forwarded: the coding would have to be undone first.
  if (transferEncoding !== undefined) {
    contentLength = -1;
    if (req.httpVersionMinor === 0 && req.httpVersionMajor === 1) {
      refusal = 'bad_request';
      detail = 'Transfer-Encoding has no meaning in HTTP/1.0.';
    } else if (transferEncoding.trim().toLowerCase() !== 'chunked') {
      refusal = 'unsupported_encoding';
    }
  }
  // llhttp takes `GET /path` without a version for HTTP/0.9.
  if (req.httpVersionMajor !== 1) {
    refusal = 'bad_request';
    detail = 'Only HTTP/1.0 and HTTP/1.1 are understood.';
  }

  if (host === undefined && req.httpVersionMinor === 1) {
    refusal ??= 'bad_request';
    detail ??= 'It has no Host field.';
  }

  const method = req.method ?? '';
  let path = req.url ?? '';
  if (path.charCodeAt(0) !== 0x2f) {
    const target = originForm(path, host, method);
    if (typeof target === 'string') path = target;
    else {
      refusal ??= target.refusal;
      detail ??= target.detail;
    }
  }
  if (path.includes('#')) {
    refusal ??= 'bad_request';
    detail ??= 'The request target has a fragment.';
  }

  if (!policy.methods.has(method)) refusal ??= 'method_not_allowed';

  headers[1] = host ?? '';
  forwarded.complete(policy, peer, host ?? '');
  forwarded.appendTo(headers);

  let groupValue = '';
  let groups: readonly string[] | undefined;
  if (group !== undefined) {
    if (moreGroups === undefined && !group.includes(','))
      groupValue = trimBlanks(group, 0, group.length).toLowerCase();
    else {
      const reading = readGroup(moreGroups ?? [group]);
      if (reading.kind === 'one') groupValue = reading.group;
      else if (reading.kind === 'several') {
        if (policy.ambiguousGroup === 'reject') refusal ??= 'ambiguous_group';
        else if (policy.ambiguousGroup === 'any') {
          groups = reading.groups;
          groupValue = reading.groups[0]!;
        } else dropGroup(headers, fields);
      }
    }
  }

  return {
    facts: {
      method,
      path,
      host: host === undefined || !policy.needsHost ? '' : withoutPort(host),
      group: groupValue,
      groups,
      rawHeaders: refusal !== undefined ? NO_HEADERS : hidesGroup ? withoutGroup(raw, fields) : raw,
      client: policy.needsClient
        ? clientAddress(peer.address, forwarded.receivedFor, policy.isTrusted)
        : peer.address,
    },
    upstreamHeaders: headers,
    requestId: forwarded.requestId,
    host,
    target: req.url ?? '',
    debug,
    baggage,
    protocol: `HTTP/${req.httpVersion}`,
    accept,
    hasBody: contentLength !== 0,
    contentLength,
    refusal,
    refusalDetail: detail,
  };
}

/** Absolute form (RFC 9112, 3.2.2) of the host that Host names → origin form; anything else is refused. */
function originForm(
  target: string,
  host: string | undefined,
  method: string,
): string | { refusal: FailureReason; detail: string } {
  if (target === '*' && method === 'OPTIONS') return target;
  const match = /^http:\/\/([^/?#]*)(.*)$/is.exec(target);
  if (match === null) {
    return { refusal: 'bad_request', detail: 'The request target must begin with /.' };
  }
  const authority = match[1]!;
  if (authority === '' || authority.includes('@') || host === undefined || !sameAuthority(authority, host)) {
    return { refusal: 'host_mismatch', detail: 'The request target names another host than the Host field.' };
  }
  const rest = match[2]!;
  return rest.startsWith('/') ? rest : `/${rest}`;
}

function sameAuthority(a: string, b: string): boolean {
  return a.toLowerCase().replace(/:80$/, '') === b.toLowerCase().replace(/:80$/, '');
}

/** Neither a match by fields nor a pin may read what an untrusted peer says of its group. */
function withoutGroup(raw: readonly string[], fields: ForwardPolicy['requestFields']): readonly string[] {
  return raw.filter((_, i) => fields.roleOf(raw[i - (i % 2)]!) !== 'group');
}

function dropGroup(headers: string[], fields: ForwardPolicy['requestFields']): void {
  for (let i = headers.length - 2; i >= 0; i -= 2) {
    if (fields.roleOf(headers[i]!) === 'group') headers.splice(i, 2);
  }
}
