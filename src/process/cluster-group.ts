/** Workers as processes of their own: one that dies takes only its own connections with it, and is replaced. */
import cluster, { type Worker } from 'node:cluster';
import { type AddressInfo, createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { WorkerFacts } from '../admin/status.ts';
import type { BackendEndpoints } from '../backends/endpoint.ts';
import type { OutlierCause } from '../backends/outlier.ts';
import type { Config, ListenAddress } from '../config/schema.ts';
import type { TrafficAddress } from '../forward/listener.ts';
import type { EventLoopReading } from '../observe/event-loop.ts';
import type { Logger } from '../observe/log.ts';
import { type FailedRequest, latestFailures } from '../observe/recent-failures.ts';
import { type LedgerTotals, NO_TOTALS } from '../observe/totals.ts';
import { WorkerLedgers } from '../observe/worker-ledgers.ts';
import type { LinkState } from '../pinning/redis-link.ts';
import type { ForwardingGroup, TrafficEdges } from './forwarding-group.ts';
import type { FromWorker, ToWorker } from './messages.ts';
import { restartAfter } from './restart.ts';

/** Longest a scrape waits for a worker's newest totals before it takes those of the last second. */
const COLLECT_TIMEOUT_MS = 250;

interface Slot {
  readonly index: number;
  worker: Worker | undefined;
  state: 'starting' | 'online' | 'draining' | 'dead';
  restarts: number;
  failuresInRow: number;
  startedAt: number;
  eventLoop: EventLoopReading | undefined;
  pinStore: LinkState | undefined;
  drained: boolean;
}

export interface ClusterGroupEdges {
  readonly log: Logger;
  readonly onEndpointFailure: (backend: string, address: string, port: number) => void;
  readonly onOutlier: (backend: string, address: string, port: number, cause: OutlierCause) => void;
  readonly onExposure: TrafficEdges['onExposure'];
  readonly onRestart: () => void;
  readonly onWorkers: (online: number) => void;
}

export class ClusterGroup implements ForwardingGroup {
  readonly #edges: ClusterGroupEdges;
  readonly #slots: Slot[];
  readonly #ledgers = new WorkerLedgers();
  readonly #questions = new Map<number, { waiting: Set<Worker>; done: () => void }>();
  #lastQuestion = 0;
  #failures: readonly FailedRequest[] = [];
  #config: Config | undefined;
  #endpoints: readonly BackendEndpoints[] = [];
  #listen: TrafficAddress | undefined;
  #ending = false;
  #onFirst:
    | { resolve(address: { host: string; port: number }): void; reject(error: Error): void }
    | undefined;
  #onDrained: (() => void) | undefined;

  constructor(count: number, edges: ClusterGroupEdges) {
    this.#edges = edges;
    this.#slots = Array.from({ length: count }, (_, index) => ({
      index,
      worker: undefined,
      state: 'starting',
      restarts: 0,
      failuresInRow: 0,
      startedAt: 0,
      eventLoop: undefined,
      pinStore: undefined,
      drained: false,
    }));
    // The entry has the extension of this file: .ts in a checkout, .js in the package.
    const entry = new URL(
      `./worker-main${import.meta.url.slice(import.meta.url.lastIndexOf('.'))}`,
      import.meta.url,
    );
    cluster.setupPrimary({ exec: fileURLToPath(entry), args: [], serialization: 'advanced' });
  }

  async start(
    config: Config,
    endpoints: readonly BackendEndpoints[],
    listen: ListenAddress,
  ): Promise<{ host: string; port: number }> {
    this.#config = config;
    this.#endpoints = endpoints;
    // Workers share a port by its number: port 0 would be another one after all of them have died.
    const { host } = listen;
    const port = listen.port === 0 ? await freePort(host) : listen.port;
    // Elsewhere a shared port is not spread evenly, or there is none.
    this.#listen = { host, port, reusePort: process.platform === 'linux' };
    const [first, ...others] = this.#slots;
    const address = await new Promise<{ host: string; port: number }>((resolve, reject) => {
      this.#onFirst = { resolve, reject };
      this.#fork(first!);
    });
    this.#onFirst = undefined;
    for (const slot of others) this.#fork(slot);
    return address;
  }

  applyConfig(config: Config, endpoints: readonly BackendEndpoints[]): void {
    this.#config = config;
    this.#endpoints = endpoints;
    this.#broadcast({ type: 'config', config, endpoints });
  }

  applyEndpoints(endpoints: readonly BackendEndpoints[]): void {
    const merged = new Map(this.#endpoints.map((list) => [list.backend, list]));
    for (const list of endpoints) merged.set(list.backend, list);
    this.#endpoints = [...merged.values()];
    this.#broadcast({ type: 'endpoints', endpoints });
  }

  async totals(): Promise<LedgerTotals> {
    const waiting = new Set(this.#live());
    if (waiting.size > 0) {
      const id = ++this.#lastQuestion;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, COLLECT_TIMEOUT_MS);
        const done = () => {
          clearTimeout(timer);
          resolve();
        };
        this.#questions.set(id, { waiting, done });
        for (const worker of waiting) tell(worker, { type: 'collect', id });
      });
      this.#questions.delete(id);
    }
    return this.#ledgers.merged(NO_TOTALS);
  }

  forgetPin(pin: string, user: string): void {
    this.#broadcast({ type: 'forgetPin', pin, user });
  }

  failures(): readonly FailedRequest[] {
    return this.#failures;
  }

  workers(): readonly WorkerFacts[] {
    return this.#slots.map((slot) => ({
      id: slot.worker?.id ?? 0,
      pid: slot.worker?.process.pid ?? 0,
      state: slot.state,
      restarts: slot.restarts,
      eventLoop: slot.eventLoop,
      pinStore: slot.pinStore,
    }));
  }

  retire(): void {
    this.#broadcast({ type: 'retire' });
  }

  async drain(): Promise<void> {
    this.#ending = true;
    for (const slot of this.#slots) {
      if (slot.state === 'online') slot.state = 'draining';
      if (slot.worker === undefined) slot.drained = true;
    }
    const drained = new Promise<void>((resolve) => {
      this.#onDrained = resolve;
    });
    this.#broadcast({ type: 'drain' });
    this.#checkDrained();
    await drained;
  }

  cut(): void {
    this.#broadcast({ type: 'cut' });
  }

  destroy(): void {
    this.#ending = true;
    for (const worker of this.#live()) worker.process.kill('SIGKILL');
  }

  #fork(slot: Slot): void {
    if (this.#ending) return;
    const worker = cluster.fork();
    slot.worker = worker;
    slot.state = 'starting';
    slot.startedAt = performance.now();
    slot.eventLoop = undefined;
    slot.pinStore = undefined;
    worker.on('online', () => {
      // It was told to drain before it had begun, and would listen after that.
      if (this.#ending) return;
      tell(worker, {
        type: 'start',
        config: this.#config!,
        endpoints: this.#endpoints,
        listen: this.#listen!,
      });
    });
    worker.on('message', (message: FromWorker) => this.#onMessage(slot, worker, message));
    worker.on('error', (error) => this.#edges.log.error({ err: error, worker: worker.id }, 'worker channel'));
    worker.on('exit', (code, signal) => this.#onExit(slot, worker, code, signal));
  }

  #onMessage(slot: Slot, worker: Worker, message: FromWorker): void {
    switch (message.type) {
      case 'listening':
        slot.state = 'online';
        this.#onFirst?.resolve({ host: message.host, port: message.port });
        this.#tellWorkers();
        break;
      case 'failed':
        if (this.#onFirst !== undefined) {
          this.#onFirst.reject(new Error(message.message));
          break;
        }
        this.#edges.log.error({ worker: worker.id, reason: message.message }, 'worker cannot listen');
        worker.process.kill('SIGKILL');
        break;
      case 'totals': {
        this.#ledgers.update(worker.id, message.totals);
        slot.eventLoop = message.eventLoop;
        slot.pinStore = message.pinStore;
        this.#failures = latestFailures(this.#failures, message.failures);
        if (message.exposure.length > 0) this.#edges.onExposure(message.exposure);
        if (message.id !== undefined) this.#answered(message.id, worker);
        break;
      }
      case 'endpointFailure':
        this.#edges.onEndpointFailure(message.backend, message.address, message.port);
        break;
      case 'outlier':
        this.#edges.onOutlier(message.backend, message.address, message.port, message.cause);
        break;
      case 'drained':
        slot.drained = true;
        this.#checkDrained();
        break;
    }
  }

  #onExit(slot: Slot, worker: Worker, code: number | null, signal: string | null): void {
    this.#ledgers.retire(worker.id);
    for (const id of this.#questions.keys()) this.#answered(id, worker);
    slot.worker = undefined;
    slot.state = 'dead';
    slot.drained = true;
    if (this.#ending) {
      this.#checkDrained();
      return;
    }
    if (this.#onFirst !== undefined) {
      this.#onFirst.reject(new Error(`the first worker ended with ${signal ?? `exit code ${code}`}`));
      return;
    }
    this.#tellWorkers();
    slot.restarts++;
    slot.drained = false;
    this.#edges.onRestart();
    const { failuresInRow, delay } = restartAfter(slot.failuresInRow, performance.now() - slot.startedAt);
    slot.failuresInRow = failuresInRow;
    this.#edges.log.error(
      { worker: worker.id, pid: worker.process.pid, code, signal, restartInMs: delay },
      'worker died',
    );
    setTimeout(() => this.#fork(slot), delay);
  }

  #answered(id: number, worker: Worker): void {
    const question = this.#questions.get(id);
    if (question === undefined) return;
    question.waiting.delete(worker);
    if (question.waiting.size === 0) question.done();
  }

  #checkDrained(): void {
    if (this.#slots.every((slot) => slot.drained)) this.#onDrained?.();
  }

  #tellWorkers(): void {
    this.#edges.onWorkers(this.#slots.filter((slot) => slot.state === 'online').length);
  }

  #broadcast(message: ToWorker): void {
    for (const slot of this.#slots) {
      // A worker that is starting gets the newest state with its first message.
      if (slot.worker?.isConnected()) tell(slot.worker, message);
    }
  }

  #live(): Worker[] {
    return this.#slots.flatMap((slot) => (slot.worker === undefined ? [] : [slot.worker]));
  }
}

function freePort(host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ host, port: 0, exclusive: true }, () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

/** Errors of the channel mean that the worker is going: its exit is what is acted on. */
function tell(worker: Worker, message: ToWorker): void {
  if (worker.isConnected()) worker.send(message, undefined, undefined, () => {});
}
