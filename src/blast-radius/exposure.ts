/**
 * Who met which backend of which row, and who met an error there, in one process: sketches of the last day, in slots of
 * four hours. A row and backend take 8 KiB a slot with traffic, 56 KiB at most; all of a process 7 MiB at most.
 */
import { seriesKey } from '../observe/totals.ts';
import { UserSketch } from './user-sketch.ts';

export const SLOT_MS = 4 * 3_600_000;

/** The one that runs and six whole ones: 24 to 28 hours. */
export const SLOTS = 7;

/** Most rows and backends that are counted; others are not. */
export const MAX_CELLS = 128;

/** Whom users met: a backend of a row, and the build that ran there; '' where the file names none. */
export interface Met {
  readonly route: string;
  readonly backend: string;
  readonly build: string;
}

export function metKey({ route, backend, build }: Met): string {
  return seriesKey([route, backend, build]);
}

/** Of one row, backend and build. Held by whoever counts, as cells of metrics are. */
export class ExposureCell {
  readonly met: Met;
  /** Of the slot that runs. */
  #exposed = new UserSketch();
  #hurt = new UserSketch();

  constructor(met: Met) {
    this.met = met;
  }

  /**
   * Counts one answered request; some nanoseconds.
   *
   * @param hash   32 bits of the user's hash
   * @param failed the user met an error: an answer of 5xx, or one that the upstream never gave or broke off
   */
  record(hash: number, failed: boolean): void {
    this.#exposed.add(hash);
    if (failed) this.#hurt.add(hash);
  }

  /** What was added since the last call, as all that the slot holds; undefined when nothing was. */
  takeChanges(slot: number): ExposureChange | undefined {
    const [exposed, hurt] = [this.#exposed, this.#hurt];
    if (!exposed.changed && !hurt.changed) return undefined;
    exposed.changed = false;
    const { route, backend, build } = this.met;
    const isHurt = hurt.changed;
    hurt.changed = false;
    return { route, backend, build, slot, exposed: exposed.encode(), hurt: isHurt ? hurt.encode() : '' };
  }

  beginSlot(): void {
    this.#exposed = new UserSketch();
    this.#hurt = new UserSketch();
  }
}

/** Plain data, fit for a message between processes; merging it twice changes nothing. */
export interface ExposureChange extends Met {
  /** Number of the slot since the epoch. */
  readonly slot: number;
  /** `UserSketch.encode`. */
  readonly exposed: string;
  /** '' when it has not changed. */
  readonly hurt: string;
}

export function slotOf(epochMs: number): number {
  return Math.floor(epochMs / SLOT_MS);
}

/** The cells of one process. */
export class Exposure {
  readonly #cells = new Map<string, ExposureCell>();
  #slot: number;
  /** Of cells that are gone. */
  #left: ExposureChange[] = [];

  constructor(epochMs: number) {
    this.#slot = slotOf(epochMs);
  }

  /** The same one every time. Undefined when too many are counted already. */
  cell(met: Met): ExposureCell | undefined {
    const key = metKey(met);
    const known = this.#cells.get(key);
    if (known !== undefined) return known;
    if (this.#cells.size >= MAX_CELLS) return undefined;
    const cell = new ExposureCell(met);
    this.#cells.set(key, cell);
    return cell;
  }

  /** Forgets cells of rows and builds that are gone. Whoever holds one writes into the void from then on. */
  retain(keep: (met: Met) => boolean): void {
    for (const [key, cell] of this.#cells) {
      if (keep(cell.met)) continue;
      const change = cell.takeChanges(this.#slot);
      if (change !== undefined) this.#left.push(change);
      this.#cells.delete(key);
    }
  }

  /** What was added since the last call. Called at least every minute or so, since slots end here too. */
  takeChanges(epochMs: number): ExposureChange[] {
    const changes = this.#left;
    this.#left = [];
    const slot = slotOf(epochMs);
    for (const cell of this.#cells.values()) {
      const change = cell.takeChanges(this.#slot);
      if (change !== undefined) changes.push(change);
      if (slot !== this.#slot) cell.beginSlot();
    }
    this.#slot = slot;
    return changes;
  }
}
