/** Canary against production: what passes, what fails, what must wait. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { readPipeline } from '../../../src/stages/definition.ts';
import { readTallies } from '../../../src/stages/gates/figures.ts';
import {
  judge,
  judgeWindow,
  NOTHING_OBSERVED,
  type Observation,
  type Sample,
} from '../../../src/stages/gates/judge.ts';
import { normalQuantile, quantile, type Tally } from '../../../src/stages/gates/statistics.ts';

const settings = readPipeline(
  'stages: [ { name: a, track: a, gates: { judge: {} } }, { name: b, track: b } ]\n',
  {},
).stages[0]!.gates.judge!;

/** xorshift32: the same draws in every run. */
function generator(seed: number): () => number {
  let x = seed | 0;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) / 2 ** 32;
  };
}

function tally(requests: number, rate: number, random: () => number): Tally {
  let errors = 0;
  for (let i = 0; i < requests; i++) if (random() < rate) errors++;
  return { requests, errors, bounds: [0.01, 0.1], counts: [requests, requests] };
}

function slow(ms: number, requests = 1_000): Tally {
  return { requests, errors: 0, bounds: [ms / 1_000 / 2, ms / 1_000], counts: [0, requests] };
}

function observe(
  samples: readonly (readonly [number, Tally, Tally])[],
  from: Partial<typeof settings> = {},
): string[] {
  let observation: Observation = { key: 'k', ...NOTHING_OBSERVED };
  let total = { canary: 0, bad: 0, main: 0, mainBad: 0 };
  const verdicts: string[] = [];
  const empty: Sample = {
    at: 0,
    proxies: { p: { startedAt: 's', canary: tally(0, 0, Math.random), main: tally(0, 0, Math.random) } },
  };
  observation = judge({ ...settings, ...from }, observation, empty, true).observation;
  for (const [at, canary, main] of samples) {
    total = {
      canary: total.canary + canary.requests,
      bad: total.bad + canary.errors,
      main: total.main + main.requests,
      mainBad: total.mainBad + main.errors,
    };
    const sum = (requests: number, errors: number): Tally => ({
      requests,
      errors,
      bounds: [0.1],
      counts: [requests],
    });
    const sample = {
      at,
      proxies: {
        p: { startedAt: 's', canary: sum(total.canary, total.bad), main: sum(total.main, total.mainBad) },
      },
    };
    const judged = judge({ ...settings, ...from }, observation, sample, true);
    observation = judged.observation;
    verdicts.push(judged.result.verdict);
  }
  return verdicts;
}

const of = (requests: number, errors: number): Tally => ({
  requests,
  errors,
  bounds: [0.1],
  counts: [requests],
});

