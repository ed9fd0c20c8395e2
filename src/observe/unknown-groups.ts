/**
 * Groups that no row names, counted by value. A typo at the gateway, such as `ENTERPRISE-EU`, shows here and nowhere
 * else: its users just get the row for everybody. Clients may be able to send any value, so everything is bounded.
 */
import { type Cell, type Family, type Ledger, OTHER } from './ledger.ts';

/** Values with a series of their own. */
export const MAX_UNKNOWN_GROUPS = 20;

/** Longer values are cut. */
export const MAX_GROUP_LENGTH = 64;

/** Values that are counted without a series, to see whether they deserve one; the ones not seen for longest go. */
const MAX_CANDIDATES = 512;

export class UnknownGroups {
  readonly #family: Family;
  readonly #own = new Map<string, Cell>();
  readonly #candidates = new Map<string, number>();
  #other: Cell | undefined;

  constructor(ledger: Ledger) {
    this.#family = ledger.counter(
      'pointsman_unknown_group_total',
      `Requests whose group no row names, by value: those seen most, cut to ${MAX_GROUP_LENGTH} characters; the rest: other.`,
      ['value'],
      { limit: MAX_UNKNOWN_GROUPS + 1, mergedLimit: MAX_UNKNOWN_GROUPS },
    );
  }

  count(group: string): void {
    const value = group.length > MAX_GROUP_LENGTH ? group.slice(0, MAX_GROUP_LENGTH) : group;
    const own = this.#own.get(value);
    if (own !== undefined) own.value++;
    else this.#countOther(value);
  }

  /**
   * A value that is met more often than one with a series takes its place, so that noise cannot hide a typo. What the
   * one that leaves has counted stays counted as `other`, and what the new one had, too: no counter ever falls.
   */
  #countOther(value: string): void {
    if (value === OTHER) {
      this.#rest.value++;
      return;
    }
    if (this.#own.size < MAX_UNKNOWN_GROUPS) {
      this.#promote(value);
      return;
    }
    const times = (this.#candidates.get(value) ?? 0) + 1;
    const rarest = this.#rarest();
    if (times > this.#own.get(rarest)!.value) {
      this.#rest.value += this.#own.get(rarest)!.value;
      this.#own.delete(rarest);
      this.#family.forget(rarest);
      this.#candidates.delete(value);
      this.#promote(value);
      return;
    }
    this.#rest.value++;
    // Deleted first, so that the order of the map is the order of use.
    this.#candidates.delete(value);
    this.#candidates.set(value, times);
    if (this.#candidates.size > MAX_CANDIDATES) {
      this.#candidates.delete(this.#candidates.keys().next().value!);
    }
  }

  #promote(value: string): void {
    const cell = this.#family.cell(value);
    cell.value++;
    this.#own.set(value, cell);
  }

  #rarest(): string {
    let rarest = '';
    let least = Number.POSITIVE_INFINITY;
    for (const [value, cell] of this.#own) {
      if (cell.value < least) {
        rarest = value;
        least = cell.value;
      }
    }
    return rarest;
  }

  get #rest(): Cell {
    this.#other ??= this.#family.cell(OTHER);
    return this.#other;
  }
}
