/**
 * `node bench/guard.ts`: how fast the guard of a canary brakes a bad build, and how often it brakes a good one, by
 * simulated traffic: the same decisions as in the proxy, with the default settings, from fixed seeds. `--requests N`: of
 * each kind of good canary, so many requests.
 */

import { parseArgs } from 'node:util';
import { type Behaviour, SETTINGS, simulate } from '../test/unit/canary-guard/simulation.ts';

const { values } = parseArgs({ options: { requests: { type: 'string', default: '20000000' } } });
const REQUESTS = Number(values.requests);
if (!(REQUESTS >= 1_000)) throw new Error('--requests is a number from 1000');

const STARTS = 1_000;
/** Seconds of a good canary before it turns bad. */
const BEFORE = 120;
const PATIENCE = 600;
const GOOD = { errors: 0.002, medianMs: 20 } as const;

interface Bad {
  readonly name: string;
  readonly share: number;
  readonly perSecond: number;
  readonly bad: Partial<Behaviour>;
  /** Each judges by its part of the traffic, and the first verdict brakes all. */
  readonly replicas?: number;
}

const BAD: readonly Bad[] = [
  { name: 'fails 10 %', share: 0.05, perSecond: 200, bad: { errors: 0.1 } },
  { name: 'fails 10 %', share: 0.05, perSecond: 200, bad: { errors: 0.1 }, replicas: 4 },
  { name: 'fails 5 %', share: 0.05, perSecond: 200, bad: { errors: 0.05 } },
  { name: 'fails always', share: 0.05, perSecond: 200, bad: { errors: 1 } },
  { name: 'fails 10 %', share: 0.25, perSecond: 200, bad: { errors: 0.1 } },
  { name: 'fails 10 %', share: 0.05, perSecond: 2_000, bad: { errors: 0.1 } },
  { name: 'twice as slow', share: 0.05, perSecond: 200, bad: { medianMs: 40 } },
];

print('| canary | share | requests/s of the row | replicas | braked within 30 s | s p50 | s p99 | s max |');
print('| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |');
for (const { name, share, perSecond, bad, replicas = 1 } of BAD) {
  const canary = { ...GOOD, perSecond: (share * perSecond) / replicas };
  const main = { ...GOOD, perSecond: ((1 - share) * perSecond) / replicas };
  const times: number[] = [];
  let early = 0;
  for (let seed = 0; seed < STARTS; seed++) {
    const of = (at: number) => ({ canary: at <= BEFORE ? canary : { ...canary, ...bad }, main });
    let at = Number.POSITIVE_INFINITY;
    for (let replica = 0; replica < replicas; replica++) {
      const { happened } = simulate(seed + replica * STARTS, BEFORE + PATIENCE, of, SETTINGS, true);
      at = Math.min(at, happened[0]?.at ?? at);
    }
    if (at <= BEFORE) early++;
    else times.push(at - BEFORE);
  }
  if (early > 0) print(`<!-- ${early} of ${STARTS} braked before they turned bad -->`);
  times.sort((a, b) => a - b);
  const at = (q: number) => times[Math.min(times.length - 1, Math.ceil(q * times.length) - 1)]!;
  const within = (100 * times.filter((seconds) => seconds <= 30).length) / times.length;
  print(
    `| ${name} | ${100 * share} % | ${number(perSecond)} | ${replicas} | ${within.toFixed(1)} % | ${at(0.5)} | ${at(0.99)} | ${at(1)} |`,
  );
}

print('');
print('| share of the canary | both fail | requests of the canary | false alarms | per million |');
print('| ---: | ---: | ---: | ---: | ---: |');
for (const share of [0.05, 0.5]) {
  for (const errors of [0, 0.002, 0.005, 0.02, 0.1]) {
    const [canary, main] = [share, 1 - share].map((part) => ({
      perSecond: 200 * part,
      errors,
      medianMs: 20,
    }));
    let [requests, alarms] = [0, 0];
    for (let seed = 0; requests < REQUESTS; seed++) {
      const run = simulate(seed, 20_000, () => ({ canary: canary!, main: main! }));
      requests += run.requests;
      alarms += run.happened.filter(
        ({ effect }) => effect.type === 'brake' || effect.type === 'latch',
      ).length;
    }
    const rate =
      alarms === 0 ? `< ${((1e6 * 3) / requests).toFixed(2)}` : ((1e6 * alarms) / requests).toFixed(3);
    print(`| ${100 * share} % | ${100 * errors} % | ${number(requests)} | ${alarms} | ${rate} |`);
  }
}
print('');
print(
  'Of no alarm at all only a bound is known: with 95 % certainty there are fewer than 3 in so many requests.',
);

function number(value: number): string {
  return Math.round(value).toLocaleString('en');
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
