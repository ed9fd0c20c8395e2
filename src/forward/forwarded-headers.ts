/**
 * The headers that tell the upstream where a request came from: the request id, X-Forwarded-For, X-Forwarded-Proto,
 * X-Forwarded-Host, Forwarded (RFC 7239) and Via (RFC 9110, 7.6.3). Both readers of request heads use this module.
 */

import { newRequestId } from '../http/request-id.ts';
import type { Peer } from './peer.ts';
import type { ForwardPolicy } from './policy.ts';

/** Roles of the headers that a trusted peer may send, and that Pointsman writes itself. */
export type ForwardedRole = 'requestId' | 'xForwardedFor' | 'xForwardedProto' | 'xForwardedHost';

const REQUEST_ID = /^[\x21-\x7e]{1,128}$/;

/** A list without elements, which a recipient ignores (RFC 9110, 5.6.1). */
const EMPTY_LIST = /^[\t ,]*$/;

/**
 * Use: `clear`, then `take` for each such header of a trusted peer, `complete`, and `lines` or `appendTo`. Readers
 * share one instance, which serves one head at a time and allocates nothing.
 */
export class ForwardedHeaders {
  /** Id from a trusted peer, or a new one after `complete`. */
  requestId = '';
  /** Addresses that a trusted peer sent, of all lines; undefined if there are none. */
  receivedFor: string | undefined = undefined;
  #proto = '';
  #host = '';
  #for = '';
  #forwarded = '';
  #policy: ForwardPolicy | undefined = undefined;

  clear(): void {
    this.requestId = '';
    this.receivedFor = undefined;
    this.#proto = '';
    this.#host = '';
  }

  /** Notes a header of a trusted peer. An empty value counts as absent. */
  take(role: ForwardedRole, value: string): void {
    switch (role) {
      case 'requestId':
        // Another form could break a log line.
        if (this.requestId === '' && REQUEST_ID.test(value)) this.requestId = value;
        break;
      case 'xForwardedFor':
        this.receivedFor = withForwardedFor(this.receivedFor, value);
        break;
      case 'xForwardedProto':
        if (this.#proto === '') this.#proto = value;
        break;
      case 'xForwardedHost':
        if (this.#host === '') this.#host = value;
        break;
    }
  }

  /** @param host value of Host; '' if the request has none */
  complete(policy: ForwardPolicy, peer: Peer, host: string): void {
    this.#policy = policy;
    if (this.requestId === '') this.requestId = newRequestId();
    if (policy.xForwarded) {
      const { receivedFor } = this;
      this.#for = receivedFor === undefined ? peer.address : `${receivedFor}, ${peer.address}`;
      if (this.#proto === '') this.#proto = 'http';
      if (this.#host === '') this.#host = host;
    }
    this.#forwarded = policy.forwarded ? forwardedElement(peer.address, host) : '';
  }

  /** Returns the headers as lines of a head. */
  lines(): string {
    const policy = this.#policy!;
    let lines = `${policy.requestIdStart}${this.requestId}\r\n`;
    if (policy.xForwarded) {
      lines += `X-Forwarded-For: ${this.#for}\r\nX-Forwarded-Proto: ${this.#proto}\r\n`;
      if (this.#host !== '') lines += `X-Forwarded-Host: ${this.#host}\r\n`;
    }
    if (this.#forwarded !== '') lines += `Forwarded: ${this.#forwarded}\r\n`;
    return lines + policy.viaLine;
  }

  /** Appends the headers to a flat list of names and values. */
  appendTo(headers: string[]): void {
    const policy = this.#policy!;
    headers.push(policy.requestIdField, this.requestId);
    if (policy.xForwarded) {
      headers.push('X-Forwarded-For', this.#for, 'X-Forwarded-Proto', this.#proto);
      if (this.#host !== '') headers.push('X-Forwarded-Host', this.#host);
    }
    if (this.#forwarded !== '') headers.push('Forwarded', this.#forwarded);
    if (policy.via !== undefined) headers.push('Via', policy.via);
  }
}

/**
 * Joins a line of X-Forwarded-For to the lines before it. Pure.
 *
 * @param before undefined if there was none
 */
export function withForwardedFor(before: string | undefined, line: string): string | undefined {
  if (EMPTY_LIST.test(line)) return before;
  return before === undefined ? line : `${before}, ${line}`;
}

/** Returns one element of Forwarded (RFC 7239, 4). IPv6 addresses and ports need quotes. */
function forwardedElement(address: string, host: string): string {
  const by = address.includes(':') ? `for="[${address}]"` : `for=${address}`;
  const named = host === '' ? '' : `;host="${host.replace(/["\\]/g, '')}"`;
  return `${by}${named};proto=http`;
}
