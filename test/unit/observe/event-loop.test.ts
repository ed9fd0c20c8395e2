import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { EventLoopMetrics, EventLoopMonitor } from '../../../src/observe/event-loop.ts';
import { Ledger } from '../../../src/observe/ledger.ts';
import { familyOf, type ValueSeries } from '../../../src/observe/totals.ts';

function monitorFor(t: TestContext, windowMs: number): EventLoopMonitor {
  const monitor = new EventLoopMonitor({ windowMs });
  t.after(() => monitor.close());
  return monitor;
}

function block(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

/** Waits until the condition holds; the deadline only ends a test that would fail anyway. */
async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, 'the condition never held');
    await sleep(10);
  }
}

test('a blocked loop shows as lag, and reading does not reset it', async (t) => {
  const monitor = monitorFor(t, 3_600_000);
  await sleep(50);
  block(300);
  await until(() => monitor.read().lagMs.max > 200);
  for (let n = 0; n < 5; n++) assert.ok(monitor.read().lagMs.max > 200);
  const { lagMs, utilization } = monitor.read();
  assert.ok(lagMs.p50 <= lagMs.p90 && lagMs.p90 <= lagMs.p99 && lagMs.p99 <= lagMs.max);
  assert.ok(utilization > 0 && utilization <= 1);
});

test('lag is forgotten when a later window had none as bad', async (t) => {
  const monitor = monitorFor(t, 100);
  await sleep(30);
  block(1_000);
  await until(() => monitor.read().lagMs.max > 900);
  await until(() => monitor.read().lagMs.max < 900);
});

test('nothing measured yet reads as no lag, and closing lets the process end', () => {
  const monitor = new EventLoopMonitor();
  assert.deepEqual(monitor.read().lagMs, { p50: 0, p90: 0, p99: 0, max: 0 });
  monitor.close();
});

test('a reading is exposed in seconds under the label of its worker', () => {
  const ledger = new Ledger();
  const metrics = new EventLoopMetrics(ledger, '3');
  metrics.set({ lagMs: { p50: 1, p90: 2, p99: 30, max: 400 }, utilization: 0.25 });
  const lag = familyOf(ledger.totals(), 'pointsman_event_loop_lag_seconds')!.series as ValueSeries[];
  assert.deepEqual(
    lag.map(({ labels, value }) => [...labels, value]),
    [
      ['3', '0.5', 0.001],
      ['3', '0.9', 0.002],
      ['3', '0.99', 0.03],
      ['3', '1', 0.4],
    ],
  );
  assert.deepEqual(familyOf(ledger.totals(), 'pointsman_event_loop_utilization')!.series, [
    { labels: ['3'], value: 0.25 },
  ]);
});
