/** What happens when, over the whole run. Pure. */

export const EVENT_KINDS = [
  'reload',
  'broken file',
  'endpoint killed',
  'DNS change',
  'DNS frozen',
  'Redis killed',
  'Redis frozen',
  'worker killed',
  'override',
] as const;
export type EventKind = (typeof EVENT_KINDS)[number];

export interface Planned {
  /** Milliseconds from the start. */
  readonly at: number;
  readonly kind: EventKind;
  /** How many of its kind came before. */
  readonly turn: number;
}

/** Seconds from one to the next, and of the first one; so early that short runs have every kind. */
const REGULAR: readonly (readonly [EventKind, number, number])[] = [
  ['reload', 10, 5],
  ['broken file', 70, 14],
  ['endpoint killed', 30, 12],
  ['DNS change', 20, 8],
  ['DNS frozen', 150, 22],
  ['Redis killed', 60, 10],
  ['Redis frozen', 150, 20],
  ['override', 45, 17],
];

/** Of the run: not in the minutes that are compared, in which the last worker is about as old. */
const WORKER_KILLS = [0.22, 0.55, 0.72];
/** In the same phase always, and apart from the kills of endpoints: the last lines of a killed worker's log are lost. */
const WORKER_KILL_PHASE = { every: 30, at: 21 };

/** Nothing begins in the last seconds, so that everything can end. */
const QUIET_END_S = 12;

/** @param pace how many times as often as in the standard run */
export function schedule(seconds: number, pace: number): Planned[] {
  const end = seconds - QUIET_END_S / pace;
  const planned: Planned[] = [];
  for (const [kind, every, first] of REGULAR) {
    for (let turn = 0; (first + turn * every) / pace < end; turn += 1) {
      planned.push({ at: ((first + turn * every) / pace) * 1000, kind, turn });
    }
  }
  const { every, at } = WORKER_KILL_PHASE;
  const kills = new Set(
    WORKER_KILLS.map((share) => (Math.floor((share * seconds * pace) / every) * every + at) / pace),
  );
  for (const [turn, kill] of [...kills].entries()) {
    if (kill < end) planned.push({ at: kill * 1000, kind: 'worker killed', turn });
  }
  return planned.sort((a, b) => a.at - b.at);
}
