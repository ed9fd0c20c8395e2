/** What the fields of a request become on the way to the upstream: by the row's rules, propagation and tracing. */
import { propagatedFields } from '../propagation/propagate.ts';
import type { TracedRequest } from '../tracing/tracing.ts';
import type { RequestDescription } from './access-record.ts';
import type { LiveRoute, Snapshot } from './forwarder.ts';
import { applyHeaderRules, ruleContext } from './header-rules.ts';
import type { Peer } from './peer.ts';

/** A request that is on its way. */
export interface Dispatched {
  readonly snapshot: Snapshot;
  readonly live: LiveRoute;
  /** In the split, of the backend that serves. */
  readonly index: number;
  readonly request: RequestDescription;
  readonly peer: Peer;
  /** 0–9999; -1: it has none. */
  readonly bucket: number;
  readonly trace: TracedRequest | undefined;
}

/** What services behind are told of the decision: names and values in turn. */
export function decisionFields({ snapshot, live, request, bucket }: Dispatched): readonly string[] {
  const { propagation } = snapshot.policy;
  return propagation === undefined
    ? NO_FIELDS
    : propagatedFields(propagation, request.baggage, live.route.name, bucket);
}

/** Whether fields are to be changed besides; they nearly never are, and then no list of them is made. */
export function changesFields({ requestRules }: LiveRoute, trace: TracedRequest | undefined): boolean {
  return requestRules !== undefined || trace !== undefined;
}

/** By the row's rules and tracing. @param headers names and values in turn, Host in front */
export function changedFields(headers: string[], dispatched: Dispatched): string[] {
  const { snapshot, live, index, request, peer, trace } = dispatched;
  let fields = headers;
  if (live.requestRules !== undefined) {
    fields = applyHeaderRules(live.requestRules, fields, ruleContext(snapshot, live, index, request, peer));
  }
  if (trace !== undefined) fields = traced(fields, trace);
  return fields;
}

/** All of it. @param headers names and values in turn, Host in front; @returns the same list where nothing changes */
export function upstreamFields(headers: string[], dispatched: Dispatched): string[] {
  const told = decisionFields(dispatched);
  return changedFields(told.length === 0 ? headers : [...headers, ...told], dispatched);
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
