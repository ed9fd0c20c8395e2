import assert from 'node:assert/strict';
import cluster, { type Worker } from 'node:cluster';
import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';
import { configSchema } from '../../../src/config/schema.ts';
import { createLogger } from '../../../src/observe/log.ts';
import { NO_TOTALS } from '../../../src/observe/totals.ts';
import { ClusterGroup } from '../../../src/process/cluster-group.ts';
import type { FromWorker, ToWorker } from '../../../src/process/messages.ts';
import { restartAfter } from '../../../src/process/restart.ts';

const CONFIG = configSchema.parse({
  backends: { main: { url: 'http://127.0.0.1:1' } },
  routes: [{ name: 'all', split: { main: 1 } }],
});
const LISTEN = { host: '127.0.0.1', port: 8_080 };

describe('the restart of a worker', () => {
  it('waits longer after each early death, up to 10 seconds', () => {
    const delays: number[] = [];
    for (let i = 0, failures = 0; i < 12; i++) {
      const { failuresInRow, delay } = restartAfter(failures, 500);
      assert.equal(failuresInRow, failures + 1);
      failures = failuresInRow;
      delays.push(delay);
    }
    assert.deepEqual(delays, [0, 100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000, 10_000, 10_000]);
    assert.equal(restartAfter(5_000, 0).delay, 10_000);
  });

  it('does not wait for a worker that lived for 10 seconds', () => {
    assert.deepEqual(restartAfter(7, 10_000), { failuresInRow: 0, delay: 0 });
    assert.equal(restartAfter(7, 9_999).delay, 6_400);
  });
});

/** A worker as `node:cluster` shows it to the primary. */
class FakeWorker extends EventEmitter {
  readonly id: number;
  readonly sent: ToWorker[] = [];
  readonly killed: string[] = [];
  readonly process: { readonly pid: number; kill(signal: string): void };
  connected = true;

  constructor(id: number) {
    super();
    this.id = id;
    this.process = { pid: 1_000 + id, kill: (signal) => this.killed.push(signal) };
  }

  isConnected(): boolean {
    return this.connected;
  }

  send(message: ToWorker): void {
    this.sent.push(message);
  }

  says(message: FromWorker): void {
    this.emit('message', message);
  }

  listens(): void {
    this.emit('online');
    this.says({ type: 'listening', host: '127.0.0.1', port: 8_080 });
  }

  dies(): void {
    this.connected = false;
    this.emit('exit', 1, null);
  }

  get types(): string[] {
    return this.sent.map(({ type }) => type);
  }
}

const workers: FakeWorker[] = [];
const clock = { now: 0 };
const online: number[] = [];
let restarts = 0;
let logged = '';

function group(count: number): ClusterGroup {
  const log = createLogger({
    level: 'error',
    service: 'test',
    destination: {
      write: (line: string) => {
        logged += line;
      },
      flush: () => Promise.resolve(true),
      flushSync: () => {},
      dropped: 0,
    },
  });
  return new ClusterGroup(count, {
    log: log.logger,
    onEndpointFailure: () => {},
    onOutlier: () => {},
    onExposure: () => {},
    onRestart: () => restarts++,
    onWorkers: (value) => online.push(value),
  });
}

/** Starts a group all of whose workers listen. */
async function started(count: number): Promise<ClusterGroup> {
  const made = group(count);
  const starting = made.start(CONFIG, [], LISTEN);
  workers[0]!.listens();
  await starting;
  for (const worker of workers.slice(1)) worker.listens();
  return made;
}

/** Returns true if `promise` is settled by now. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  promise.then(
    () => {
      settled = true;
    },
    () => {
      settled = true;
    },
  );
  for (let i = 0; i < 5; i++) await Promise.resolve();
  return settled;
}

const states = (made: ClusterGroup) => made.workers().map(({ state }) => state);

/** A totals message, as it comes with or without a question. */
const totals = (id: number | undefined): FromWorker => ({
  type: 'totals',
  id,
  totals: NO_TOTALS,
  eventLoop: undefined as never,
  pinStore: undefined,
  failures: [],
  exposure: [],
});

