import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { CheckResult, HealthState } from '../../../src/backends/endpoint.ts';
import { afterCheck, type EndpointHealth, initialHealth } from '../../../src/backends/health.ts';

const DEFAULTS = { rise: 2, fall: 3 };

function check(at: number, ok: boolean): CheckResult {
  return { at, ok, durationMs: 1, detail: ok ? 'connected' : 'connection refused' };
}

/** `+` a good check, `-` a failed one, one second apart. */
function run(results: string, thresholds = DEFAULTS): EndpointHealth {
  let health = initialHealth(0);
  [...results].forEach((result, i) => {
    health = afterCheck(health, check((i + 1) * 1_000, result === '+'), thresholds);
  });
  return health;
}

describe('health of an endpoint', () => {
  test('is unchecked before the first check, which decides at once either way', () => {
    assert.deepEqual(initialHealth(7), {
      state: 'unchecked',
      contrary: 0,
      reason: 'not checked yet',
      since: 7,
      checks: [],
    });
    assert.equal(run('+').state, 'up');
    assert.equal(run('-').state, 'down');
  });

  test('goes down with `fall` failures in a row and up with `rise` good checks in a row', () => {
    assert.equal(run('+--').state, 'up');
    assert.equal(run('+---').state, 'down');
    assert.equal(run('+---+').state, 'down');
    assert.equal(run('+---++').state, 'up');
  });

  test('a contrary result starts the run again', () => {
    assert.equal(run('+--+--').state, 'up');
    assert.equal(run('-+-+-+').state, 'down');
  });

  test('says since when and why, and what speaks against it', () => {
    assert.equal(run('+').reason, 'connected');
    assert.equal(run('+--').reason, '2 of 3 failed checks: connection refused');
    assert.equal(run('+---').reason, 'connection refused');
    assert.equal(run('+---').since, 4_000);
    assert.equal(run('+---+').reason, '1 of 2 good checks: connected');
    assert.equal(run('+---+').since, 4_000);
    assert.equal(run('+---++').since, 6_000);
    assert.equal(run('+--+').reason, 'connected');
    assert.equal(run('+--+').since, 1_000);
  });

  test('keeps the latest 20 results', () => {
    const { checks } = run('+'.repeat(50));
    assert.equal(checks.length, 20);
    assert.deepEqual(
      checks.map(({ at }) => at),
      Array.from({ length: 20 }, (_, i) => (31 + i) * 1_000),
    );
  });

  test('agrees with HAProxy’s counter after the first check, for any results and thresholds', () => {
    fc.assert(
      fc.property(
        fc.array(fc.boolean(), { maxLength: 60 }),
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 5 }),
        (results, rise, fall) => {
          let health = initialHealth(0);
          const model = new HaproxyCounter(rise, fall);
          results.forEach((ok, i) => {
            const before = health;
            health = afterCheck(health, check(i + 1, ok), { rise, fall });
            model.check(ok);
            assert.equal(health.state, model.state);
            assert.equal(health.since, before.state === health.state ? before.since : i + 1);
          });
          assert.deepEqual(
            health.checks.map(({ ok }) => ok),
            results.slice(-20),
          );
        },
      ),
    );
  });
});

/**
 * check_notify_success and check_notify_failure of HAProxy: a counter from 0 to rise + fall - 1, up from `rise` on; a
 * good check while up refills it, a failed one while down empties it. Ours begins with the first check.
 */
class HaproxyCounter {
  readonly #rise: number;
  readonly #fall: number;
  #counter: number | undefined;

  constructor(rise: number, fall: number) {
    this.#rise = rise;
    this.#fall = fall;
  }

  get state(): HealthState {
    if (this.#counter === undefined) return 'unchecked';
    return this.#counter >= this.#rise ? 'up' : 'down';
  }

  check(ok: boolean): void {
    const full = this.#rise + this.#fall - 1;
    if (this.#counter === undefined) {
      this.#counter = ok ? full : 0;
    } else if (ok) {
      this.#counter++;
      if (this.#counter >= this.#rise) this.#counter = full;
    } else if (this.#counter >= this.#rise) {
      this.#counter--;
      if (this.#counter < this.#rise) this.#counter = 0;
    } else {
      this.#counter = 0;
    }
  }
}
