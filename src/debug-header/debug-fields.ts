/** Why a request went where it went, in the fields of its response, for who may ask. Pure. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { AccessRecord } from '../observe/access-log.ts';

/**
 * The field of a request that asks, in lower case. Its value is a secret: it is never passed on, asked for rightly or not.
 */
export const DEBUG_FIELD = 'x-pointsman-debug';

/** Longer ones are no token. */
const MAX_TOKEN = 1_024;

export class DebugGate {
  readonly #expected: Buffer | undefined;

  /** @param token undefined: only trusted peers may ask */
  constructor(token: string | undefined) {
    this.#expected = token === undefined ? undefined : sha256(token);
  }

  /**
   * @param value   of the field; any will do for a trusted peer
   * @param trusted the peer is in `trust.cidrs`
   */
  allows(value: string, trusted: boolean): boolean {
    if (trusted) return true;
    if (this.#expected === undefined || value.length > MAX_TOKEN) return false;
    // Hashes are of equal length: time tells nothing of the token.
    return timingSafeEqual(sha256(value.trim()), this.#expected);
  }
}

/** What of a record is told. Times in milliseconds, undefined where a phase was not reached. */
export type DebugFacts = Pick<
  AccessRecord,
  | 'route'
  | 'backend'
  | 'endpoint'
  | 'bucket'
  | 'pinned'
  | 'retries'
  | 'spilledFrom'
  | 'shieldedFrom'
  | 'headMs'
  | 'queueMs'
  | 'connectMs'
  | 'responseMs'
  | 'totalMs'
>;

/** Names and values in turn, of those that are known. */
export function debugFields(facts: DebugFacts): string[] {
  const fields: string[] = [];
  const add = (name: string, value: string | number | undefined) => {
    if (value !== undefined) fields.push(`X-Pointsman-${name}`, String(value));
  };
  add('Route', facts.route);
  add('Backend', facts.backend);
  add('Endpoint', facts.endpoint);
  add('Bucket', facts.bucket);
  // Where no user is named, or none counts, the weights decide.
  add('Decided-By', facts.pinned ?? 'weights');
  add('Spilled-From', facts.spilledFrom);
  add('Shielded-From', facts.shieldedFrom);
  add('Retries', facts.retries);
  const timing = serverTiming(facts);
  if (timing !== '') fields.push('Server-Timing', timing);
  return fields;
}

/** `queue;dur=0.1, connect;dur=0.8, upstream;dur=12, total;dur=13.2` (W3C Server Timing) */
function serverTiming({ headMs, queueMs, connectMs, responseMs, totalMs }: DebugFacts): string {
  const phases: [string, number | undefined][] = [
    ['head', headMs],
    ['queue', queueMs],
    ['connect', connectMs],
    ['upstream', responseMs],
    ['total', totalMs],
  ];
  return phases
    .filter(([, ms]) => ms !== undefined && ms >= 0)
    .map(([name, ms]) => `${name};dur=${Math.round(ms! * 1_000) / 1_000}`)
    .join(', ');
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
