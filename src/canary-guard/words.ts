/** What a guard found, for people. Pure. */
import { formatDuration } from '../config/units.ts';
import { BOUNDARIES_MS } from '../observe/histogram.ts';
import type { Effect, Verdict } from './state.ts';

/** `12 of 118 requests failed (10.2 %), where production is taken to fail at most 0.5 %` */
export function verdictWords({ cause, requests, bad, baseline, boundary }: Verdict): string {
  const counts = `${Math.round(bad)} of ${Math.round(requests)} requests`;
  const share = percent(requests === 0 ? 0 : bad / requests);
  if (cause === 'errors') {
    return `${counts} failed (${share}), where ${percent(baseline)} is the most that production accounts for`;
  }
  const limit = `${BOUNDARIES_MS[boundary]} ms`;
  return `${counts} took more than ${limit} to answer (${share}), where ${percent(baseline)} is the most that production accounts for`;
}

export interface Told {
  /** One line. */
  readonly title: string;
  readonly text: string;
}

/** @param acts whether the canary lost its share, or this is a warning alone */
export function effectWords(route: string, backend: string, effect: Effect, acts: boolean): Told | undefined {
  const subject = `${backend} of route ${route}`;
  switch (effect.type) {
    case 'brake':
      return {
        title: acts ? `Canary ${subject} is braked` : `Canary ${subject} is worse than production`,
        text: `${verdictWords(effect.verdict)}. ${
          acts
            ? `It gets no new requests for ${duration(effect.holdMs)}, then a small share to prove itself.`
            : `It keeps its share, since its guard only warns; it is looked at again in ${duration(effect.holdMs)}.`
        }`,
      };
    case 'latch':
      return {
        title: acts
          ? `Canary ${subject} is braked until somebody acts`
          : `Canary ${subject} stays worse than production`,
        text: `${verdictWords(effect.verdict)}. This was time ${effect.trip} within a while. ${
          acts
            ? `It gets no requests until the override is ended, or its row is changed in the file.`
            : `Nothing more is said until it is as good as production.`
        }`,
      };
    case 'recover':
      return {
        title: `Canary ${subject} is as good as production again`,
        text: acts ? 'It has the share of the file again.' : '',
      };
    case 'probe':
      return undefined;
  }
}

function percent(share: number): string {
  return `${(share * 100).toFixed(share < 0.1 ? 2 : 1)} %`;
}

/** Whole seconds: a hold of 30 s is never `29998ms`. */
function duration(ms: number): string {
  return formatDuration(Math.max(1_000, Math.round(ms / 1_000) * 1_000));
}
