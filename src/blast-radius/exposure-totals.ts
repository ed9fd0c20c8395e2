/** What all processes, and other replicas, saw of users: their sketches put together. */
import { createHash } from 'node:crypto';
import { type ExposureChange, MAX_CELLS, type Met, metKey, SLOTS, slotOf } from './exposure.ts';
import { decodeSketch, UserSketch } from './user-sketch.ts';

/** Different users of one backend of one row, and of one build there, in the last 24 to 28 hours; estimated. */
export interface ExposureReport extends Met {
  readonly exposed: number;
  /** Of these, those who met an error there. */
  readonly hurt: number;
}

/** All of one slot of a row, fit to be kept elsewhere. */
export interface ExposureRecord {
  /** Of the row. */
  readonly key: string;
  /** Equal for equal content. */
  readonly digest: string;
  readonly text: string;
}

interface Slot {
  readonly exposed: UserSketch;
  readonly hurt: UserSketch;
  record: ExposureRecord | undefined;
}

interface Row {
  readonly met: Met;
  readonly slots: Map<number, Slot>;
  /** Until something comes or goes: it is asked for every second while somebody watches. */
  report: ExposureReport | undefined;
}

/** Most slots of all rows together, 8 KiB each. A process fills fewer, builds of the last day come on top. */
const MAX_SLOTS = MAX_CELLS * SLOTS;

const MAX_NAME = 256;

export class ExposureTotals {
  readonly #rows = new Map<string, Row>();
  #held = 0;

  /** In any order, any number of times. What cannot be read, or is too old, is left out. */
  update(changes: Iterable<ExposureChange>, epochMs: number): void {
    const now = slotOf(epochMs);
    this.#forget(now);
    for (const change of changes) {
      // Clocks of replicas differ a little.
      if (change.slot <= now - SLOTS || change.slot > now + 1) continue;
      const exposed = decodeSketch(change.exposed);
      const hurt = change.hurt === '' ? undefined : decodeSketch(change.hurt);
      const slot = exposed && this.#slot(change, change.slot);
      if (slot === undefined) continue;
      const isNew = slot.exposed.merge(exposed!);
      const isWorse = hurt !== undefined && slot.hurt.merge(hurt);
      if (isNew || isWorse) this.#rows.get(metKey(change))!.report = undefined;
    }
  }

  /** Undefined when nobody was seen there. */
  report(met: Met): ExposureReport | undefined {
    const row = this.#rows.get(metKey(met));
    if (row === undefined) return undefined;
    row.report ??= reportOf(row);
    return row.report;
  }

  /** What is held of a slot, for other replicas. */
  records(slot: number): ExposureRecord[] {
    const records: ExposureRecord[] = [];
    for (const [key, { met, slots }] of this.#rows) {
      const held = slots.get(slot);
      if (held !== undefined) records.push(recordOf(key, met, held));
    }
    return records;
  }

  #slot(met: Met, number: number): Slot | undefined {
    const key = metKey(met);
    const found = this.#rows.get(key)?.slots.get(number);
    if (found !== undefined) return found;
    if (this.#held >= MAX_SLOTS && !this.#forgetOldest(number)) return undefined;
    let row = this.#rows.get(key);
    if (row === undefined) {
      const { route, backend, build } = met;
      row = { met: { route, backend, build }, slots: new Map(), report: undefined };
      this.#rows.set(key, row);
    }
    const slot = { exposed: new UserSketch(), hurt: new UserSketch(), record: undefined };
    row.slots.set(number, slot);
    this.#held++;
    return slot;
  }

  #forget(now: number): void {
    for (const [key, { slots }] of this.#rows) {
      for (const slot of slots.keys()) if (slot <= now - SLOTS) this.#drop(key, slot);
    }
  }

  /** False when nothing is older than that. */
  #forgetOldest(than: number): boolean {
    let oldest: { readonly key: string; readonly slot: number } | undefined;
    for (const [key, { slots }] of this.#rows) {
      for (const slot of slots.keys()) if (slot < (oldest?.slot ?? than)) oldest = { key, slot };
    }
    if (oldest === undefined) return false;
    this.#drop(oldest.key, oldest.slot);
    return true;
  }

  #drop(key: string, slot: number): void {
    const row = this.#rows.get(key)!;
    row.slots.delete(slot);
    row.report = undefined;
    this.#held--;
    if (row.slots.size === 0) this.#rows.delete(key);
  }
}

function reportOf({ met, slots }: Row): ExposureReport {
  const exposed = new UserSketch();
  const hurt = new UserSketch();
  for (const slot of slots.values()) {
    exposed.merge(slot.exposed);
    hurt.merge(slot.hurt);
  }
  const users = exposed.estimate();
  // Both are estimates, but who was hurt was there.
  return { ...met, exposed: users, hurt: Math.min(users, hurt.estimate()) };
}

/** Made anew only when something came to it. */
function recordOf(key: string, { route, backend, build }: Met, slot: Slot): ExposureRecord {
  const { exposed, hurt } = slot;
  if (slot.record === undefined || exposed.changed || hurt.changed) {
    exposed.changed = false;
    hurt.changed = false;
    const text = JSON.stringify([route, backend, build, exposed.encode(), hurt.encode()]);
    slot.record = { key, digest: createHash('sha256').update(text).digest('base64url').slice(0, 16), text };
  }
  return slot.record;
}

/** A record of another replica; undefined for anything that `records` did not give. */
export function changeOf(text: string, slot: number): ExposureChange | undefined {
  let parts: unknown;
  try {
    parts = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!Array.isArray(parts) || parts.length !== 5 || parts.some((part) => typeof part !== 'string')) {
    return undefined;
  }
  const [route, backend, build, exposed, hurt] = parts as [string, string, string, string, string];
  if ([route, backend, build].some((name) => name.length > MAX_NAME)) return undefined;
  return { route, backend, build, slot, exposed, hurt };
}
