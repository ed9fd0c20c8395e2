/** Counting answers: a window holds those to requests sent and answered under one and the same state of affairs. */
import type { Split } from './placement.ts';
import type { RouteName } from './table.ts';
import type { StepId } from './tour.ts';

export interface Outcome {
  readonly route: RouteName;
  readonly user: string | undefined;
  /** The backend that answered; undefined when the request failed. */
  readonly backend: string | undefined;
  /** Where a user's answer had to come from; undefined when that is not known. */
  readonly expected: string | undefined;
  /** Why it failed; undefined when it did not. */
  readonly failure: string | undefined;
}

/** Requests by backend. */
export type Counts = Record<string, number>;

export interface Window {
  readonly step: StepId;
  /** False while the proxy is about to notice something. */
  readonly steady: boolean;
  /** In force while it lasts, by route. */
  readonly splits: Readonly<Record<string, Split>>;
  /** Backends without a healthy endpoint. */
  readonly down: ReadonlySet<string>;
  /** Requests without a user, by route. */
  readonly anonymous: Record<string, Counts>;
  /** Requests with one, by route. */
  readonly pinned: Record<string, Counts>;
  answered: number;
  failed: number;
  misplaced: number;
  /** The first few failures and misplaced users, to tell. */
  readonly examples: string[];
}

const MAX_EXAMPLES = 5;

export function openWindow(facts: Pick<Window, 'step' | 'steady' | 'splits' | 'down'>): Window {
  return { ...facts, anonymous: {}, pinned: {}, answered: 0, failed: 0, misplaced: 0, examples: [] };
}

export function record(window: Window, outcome: Outcome): void {
  const { route, user, backend, expected, failure } = outcome;
  if (backend === undefined || failure !== undefined) {
    window.failed++;
    keepExample(window, `${route}: ${failure ?? 'no backend named itself'}`);
    return;
  }
  window.answered++;
  const table = user === undefined ? window.anonymous : window.pinned;
  const counts = table[route] ?? {};
  table[route] = counts;
  counts[backend] = (counts[backend] ?? 0) + 1;
  if (expected !== undefined && expected !== backend) {
    window.misplaced++;
    keepExample(window, `user ${user} was answered by ${backend}, not ${expected}`);
  }
}

export function total(counts: Counts | undefined): number {
  return Object.values(counts ?? {}).reduce((sum, count) => sum + count, 0);
}

/** The sum of two tallies, by backend. */
export function sumCounts(first: Counts | undefined, second: Counts | undefined): Counts {
  const sum = { ...first };
  for (const [backend, count] of Object.entries(second ?? {})) sum[backend] = (sum[backend] ?? 0) + count;
  return sum;
}

function keepExample(window: Window, text: string): void {
  if (window.examples.length < MAX_EXAMPLES) window.examples.push(text);
}
