/** Whether what was counted is what the table promises. */
import { expectedShares } from './placement.ts';
import type { RouteName } from './table.ts';
import { type Counts, sumCounts, total, type Window } from './tally.ts';
import { TOUR } from './tour.ts';

export interface Check {
  readonly name: string;
  readonly ok: boolean;
  /** What was seen. */
  readonly detail: string;
}

/** Fewest requests that shares are judged by: 5 % of them are two, so that a canary which gets none is noticed. */
export const ENOUGH = 40;

export interface Evidence {
  /** In the order of time. */
  readonly windows: readonly Window[];
  /** Steps of the tour that did not come true in time, by what should have. */
  readonly stuck: readonly string[];
  readonly users: number;
}

export function judge({ windows, stuck, users }: Evidence): Check[] {
  return [
    onlyTo(windows, 'internal', 'internal', 'INTERNAL requests meet internal alone'),
    onlyTo(windows, 'enterprise', 'production', 'ENTERPRISE requests meet production alone'),
    ...TOUR.map(({ id, goal }): Check => {
      const seen = windows.some(({ step, steady }) => steady && step === id);
      return { name: goal, ok: seen && !stuck.includes(goal), detail: seen ? 'seen' : 'not seen in time' };
    }),
    ...windows
      .filter(({ steady }) => steady)
      .flatMap((window) => [shareCheck(window, 'free', 'FREE'), shareCheck(window, 'paid', 'no group')]),
    usersCheck(windows, users),
    failuresCheck(windows),
  ];
}

/** Requests without a user, against the weights: smooth weighted round robin is off by less than one in any window. */
export function shareCheck(window: Window, route: RouteName, label: string): Check {
  const counts = window.anonymous[route] ?? {};
  const split = window.splits[route] ?? {};
  const sent = total(counts);
  const shares = expectedShares(split, window.down);
  const name = `${window.step}: ${label} by weight`;
  if (sent < ENOUGH) {
    return { name, ok: false, detail: `${sent} requests are too few to judge by; ${ENOUGH} are needed` };
  }
  const backends = new Set([...Object.keys(shares), ...Object.keys(counts)]);
  const ok = [...backends].every(
    (backend) => Math.abs((counts[backend] ?? 0) - (shares[backend] ?? 0) * sent) <= 1,
  );
  const detail = [...backends].map((backend) => {
    const share = Math.round((shares[backend] ?? 0) * 1_000) / 10;
    return `${backend} ${counts[backend] ?? 0} of ${sent} (${share} %)`;
  });
  return { name, ok, detail: detail.join(', ') };
}

function onlyTo(windows: readonly Window[], route: RouteName, backend: string, name: string): Check {
  const counts = windows.reduce<Counts>(
    (sum, window) => sumCounts(sum, sumCounts(window.anonymous[route], window.pinned[route])),
    {},
  );
  const sent = total(counts);
  const others = Object.entries(counts).filter(([other, count]) => other !== backend && count > 0);
  return {
    name,
    ok: sent > 0 && others.length === 0,
    detail:
      others.length === 0
        ? `${sent} of ${sent}`
        : others.map(([other, count]) => `${count} of ${sent} met ${other}`).join(', '),
  };
}

function usersCheck(windows: readonly Window[], users: number): Check {
  const steady = windows.filter((window) => window.steady);
  const requests = steady.reduce(
    (sum, { pinned }) => sum + Object.values(pinned).reduce((all, counts) => all + total(counts), 0),
    0,
  );
  const misplaced = steady.reduce((sum, window) => sum + window.misplaced, 0);
  const example = steady.flatMap((window) => (window.misplaced > 0 ? window.examples : []))[0];
  return {
    name: 'every user stays on the backend of their bucket',
    ok: users >= ENOUGH && misplaced === 0,
    detail:
      misplaced === 0
        ? `${users} users, ${requests} requests`
        : `${misplaced} of ${requests} requests went elsewhere; ${example}`,
  };
}

function failuresCheck(windows: readonly Window[]): Check {
  const answered = windows.reduce((sum, window) => sum + window.answered, 0);
  const failed = windows.reduce((sum, window) => sum + window.failed, 0);
  const example = windows.flatMap((window) => (window.failed > 0 ? window.examples : []))[0];
  return {
    name: 'no request failed, with canary killed and back',
    ok: failed === 0 && answered > 0,
    detail: failed === 0 ? `0 of ${answered}` : `${failed} of ${answered + failed}; ${example}`,
  };
}
