/** Finds the name that was probably meant. */

/** Beyond this many names none is offered: comparing many with many would take seconds in a hostile file. */
const MAX_CANDIDATES = 2_000;
const MAX_LENGTH = 64;
/** Up to this many names are listed when none is near. */
const MAX_LISTED = 14;

/**
 * The known name nearest to `wrong`: the same but for case, within two edits (one for names of two to
 * four characters; two neighbours swapped count as one), or with one the beginning of the other. Undefined when none is.
 */
export function nearestName(wrong: string, known: Iterable<string>): string | undefined {
  const candidates = [...known];
  if (candidates.length > MAX_CANDIDATES || wrong === '' || wrong.length > MAX_LENGTH) return undefined;
  const lower = wrong.toLowerCase();
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const distance = distanceOf(lower, candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** ` did you mean "health"?`, or a list of what there is when that is short, each after `; `; '' when there is neither. */
export function suggestion(wrong: string, known: Iterable<string>, what: string): string {
  const names = [...known];
  const near = nearestName(wrong, names);
  if (near !== undefined) return `; did you mean "${near}"?`;
  if (names.length === 0 || names.length > MAX_LISTED) return '';
  return `; ${what}: ${names.join(', ')}`;
}

/** Infinity when the two are not near. */
function distanceOf(wrong: string, candidate: string): number {
  const shorter = Math.min(wrong.length, candidate.length);
  // One edit turns any single letter into any other.
  const allowed = shorter <= 1 ? 0 : shorter <= 4 ? 1 : 2;
  if (Math.abs(wrong.length - candidate.length) <= allowed) {
    const distance = editDistance(wrong, candidate);
    if (distance <= allowed) return distance;
  }
  const [short, long] = wrong.length < candidate.length ? [wrong, candidate] : [candidate, wrong];
  // After every true edit distance, so that a misspelt name wins over a name cut short.
  return short.length >= 3 && long.startsWith(short) ? 3 : Number.POSITIVE_INFINITY;
}

/** Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min(row[j - 1]! + 1, last[j]! + 1, last[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, beforeLast[j - 2]! + 1);
      }
      row.push(cost);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length]!;
}