suite('the judge', () => {
  test('fails fewer than 1 % of builds that are as good as production', () => {
    const random = generator(7);
    let failed = 0;
    for (let run = 0; run < 1_000; run++) {
      if (judgeWindow(settings, tally(400, 0.01, random), tally(4_000, 0.01, random)).verdict === 'fail')
        failed++;
    }
    assert.ok(failed < 30, `${failed} single windows of 1000 failed`);
    let builds = 0;
    for (let run = 0; run < 500; run++) {
      const windows = Array.from(
        { length: 3 },
        (_, i) => [60_000 * (i + 1), tally(400, 0.01, random), tally(4_000, 0.01, random)] as const,
      );
      if (observe(windows).includes('fail')) builds++;
    }
    assert.ok(builds < 5, `${builds} good builds of 500 failed`);
  });

  test('fails nearly every build with 5 % errors against 1 % once it has seen 500 requests', () => {
    const random = generator(11);
    let failed = 0;
    for (let run = 0; run < 500; run++) {
      if (judgeWindow(settings, tally(500, 0.05, random), tally(5_000, 0.01, random)).verdict === 'fail')
        failed++;
    }
    assert.ok(failed > 480, `${failed} of 500`);
  });

  test('holds below the minimum sample, however bad it looks', () => {
    assert.deepEqual(
      observe([
        [60_000, of(20, 20), of(4_000, 0)],
        [120_000, of(200, 200), of(4_000, 0)],
      ]),
      ['hold', 'hold'],
    );
  });

  test('holds while production has too few requests to compare with', () => {
    assert.deepEqual(observe([[60_000, of(1_000, 0), of(20, 0)]]), ['hold']);
  });

  test('needs two failed windows of three, and one good one passes', () => {
    const bad = [of(400, 40), of(4_000, 40)] as const;
    const good = [of(400, 4), of(4_000, 40)] as const;
    const minutes = (list: readonly (readonly [Tally, Tally])[]) =>
      list.map(([a, b], i) => [(i + 1) * 60_000, a, b] as const);
    assert.deepEqual(observe(minutes([bad, good, good])), ['hold', 'pass', 'pass']);
    assert.deepEqual(observe(minutes([bad, good, bad])), ['hold', 'pass', 'fail']);
    assert.deepEqual(observe(minutes([bad, bad])), ['hold', 'fail']);
    assert.deepEqual(observe(minutes([bad, good, good, bad])), ['hold', 'pass', 'pass', 'hold']);
  });

  test('tolerates a difference below the margin whatever its significance', () => {
    assert.equal(judgeWindow(settings, of(1_000_000, 14_000), of(10_000_000, 100_000)).verdict, 'pass');
    assert.equal(judgeWindow(settings, of(1_000_000, 16_000), of(10_000_000, 100_000)).verdict, 'fail');
  });

  test('fails a slower p95 by ratio and by difference, both', () => {
    assert.equal(judgeWindow(settings, slow(200), slow(100)).verdict, 'fail');
    assert.equal(judgeWindow(settings, slow(110), slow(100)).verdict, 'pass');
    assert.equal(judgeWindow(settings, slow(4), slow(2)).verdict, 'pass');
    assert.equal(judgeWindow(settings, slow(200, 40), slow(100)).verdict, 'pass');
  });

  test('judges by limits alone where there is nothing to compare with', () => {
    assert.equal(judgeWindow({ ...settings, maxErrorRate: 5 }, of(400, 40), undefined).verdict, 'fail');
    assert.equal(judgeWindow({ ...settings, maxLatency: 100 }, slow(300), undefined).verdict, 'fail');
    assert.equal(judgeWindow(settings, of(400, 40), undefined).verdict, 'pass');
  });

  test('counts on after a proxy started anew or came newly', () => {
    const start: Sample = {
      at: 0,
      proxies: { a: { startedAt: '1', canary: of(900, 0), main: of(9_000, 0) } },
    };
    const end: Sample = {
      at: 60_000,
      proxies: {
        a: { startedAt: '2', canary: of(300, 0), main: of(3_000, 0) },
        b: { startedAt: '1', canary: of(100, 50), main: of(900, 0) },
      },
    };
    const { result } = judge(settings, { key: 'k', ...NOTHING_OBSERVED, start }, end, true);
    assert.match(result.detail, /^errors: 12\.50 % of 400 failed/);
  });
});

suite('figures', () => {
  const metrics = `
pointsman_requests_total{route="free",backend="canary",method="GET",code="2xx"} 90
pointsman_requests_total{route="free",backend="canary",method="GET",code="5xx"} 2
pointsman_requests_total{route="free",backend="canary",method="GET",code="none"} 5
pointsman_requests_total{route="free",backend="production",method="GET",code="2xx"} 900
pointsman_requests_total{route="paid",backend="production",method="GET",code="5xx"} 400
pointsman_endpoint_requests_total{backend="canary",endpoint="10.0.0.1:8080"} 100
pointsman_endpoint_errors_total{backend="canary",endpoint="10.0.0.1:8080"} 10
pointsman_request_duration_seconds_bucket{le="0.1",route="free",backend="canary"} 50
pointsman_request_duration_seconds_bucket{le="+Inf",route="free",backend="canary"} 92
`;

  test('are those of the same group, and a failure hidden by a retry is the canary’s', () => {
    const { canary, main } = readTallies(metrics, { track: 'canary', main: 'production', routes: ['free'] });
    assert.deepEqual([canary.requests, canary.errors], [100, 10]);
    assert.deepEqual([main.requests, main.errors], [900, 0]);
    assert.deepEqual(canary.counts, [50, 92]);
  });
});

suite('statistics', () => {
  test('the normal quantile is that of tables', () => {
    for (const [p, z] of [
      [0.5, 0],
      [0.9, 1.281552],
      [0.99, 2.326348],
      [0.999, 3.090232],
      [0.01, -2.326348],
    ] as const) {
      assert.ok(Math.abs(normalQuantile(p) - z) < 1e-5, `${p}`);
    }
  });

  test('a quantile is interpolated within its bucket', () => {
    assert.equal(
      Math.round(quantile({ requests: 10, errors: 0, bounds: [0.1, 0.2], counts: [0, 10] }, 0.5)!),
      150,
    );
    assert.equal(quantile({ requests: 0, errors: 0, bounds: [0.1], counts: [0] }, 0.5), undefined);
  });
});
