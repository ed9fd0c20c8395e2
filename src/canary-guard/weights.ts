/** The weights of a row while canaries of it are braked or on trial. Pure. */
import type { Phase } from './state.ts';

const MAX_WEIGHT = 1_000_000;

/**
 * What a canary loses goes to the main backend alone: another canary must not grow because this one failed.
 *
 * @param weights of every backend of the row
 * @param main    the backend that is no canary
 * @param phases  of guarded canaries
 * @param probe   share of its weight, 0…1, that a probing canary gets
 * @returns undefined when nothing is braked
 */
export function brakedWeights(
  weights: Readonly<Record<string, number>>,
  main: string,
  phases: ReadonlyMap<string, Phase>,
  probe: number,
): Record<string, number> | undefined {
  if ([...phases.values()].every((phase) => phase === 'watching')) return undefined;
  const total = Object.values(weights).reduce((sum, weight) => sum + weight, 0);
  // Whole numbers, so all are raised before a small share is taken of one.
  const scale = Math.max(1, Math.min(1_000, Math.floor(MAX_WEIGHT / Math.max(1, total))));
  const braked: Record<string, number> = {};
  let freed = 0;
  for (const [name, weight] of Object.entries(weights)) {
    const phase = name === main ? 'watching' : (phases.get(name) ?? 'watching');
    const full = weight * scale;
    const kept =
      phase === 'watching'
        ? full
        : phase === 'probing' && weight > 0
          ? Math.max(1, Math.round(full * probe))
          : 0;
    braked[name] = kept;
    freed += full - kept;
  }
  braked[main] = (braked[main] ?? 0) + freed;
  return bounded(reduced(braked));
}

/** Small numbers are easier to read, and 0:100 is what people would write. */
function reduced(weights: Record<string, number>): Record<string, number> {
  let divisor = 0;
  for (const weight of Object.values(weights)) {
    let [a, b] = [divisor, weight];
    while (b !== 0) [a, b] = [b, a % b];
    divisor = a;
  }
  if (divisor <= 1) return weights;
  return Object.fromEntries(Object.entries(weights).map(([name, weight]) => [name, weight / divisor]));
}

/** Weights beyond a million are no weights of a row; shares then move by less than a millionth. */
function bounded(weights: Record<string, number>): Record<string, number> {
  const largest = Math.max(...Object.values(weights));
  if (largest <= MAX_WEIGHT) return weights;
  return Object.fromEntries(
    Object.entries(weights).map(([name, weight]) => [
      name,
      weight === 0 ? 0 : Math.max(1, Math.round((weight / largest) * MAX_WEIGHT)),
    ]),
  );
}