describe('a group of workers', () => {
  beforeEach(() => {
    workers.length = 0;
    online.length = 0;
    restarts = 0;
    logged = '';
    clock.now = 0;
    mock.method(cluster, 'setupPrimary', () => {});
    mock.method(cluster, 'fork', () => {
      const worker = new FakeWorker(workers.length + 1);
      workers.push(worker);
      return worker as unknown as Worker;
    });
    mock.method(performance, 'now', () => clock.now);
    mock.timers.enable({ apis: ['setTimeout'] });
  });
  afterEach(() => {
    mock.restoreAll();
    mock.timers.reset();
  });

  it('starts the others once the first one listens', async () => {
    const made = group(3);
    const starting = made.start(CONFIG, [], LISTEN);
    assert.equal(workers.length, 1);
    workers[0]!.listens();
    assert.deepEqual(await starting, { host: '127.0.0.1', port: 8_080 });
    assert.equal(workers.length, 3);
    assert.deepEqual(workers[0]!.types, ['start']);
    assert.deepEqual(states(made), ['online', 'starting', 'starting']);
    for (const worker of workers.slice(1)) worker.listens();
    assert.deepEqual(online, [1, 2, 3]);
  });

  it('does not start if the first worker cannot listen', async () => {
    const starting = group(2).start(CONFIG, [], LISTEN);
    workers[0]!.says({ type: 'failed', message: 'address in use' });
    await assert.rejects(starting, /address in use/);
    assert.equal(workers.length, 1);
  });

  it('does not start if the first worker dies', async () => {
    const starting = group(2).start(CONFIG, [], LISTEN);
    workers[0]!.dies();
    await assert.rejects(starting, /the first worker ended with exit code 1/);
    mock.timers.tick(60_000);
    assert.equal(workers.length, 1);
    assert.equal(restarts, 0);
  });

  it('kills a later worker that cannot listen, and starts another', async () => {
    await started(2);
    workers[1]!.dies();
    mock.timers.tick(0);
    workers[2]!.says({ type: 'failed', message: 'address in use' });
    assert.deepEqual(workers[2]!.killed, ['SIGKILL']);
    assert.match(logged, /worker cannot listen/);
  });

  it('starts a worker that died again, later each time, with the newest state', async () => {
    const made = await started(2);
    made.applyEndpoints([{ backend: 'main', endpoints: [] }]);
    workers[1]!.dies();
    assert.deepEqual([states(made)[1], restarts, online.at(-1)], ['dead', 1, 1]);
    mock.timers.tick(0);
    assert.equal(workers.length, 3);
    workers[2]!.dies();
    mock.timers.tick(99);
    assert.equal(workers.length, 3);
    mock.timers.tick(1);
    assert.equal(workers.length, 4);
    workers[3]!.emit('online');
    const [start] = workers[3]!.sent;
    assert.equal(start!.type, 'start');
    assert.deepEqual((start as Extract<ToWorker, { type: 'start' }>).endpoints, [
      { backend: 'main', endpoints: [] },
    ]);
    clock.now = 10_000;
    workers[3]!.dies();
    mock.timers.tick(0);
    assert.equal(workers.length, 5, 'it lived for a while');
    assert.equal(made.workers()[1]!.restarts, 3);
  });

  it('tells every worker of a change', async () => {
    const made = await started(2);
    made.applyConfig(CONFIG, []);
    made.retire();
    made.forgetPin('user', 'ann');
    for (const { types } of workers) assert.deepEqual(types, ['start', 'config', 'retire', 'forgetPin']);
  });

  it('waits for the totals of every worker, but for no more than 250 ms', async () => {
    const made = await started(2);
    const all = made.totals();
    for (const worker of workers) {
      const question = worker.sent.at(-1) as Extract<ToWorker, { type: 'collect' }>;
      assert.equal(question.type, 'collect');
      assert.equal(await isSettled(all), false);
      worker.says(totals(question.id));
    }
    assert.equal(await isSettled(all), true);
    const late = made.totals();
    mock.timers.tick(249);
    assert.equal(await isSettled(late), false);
    mock.timers.tick(1);
    assert.equal(await isSettled(late), true);
  });

  it('does not wait for the totals of a worker that dies', async () => {
    const made = await started(1);
    const all = made.totals();
    workers[0]!.dies();
    assert.equal(await isSettled(all), true);
  });

  it('is drained once every worker is, or has died', async () => {
    const made = await started(3);
    const drained = made.drain();
    assert.deepEqual(states(made), ['draining', 'draining', 'draining']);
    for (const { types } of workers) assert.equal(types.at(-1), 'drain');
    workers[0]!.says({ type: 'drained' });
    workers[1]!.dies();
    assert.equal(await isSettled(drained), false);
    workers[2]!.says({ type: 'drained' });
    assert.equal(await isSettled(drained), true);
    mock.timers.tick(60_000);
    assert.equal(workers.length, 3, 'none is started again');
  });

  it('does not wait for a worker that is to be started again', async () => {
    const made = await started(2);
    workers[1]!.dies();
    const drained = made.drain();
    workers[0]!.says({ type: 'drained' });
    assert.equal(await isSettled(drained), true);
    mock.timers.tick(60_000);
    assert.equal(workers.length, 2);
  });

  it('does not have a worker listen that comes online while the group drains', async () => {
    const made = await started(2);
    workers[1]!.dies();
    mock.timers.tick(0);
    const drained = made.drain();
    workers[2]!.emit('online');
    assert.deepEqual(workers[2]!.types, ['drain']);
    workers[2]!.says({ type: 'drained' });
    workers[0]!.says({ type: 'drained' });
    assert.equal(await isSettled(drained), true);
  });

  it('kills what is left when it is destroyed, and starts none again', async () => {
    const made = await started(2);
    made.destroy();
    for (const worker of workers) {
      assert.deepEqual(worker.killed, ['SIGKILL']);
      worker.dies();
    }
    mock.timers.tick(60_000);
    assert.equal(workers.length, 2);
    assert.equal(restarts, 0);
  });
});
