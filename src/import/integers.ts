/** Integer patterns of ACLs: `lt 5`, `eq 1 2`, `3:7`, `10:`. */

/** Both ends belong to it. */
export interface Interval {
  readonly min: number;
  readonly max: number;
}

const OPERATORS: Readonly<Record<string, (value: number) => Interval>> = {
  eq: (value) => ({ min: value, max: value }),
  ge: (value) => ({ min: value, max: Number.POSITIVE_INFINITY }),
  gt: (value) => ({ min: value + 1, max: Number.POSITIVE_INFINITY }),
  le: (value) => ({ min: Number.NEGATIVE_INFINITY, max: value }),
  lt: (value) => ({ min: Number.NEGATIVE_INFINITY, max: value - 1 }),
};

/** @returns what is wrong when it is a string */
export function parseIntegers(patterns: readonly string[]): readonly Interval[] | string {
  const intervals: Interval[] = [];
  let operator = OPERATORS['eq']!;
  for (const pattern of patterns) {
    const named = OPERATORS[pattern];
    if (named !== undefined) {
      operator = named;
      continue;
    }
    const range = /^(-?\d+)?:(-?\d+)?$/.exec(pattern);
    if (range !== null && pattern !== ':') {
      intervals.push({
        min: range[1] === undefined ? Number.NEGATIVE_INFINITY : Number(range[1]),
        max: range[2] === undefined ? Number.POSITIVE_INFINITY : Number(range[2]),
      });
    } else if (/^-?\d+$/.test(pattern)) intervals.push(operator(Number(pattern)));
    else return `'${pattern}' is neither a number nor a valid range`;
  }
  return intervals;
}

export function holds(intervals: readonly Interval[], value: number): boolean {
  return intervals.some(({ min, max }) => value >= min && value <= max);
}

/** How many of 0 … `count` - 1 lie in one of the intervals. */
export function coveredOf(intervals: readonly Interval[], count: number): number {
  const clipped = intervals
    .map(({ min, max }) => ({ min: Math.max(0, min), max: Math.min(count - 1, max) }))
    .filter(({ min, max }) => min <= max)
    .sort((a, b) => a.min - b.min);
  let covered = 0;
  let next = 0;
  for (const { min, max } of clipped) {
    const from = Math.max(min, next);
    if (max >= from) covered += max - from + 1;
    next = Math.max(next, max + 1);
  }
  return covered;
}
