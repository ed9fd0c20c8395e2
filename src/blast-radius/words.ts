/** How many users met a build, for people: always with whose users these are. Pure. */
import type { ExposureReport } from './exposure-totals.ts';

/** Whose users are counted. */
export interface Reach {
  /** `all`: of all replicas; `partly`: of all until they could no longer be asked; `replica`: of this one alone. */
  readonly of: 'all' | 'partly' | 'replica';
  /** Epoch milliseconds: when all were known last; undefined: never. */
  readonly asOf: number | undefined;
  /** Why it is not `all`; '' when it is. */
  readonly why: string;
}

export function reachWords({ of, asOf, why }: Reach): string {
  switch (of) {
    case 'all':
      return 'over all replicas';
    case 'partly':
      return `over all replicas until ${new Date(asOf!).toISOString().slice(11, 16)} UTC, since then here alone: ${why}`;
    case 'replica':
      return `in this replica alone: ${why}`;
  }
}

/** `In the last 24 h about 1,240 users met build 1.7, about 31 of them an error, over all replicas.` '' for nobody. */
export function exposureWords(report: ExposureReport | undefined, reach: Reach): string {
  if (report === undefined || report.exposed === 0) return '';
  const number = (value: number) => value.toLocaleString('en');
  const hurt = report.hurt === 0 ? 'none of them an error' : `about ${number(report.hurt)} of them an error`;
  const what = report.build === '' ? 'it' : `build ${report.build}`;
  return `In the last 24 h about ${number(report.exposed)} users met ${what}, ${hurt} (counted ${reachWords(reach)}).`;
}
