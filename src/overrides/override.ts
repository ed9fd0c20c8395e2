/**
 * What somebody set by hand for a while, over the configuration: weights of a row, or a drain. Each is a record that is
 * either active or ended and never anything else afterwards, so that replicas agree by putting their records together in
 * any order. Pure.
 */
import { z } from 'zod';

export const MAX_REASON = 200;
export const MAX_BY = 64;

/** Active ones at once, and records kept until their time has passed. */
export const MAX_ACTIVE = 100;
export const MAX_RECORDS = 400;

/** Shortest and longest time, milliseconds. */
export const MIN_DURATION_MS = 1_000;
export const MAX_DURATION_MS = 30 * 86_400_000;

const name = z.string().min(1).max(63);

const target = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('split'),
    route: name,
    /** As given; backends that are not named keep the weight of the file. */
    weights: z
      .record(name, z.int().min(0).max(1_000_000))
      .refine((weights) => Object.keys(weights).length <= 100, 'names too many backends'),
  }),
  z.strictObject({
    kind: z.literal('drain'),
    backend: name,
    /** `address:port`; absent: all of the backend. */
    endpoint: z.string().min(3).max(64).optional(),
  }),
]);

export type OverrideTarget = z.output<typeof target>;

export const overrideSchema = z.strictObject({
  id: z.string().regex(/^[a-z0-9]{6,32}$/),
  target,
  reason: z.string().min(1).max(MAX_REASON),
  by: z.string().min(1).max(MAX_BY),
  /** Epoch milliseconds, as is all below. */
  createdAt: z.number().positive(),
  until: z.number().positive(),
  /** Somebody ended it before its time. */
  endedAt: z.number().positive().optional(),
});

export type Override = Readonly<z.output<typeof overrideSchema>>;

/** What two overrides must not share: the later one takes the place of the earlier. */
export function targetKey(target: OverrideTarget): string {
  return target.kind === 'split'
    ? `split ${target.route}`
    : `drain ${target.backend}${target.endpoint === undefined ? '' : ` ${target.endpoint}`}`;
}

/** `free: canary 0` */
export function describeTarget(target: OverrideTarget): string {
  if (target.kind === 'split') {
    const weights = Object.entries(target.weights).map(([backend, weight]) => `${backend} ${weight}`);
    return `split of ${target.route}: ${weights.join(', ')}`;
  }
  return target.endpoint === undefined
    ? `drain of ${target.backend}`
    : `drain of ${target.endpoint} of ${target.backend}`;
}

/** By id. Ended counts over active: whoever ended it knew of it. */
export type Records = ReadonlyMap<string, Override>;

/** All of both, without those whose time has passed. Associative, commutative and idempotent for equal `now`. */
export function mergeRecords(a: Iterable<Override>, b: Iterable<Override>, now: number): Records {
  const merged = new Map<string, Override>();
  for (const list of [a, b]) {
    for (const record of list) {
      if (record.until <= now) continue;
      const known = merged.get(record.id);
      merged.set(record.id, known === undefined ? record : earlierEnd(known, record));
    }
  }
  if (merged.size <= MAX_RECORDS) return merged;
  // Ended ones first, then the oldest: what holds longest and was said last is kept.
  const kept = [...merged.values()].sort(byWorth).slice(0, MAX_RECORDS);
  return new Map(kept.map((record) => [record.id, record]));
}

function earlierEnd(a: Override, b: Override): Override {
  if (a.endedAt === undefined) return b;
  return b.endedAt === undefined || a.endedAt <= b.endedAt ? a : b;
}

function byWorth(a: Override, b: Override): number {
  const ended = Number(a.endedAt !== undefined) - Number(b.endedAt !== undefined);
  return ended !== 0 ? ended : b.createdAt - a.createdAt || (a.id < b.id ? -1 : 1);
}

/** Those that hold now, one for each target: the latest. In the order in which they were made. */
export function activeOverrides(records: Records, now: number): Override[] {
  const latest = new Map<string, Override>();
  for (const record of records.values()) {
    if (record.endedAt !== undefined || record.until <= now) continue;
    const key = targetKey(record.target);
    const known = latest.get(key);
    if (known === undefined || isLater(record, known)) latest.set(key, record);
  }
  return [...latest.values()].sort((a, b) => (isLater(a, b) ? 1 : -1));
}

function isLater(a: Override, b: Override): boolean {
  return a.createdAt > b.createdAt || (a.createdAt === b.createdAt && a.id > b.id);
}

/** When the next one ends by itself; undefined when none does. */
export function nextEnd(records: Records, now: number): number | undefined {
  let next: number | undefined;
  for (const { until, endedAt } of records.values()) {
    if (endedAt === undefined && until > now && (next === undefined || until < next)) next = until;
  }
  return next;
}
