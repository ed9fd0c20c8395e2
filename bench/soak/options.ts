/** The command line of `node bench/soak.ts`. */

import { parseArgs } from 'node:util';

export interface SoakCommand {
  readonly minutes: number;
  readonly pace: number;
  readonly share: number;
  /** Seconds. */
  readonly sample: number;
  readonly workers: number;
  readonly json: string | undefined;
  readonly write: boolean;
}

export const USAGE = `usage: node bench/soak.ts [options]
  --minutes N   of load; growth is judged from 10 on (30)
  --pace N      things happen N times as often, and last as much shorter (1)
  --share N     of the standard rates of traffic, about 1,500 requests a second (1)
  --sample N    seconds between samples (10)
  --workers N   of Pointsman, at least 2: the last one is killed now and then (2)
  --json FILE   write the result to FILE
  --write       put it into bench/README.md, bench/soak.json and bench/soak.svg`;

export class UsageError extends Error {}

/** @throws UsageError with one line that says what is wrong */
export function readSoakOptions(args: readonly string[]): SoakCommand | 'help' {
  const { help, json, write, ...texts } = parse(args);
  if (help) return 'help';
  const above = (name: 'minutes' | 'pace' | 'share' | 'sample') => {
    const value = Number(texts[name]);
    if (value > 0 && Number.isFinite(value)) return value;
    throw new UsageError(`--${name} ${texts[name]}: must be a number above 0`);
  };
  const workers = Number(texts.workers);
  if (!Number.isInteger(workers) || workers < 2 || workers > 64) {
    throw new UsageError(`--workers ${texts.workers}: must be a whole number from 2 to 64`);
  }
  return {
    minutes: above('minutes'),
    pace: above('pace'),
    share: above('share'),
    sample: above('sample'),
    workers,
    json,
    write,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        minutes: { type: 'string', default: '30' },
        pace: { type: 'string', default: '1' },
        share: { type: 'string', default: '1' },
        sample: { type: 'string', default: '10' },
        workers: { type: 'string', default: '2' },
        json: { type: 'string' },
        write: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}
