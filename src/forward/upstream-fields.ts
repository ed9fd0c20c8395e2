/** The request head for the upstream: what the downstream read, and what the route, propagation and tracing change. */

import { fieldLines, fieldList } from '../http/field-lines.ts';
import { applyHeaderRules } from '../http/header-rules.ts';
import { propagatedFields } from '../propagation/propagate.ts';
import type { TracedRequest } from '../tracing/tracing.ts';
import type { Peer } from './peer.ts';
import type { ClientRequest } from './request-description.ts';
import { ruleContext } from './rule-context.ts';
import type { LiveRoute, Snapshot } from './snapshot.ts';

/** A request on its way to an upstream. */
export interface Dispatched {
  readonly snapshot: Snapshot;
  readonly live: LiveRoute;
  /** Index in the split of the backend that serves. */
  readonly index: number;
  readonly request: ClientRequest;
  readonly peer: Peer;
  /** 0–9999; -1: none. */
  readonly bucket: number;
  readonly trace: TracedRequest | undefined;
}

/** Returns the request line and the header lines for the upstream, Latin-1, without the empty line at the end. */
export function upstreamText(dispatched: Dispatched): string {
  const { upstreamHead, facts } = dispatched.request;
  if (upstreamHead === undefined) {
    return `${facts.method} ${facts.path} HTTP/1.1\r\n${fieldLines(upstreamList(dispatched))}`;
  }
  let head = upstreamHead;
  if (dispatched.snapshot.policy.propagation !== undefined) head += fieldLines(decisionHeaders(dispatched));
  if (!changes(dispatched)) return head;
  const line = head.slice(0, head.indexOf('\r\n') + 2);
  return line + fieldLines(changed(hostFirst(fieldList(head)), dispatched));
}

/** Returns the headers for the upstream, names and values in turn; Host comes first. */
export function upstreamList(dispatched: Dispatched): string[] {
  const { upstreamHeaders, upstreamHead } = dispatched.request;
  const headers = upstreamHeaders ?? hostFirst(fieldList(upstreamHead!));
  const decision = decisionHeaders(dispatched);
  const all = decision.length === 0 ? headers : [...headers, ...decision];
  return changes(dispatched) ? changed(all, dispatched) : all;
}

/** Returns the headers that describe the decision to upstreams: names and values in turn. */
function decisionHeaders({ snapshot, live, request, bucket }: Dispatched): readonly string[] {
  const { propagation } = snapshot.policy;
  return propagation === undefined
    ? NO_FIELDS
    : propagatedFields(propagation, request.baggage, live.route.name, bucket);
}

/** True if rules or tracing change headers; they rarely do, and then no list of headers is made. */
function changes({ live, trace }: Dispatched): boolean {
  return live.requestRules !== undefined || trace !== undefined;
}

function changed(headers: string[], dispatched: Dispatched): string[] {
  const { snapshot, live, index, request, peer, trace } = dispatched;
  let list = headers;
  if (live.requestRules !== undefined) {
    list = applyHeaderRules(live.requestRules, list, ruleContext(snapshot, live, index, request, peer));
  }
  return trace === undefined ? list : traced(list, trace);
}

/** Header rules expect Host in front. */
function hostFirst(headers: string[]): string[] {
  const at = headers.findIndex((name, i) => i % 2 === 0 && name.toLowerCase() === 'host');
  return at <= 0 ? headers : [...headers.splice(at, 2), ...headers];
}

const NO_FIELDS: readonly string[] = [];

/** The trace's state belongs to the trace: it goes on only where that does. */
function traced(headers: readonly string[], { traceparent, continued }: TracedRequest): string[] {
  const fields: string[] = [];
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]!.toLowerCase();
    if (name === 'traceparent' || (name === 'tracestate' && !continued)) continue;
    fields.push(headers[i]!, headers[i + 1]!);
  }
  fields.push('traceparent', traceparent);
  return fields;
}

/** The value of `traceparent`; undefined when there is none, or several. */
export function receivedTrace(rawHeaders: readonly string[]): string | undefined {
  let found: string | undefined;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]!.toLowerCase() !== 'traceparent') continue;
    if (found !== undefined) return undefined;
    found = rawHeaders[i + 1]!;
  }
  return found;
}
