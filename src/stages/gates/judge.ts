/**
 * Canary against production, for the same group, window by window. A window is judged once it is old enough and holds
 * enough requests of the canary; a build fails when enough of its last windows did, so that one bad minute of the
 * network is no rollback, and passes on windows in a row.
 */

import type { Judge } from '../definition.ts';
import { add, isWorse, NO_TALLY, quantile, rateOf, subtract, type Tally } from './statistics.ts';
import type { GateResult, Verdict } from './verdict.ts';

/** The counters of all proxies at one moment. */
export interface Sample {
  /** Epoch milliseconds. */
  readonly at: number;
  readonly proxies: Readonly<Record<string, ProxySample>>;
}

export interface ProxySample {
  /** Changes when the counters began anew. */
  readonly startedAt: string;
  readonly canary: Tally;
  /** The other side of the same rows; no requests when there is none. */
  readonly main: Tally;
}

export interface JudgedWindow {
  readonly at: number;
  readonly verdict: Verdict;
  readonly detail: string;
}

/** What is remembered of a build on a stage between two rounds. */
export interface Observation {
  /** Build and step: figures of another are of no use. */
  readonly key: string;
  readonly start: Sample | undefined;
  /** Newest last, at most `MAX_WINDOWS`. */
  readonly windows: readonly JudgedWindow[];
  readonly notReadySince: number | undefined;
  /** Failed questions in a row, by gate. */
  readonly queryErrors: Readonly<Record<string, number>>;
}

export const NOTHING_OBSERVED = {
  start: undefined,
  windows: [],
  notReadySince: undefined,
  queryErrors: {},
} as const;
const MAX_WINDOWS = 100;
/** Below this many data points a percentile says nothing. */
const MIN_POINTS = 50;

/** Closes the window when it is full, and says what the last ones mean. */
export function judge(
  settings: Judge,
  observation: Observation,
  sample: Sample,
  hasMain: boolean,
): { observation: Observation; result: GateResult } {
  const { start } = observation;
  if (start === undefined) {
    return {
      observation: { ...observation, start: sample },
      result: held('figures begin now', observation, settings),
    };
  }
  const { canary, main } = between(start, sample);
  const age = sample.at - start.at;
  if (
    age < settings.window ||
    canary.requests < settings.minRequests ||
    (hasMain && main.requests < settings.minRequests)
  ) {
    const side = canary.requests < settings.minRequests ? canary : main;
    const why =
      side.requests < settings.minRequests
        ? `${side.requests} of ${settings.minRequests} requests${side === canary ? '' : ' to production'}`
        : 'the window is not over';
    return { observation, result: held(why, observation, settings) };
  }
  const judged = judgeWindow(settings, canary, hasMain ? main : undefined);
  const windows = [...observation.windows, { at: sample.at, ...judged }].slice(
    -Math.min(MAX_WINDOWS, Math.max(settings.of, settings.passes)),
  );
  const next = { ...observation, start: sample, windows };
  return { observation: next, result: conclude(settings, windows, judged.detail) };
}

/** What is known while no new window is full. A build that failed, failed; one that passed stays so until the next. */
function held(why: string, { windows }: Observation, settings: Judge): GateResult {
  const last = windows.at(-1);
  const known = conclude(settings, windows, last?.detail ?? '');
  return known.verdict === 'hold'
    ? { gate: 'judge', verdict: 'hold', detail: last === undefined ? why : `${why}; ${last.detail}` }
    : known;
}

function conclude(settings: Judge, windows: readonly JudgedWindow[], detail: string): GateResult {
  const failed = windows.slice(-settings.of).filter(({ verdict }) => verdict === 'fail').length;
  if (failed >= settings.failures)
    return {
      gate: 'judge',
      verdict: 'fail',
      detail: `${detail}; ${failed} of the last ${Math.min(settings.of, windows.length)} windows failed`,
    };
  const last = windows.slice(-settings.passes);
  const passed = last.length === settings.passes && last.every(({ verdict }) => verdict === 'pass');
  return { gate: 'judge', verdict: passed ? 'pass' : 'hold', detail };
}

/** One window on its own: never a hold, since it is full. */
export function judgeWindow(
  settings: Judge,
  canary: Tally,
  main: Tally | undefined,
): { verdict: 'pass' | 'fail'; detail: string } {
  const rate = rateOf(canary);
  const p95 = quantile(canary, 0.95);
  const faults: string[] = [];
  if (settings.maxErrorRate !== undefined && rate * 100 > settings.maxErrorRate)
    faults.push(`errors above ${settings.maxErrorRate} %`);
  if (settings.maxLatency !== undefined && p95 !== undefined && p95 > settings.maxLatency)
    faults.push(`p95 above ${settings.maxLatency} ms`);
  let detail = `${percent(rate)} of ${canary.requests} failed`;
  if (main !== undefined) {
    const mainRate = rateOf(main);
    const mainP95 = quantile(main, 0.95);
    detail += `, production ${percent(mainRate)}`;
    if (rate - mainRate > settings.margin / 100 && isWorse(canary, main, settings.confidence))
      faults.push('errors');
    if (p95 !== undefined && mainP95 !== undefined) {
      detail += `; p95 ${p95.toFixed(1)} ms, production ${mainP95.toFixed(1)} ms`;
      const enough = (canary.counts.at(-1) ?? 0) >= MIN_POINTS && (main.counts.at(-1) ?? 0) >= MIN_POINTS;
      if (enough && p95 > mainP95 * settings.latencyRatio && p95 - mainP95 > settings.latencyMargin)
        faults.push('latency');
    }
  } else if (p95 !== undefined) detail += `; p95 ${p95.toFixed(1)} ms`;
  return faults.length === 0
    ? { verdict: 'pass', detail }
    : { verdict: 'fail', detail: `${faults.join(' and ')}: ${detail}` };
}

function percent(rate: number): string {
  return `${(rate * 100).toFixed(2)} %`;
}

/** What all proxies counted between two samples; a proxy that started anew, or is new, counts from 0. */
export function between(start: Sample, end: Sample): { canary: Tally; main: Tally } {
  let canary = NO_TALLY;
  let main = NO_TALLY;
  for (const [url, proxy] of Object.entries(end.proxies)) {
    const before = start.proxies[url];
    const same = before?.startedAt === proxy.startedAt;
    canary = add(canary, same ? subtract(proxy.canary, before.canary) : proxy.canary);
    main = add(main, same ? subtract(proxy.main, before.main) : proxy.main);
  }
  return { canary, main };
}
