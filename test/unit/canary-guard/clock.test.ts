/** A brake ends by the wall clock, as every override does; the guard goes by one that does not jump. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { boardBrake, GUARD } from '../../../src/canary-guard/brake.ts';
import { CanaryGuard } from '../../../src/canary-guard/canary-guard.ts';
import { GuardMetrics } from '../../../src/canary-guard/metrics.ts';
import { configSchema } from '../../../src/config/schema.ts';
import { Ledger } from '../../../src/observe/ledger.ts';
import { TrafficMetrics } from '../../../src/observe/traffic-metrics.ts';
import { OverrideBoard } from '../../../src/overrides/board.ts';

const SECOND_MS = 1_000;
const HOUR_MS = 3_600_000;

/** A guard that has just braked a canary which fails, for ten minutes. */
async function braked() {
  const ledger = new Ledger();
  const traffic = new TrafficMetrics(ledger);
  let monotonic = 0;
  let wall = Date.UTC(2026, 0, 1);
  const board = new OverrideBoard({
    clock: () => wall,
    now: () => monotonic,
    onChange: () => {},
    onShared: () => {},
  });
  const guard = new CanaryGuard({
    now: () => monotonic,
    totals: () => Promise.resolve(ledger.totals()),
    brake: boardBrake(board),
    metrics: new GuardMetrics(new Ledger()),
    tell: () => {},
    log: () => {},
  });
  guard.configure(
    configSchema.parse({
      backends: { canary: { url: 'http://127.0.0.1:1' }, main: { url: 'http://127.0.0.1:2' } },
      routes: [{ name: 'all', split: { canary: 20, main: 80 }, guard: 'act' }],
      guard: { hold: '10m' },
    }),
  );
  const look = async () => {
    monotonic += SECOND_MS;
    wall += SECOND_MS;
    await guard.look();
  };
  for (let i = 0; i < 60 && board.active().length === 0; i++) {
    for (let n = 0; n < 80; n++) traffic.rowCells('all', 'main').record('GET', 200, 5, 5);
    for (let n = 0; n < 20; n++) traffic.rowCells('all', 'canary').record('GET', 500, 5, 5);
    await look();
  }
  const [brake] = board.active();
  assert.equal(brake?.by, GUARD);
  return {
    board,
    guard,
    look,
    brake: brake!,
    jump: (ms: number) => {
      wall += ms;
    },
  };
}

test('a canary that is braked stays so when the wall clock is set forward', async () => {
  const { board, guard, look, brake, jump } = await braked();
  jump(HOUR_MS);
  assert.deepEqual(board.active(), [], 'by the wall clock its time is over');
  await look();
  const [again] = board.active();
  assert.equal(again?.by, GUARD);
  assert.deepEqual(again?.target, brake.target);
  assert.deepEqual(
    guard.view().map(({ phase, trips }) => [phase, trips]),
    [['braked', 1]],
  );
  board.close();
});

test('a brake that somebody ends is ended', async () => {
  const { board, guard, look, brake } = await braked();
  board.end(brake);
  await look();
  assert.deepEqual(board.active(), []);
  assert.deepEqual(
    guard.view().map(({ phase }) => phase),
    ['watching'],
  );
  board.close();
});
