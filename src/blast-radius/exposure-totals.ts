/** What all processes, and other replicas, saw of users: their sketches put together. */
import { seriesKey } from '../observe/totals.ts';
import { type ExposureChange, MAX_CELLS, SLOTS, slotOf } from './exposure.ts';
import { decodeSketch, UserSketch } from './user-sketch.ts';

/** Different users of one backend of one row in the last 24 to 28 hours, estimated. */
export interface ExposureReport {
  readonly route: string;
  readonly backend: string;
  readonly exposed: number;
  /** Of these, those who met an error there. */
  readonly hurt: number;
}

interface Slot {
  readonly exposed: UserSketch;
  readonly hurt: UserSketch;
}

interface Row {
  readonly route: string;
  readonly backend: string;
  readonly slots: Map<number, Slot>;
}

export class ExposureTotals {
  readonly #rows = new Map<string, Row>();

  /** In any order, any number of times. What cannot be read, or is too old, is left out. */
  update(changes: Iterable<ExposureChange>, epochMs: number): void {
    const now = slotOf(epochMs);
    this.#forget(now);
    for (const change of changes) {
      // Clocks of replicas differ a little.
      if (change.slot <= now - SLOTS || change.slot > now + 1) continue;
      const exposed = decodeSketch(change.exposed);
      const hurt = change.hurt === '' ? undefined : decodeSketch(change.hurt);
      const slot = exposed && this.#slot(change);
      if (slot === undefined) continue;
      slot.exposed.merge(exposed!);
      if (hurt !== undefined) slot.hurt.merge(hurt);
    }
  }

  /** One row and backend; undefined when nobody was seen there. */
  report(route: string, backend: string): ExposureReport | undefined {
    const row = this.#rows.get(seriesKey([route, backend]));
    return row === undefined ? undefined : reportOf(row);
  }

  reports(): ExposureReport[] {
    return Array.from(this.#rows.values(), reportOf);
  }

  /** All that is held, for other replicas. */
  export(): ExposureChange[] {
    const all: ExposureChange[] = [];
    for (const { route, backend, slots } of this.#rows.values()) {
      for (const [slot, { exposed, hurt }] of slots) {
        all.push({ route, backend, slot, exposed: exposed.encode(), hurt: hurt.encode() });
      }
    }
    return all;
  }

  #slot({ route, backend, slot }: ExposureChange): Slot | undefined {
    const key = seriesKey([route, backend]);
    let row = this.#rows.get(key);
    if (row === undefined) {
      if (this.#rows.size >= MAX_CELLS) return undefined;
      row = { route, backend, slots: new Map() };
      this.#rows.set(key, row);
    }
    let found = row.slots.get(slot);
    if (found === undefined) {
      found = { exposed: new UserSketch(), hurt: new UserSketch() };
      row.slots.set(slot, found);
    }
    return found;
  }

  #forget(now: number): void {
    for (const [key, { slots }] of this.#rows) {
      for (const slot of slots.keys()) if (slot <= now - SLOTS) slots.delete(slot);
      if (slots.size === 0) this.#rows.delete(key);
    }
  }
}

function reportOf({ route, backend, slots }: Row): ExposureReport {
  const exposed = new UserSketch();
  const hurt = new UserSketch();
  for (const slot of slots.values()) {
    exposed.merge(slot.exposed);
    hurt.merge(slot.hurt);
  }
  const users = exposed.estimate();
  // Both are estimates, but who was hurt was there.
  return { route, backend, exposed: users, hurt: Math.min(users, hurt.estimate()) };
}

/** `In the last 24 h about 1,240 users met it, about 31 of them an error.` '' for nobody. */
export function exposureWords(report: ExposureReport | undefined): string {
  if (report === undefined || report.exposed === 0) return '';
  const number = (value: number) => value.toLocaleString('en');
  const hurt = report.hurt === 0 ? 'none of them an error' : `about ${number(report.hurt)} of them an error`;
  return `In the last 24 h about ${number(report.exposed)} users met it, ${hurt}.`;
}
