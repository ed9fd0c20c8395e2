/** What a gate says: on, back, or not yet. */

export type Verdict = 'pass' | 'fail' | 'hold';

export interface GateResult {
  readonly gate: string;
  readonly verdict: Verdict;
  /** For people; holds no secret. */
  readonly detail: string;
}

/** One failure fails; one that holds, holds. */
export function together(results: readonly GateResult[]): Verdict {
  if (results.some(({ verdict }) => verdict === 'fail')) return 'fail';
  return results.some(({ verdict }) => verdict === 'hold') ? 'hold' : 'pass';
}

/** As it stands in a commit message. */
export function summary({ gate, verdict, detail }: GateResult): string {
  return `${gate}=${verdict} (${detail})`;
}

/** `40m`, `3h 20m`, `12s`: whole and short, for people. */
export function span(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1_000));
  if (seconds < 60) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 === 0 ? `${hours}h` : `${hours}h ${minutes % 60}m`;
  return `${Math.floor(hours / 24)}d ${hours % 24}h`;
}
