/** Which users a changed row moves. Pure. */
import { BUCKETS, type BucketLayout } from '../routing/bucket.ts';
import { decide } from '../routing/decide.ts';
import type { Route } from '../routing/route.ts';
import { everyBackend } from '../routing/split.ts';

/** Users that a decision is asked for where buckets alone do not say it; always the same ones. */
export const SAMPLE = 100_000;

/** First and last bucket. */
export type Span = readonly [number, number];

export interface Flow {
  readonly from: string;
  readonly to: string;
  /** Of 10,000; a whole number when exact. */
  readonly buckets: number;
  /** Undefined when sampled. */
  readonly spans: readonly Span[] | undefined;
}

export interface UserMoves {
  /** `exact`: every bucket was asked; `sampled`: so many users were, since more than their bucket counts. */
  readonly kind: 'exact' | 'sampled';
  readonly flows: readonly Flow[];
  /** Of 10,000. */
  readonly moved: number;
}

/** Of users whom nobody remembers. Both rows have a pin. */
export function userMoves(before: Route, after: Route): UserMoves {
  const exact =
    before.pin!.salt === after.pin!.salt &&
    before.split.layout.kind === 'ranges' &&
    after.split.layout.kind === 'ranges';
  return exact ? movesOfBuckets(before, after) : movesOfSample(before, after);
}

/** Name of the backend that a bucket belongs to; undefined where rendezvous decides. */
export function backendOfBucket(
  names: readonly string[],
  layout: BucketLayout,
  bucket: number,
): string | undefined {
  if (layout.kind !== 'ranges') return undefined;
  const range = layout.ranges.find(({ from, to }) => bucket >= from && bucket < to);
  return range === undefined ? undefined : names[range.index];
}

function movesOfBuckets(before: Route, after: Route): UserMoves {
  const flows = new Map<string, { from: string; to: string; buckets: number; spans: [number, number][] }>();
  let moved = 0;
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    const from = backendOfBucket(before.split.names, before.split.layout, bucket);
    const to = backendOfBucket(after.split.names, after.split.layout, bucket);
    if (from === undefined || to === undefined || from === to) continue;
    moved++;
    const key = JSON.stringify([from, to]);
    let flow = flows.get(key);
    if (flow === undefined) {
      flow = { from, to, buckets: 0, spans: [] };
      flows.set(key, flow);
    }
    flow.buckets++;
    const last = flow.spans.at(-1);
    if (last !== undefined && last[1] === bucket - 1) last[1] = bucket;
    else flow.spans.push([bucket, bucket]);
  }
  return { kind: 'exact', flows: largestFirst([...flows.values()]), moved };
}

function movesOfSample(before: Route, after: Route): UserMoves {
  const counts = new Map<string, { from: string; to: string; users: number }>();
  let moved = 0;
  for (let i = 0; i < SAMPLE; i++) {
    const user = `sample-${i}`;
    const from = nameOf(before, user);
    const to = nameOf(after, user);
    if (from === to || from === undefined || to === undefined) continue;
    moved++;
    const key = JSON.stringify([from, to]);
    const known = counts.get(key);
    if (known === undefined) counts.set(key, { from, to, users: 1 });
    else known.users++;
  }
  const flows = [...counts.values()].map(({ from, to, users }) => ({
    from,
    to,
    buckets: (users / SAMPLE) * BUCKETS,
    spans: undefined,
  }));
  return { kind: 'sampled', flows: largestFirst(flows), moved: (moved / SAMPLE) * BUCKETS };
}

function nameOf(route: Route, user: string): string | undefined {
  return route.split.names[decide(route, user, undefined, everyBackend, undefined).index];
}

function largestFirst(flows: readonly Flow[]): Flow[] {
  return [...flows].sort((a, b) => b.buckets - a.buckets);
}
