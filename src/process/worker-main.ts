/** Entry of a worker: it forwards, and does nothing else. The primary tells it what it needs to know. */
import cluster from 'node:cluster';
import { createLogger, type Log } from '../observe/log.ts';
import { Forwarding } from './forwarding.ts';
import type { FromWorker, ToWorker } from './messages.ts';

/** How often the counters go to the primary: what a worker that is killed takes with it at most. */
const TOTALS_INTERVAL_MS = 1_000;

const worker = cluster.worker;
if (worker === undefined) throw new Error('this file is started by the primary');
let log: Log | undefined;
let forwarding: Forwarding | undefined;

// The primary decides when to end: a signal to the whole process group must not end workers before it has said so.
process.on('SIGTERM', () => {});
process.on('SIGINT', () => {});
process.on('SIGHUP', () => {});
// Node's own answer is a debugger on a port of the machine.
process.on('SIGUSR1', () => {});

process.on('uncaughtException', (error) => {
  log?.logger.fatal({ err: error }, 'worker failed');
  log?.flushSync();
  process.exit(1);
});

worker.on('message', (message: ToWorker) => {
  switch (message.type) {
    case 'start':
      start(message);
      break;
    case 'config':
      forwarding?.applyConfig(message.config, message.endpoints);
      break;
    case 'endpoints':
      forwarding?.applyEndpoints(message.endpoints);
      break;
    case 'forgetPin':
      forwarding?.forgetPin(message.pin, message.user);
      break;
    case 'collect':
      sendTotals(message.id);
      break;
    case 'retire':
      forwarding?.retire();
      break;
    case 'drain':
      void drain();
      break;
    case 'cut':
      forwarding?.cut();
      break;
  }
});

function start(message: Extract<ToWorker, { type: 'start' }>): void {
  const { config, endpoints, listen } = message;
  log = createLogger({ level: config.log.level, service: config.service, shared: true });
  forwarding = new Forwarding({
    config,
    endpoints,
    worker: String(worker!.id),
    ownsLog: true,
    log,
    onEndpointFailure: (backend, address, port) => send({ type: 'endpointFailure', backend, address, port }),
    onOutlier: (backend, address, port, cause) => send({ type: 'outlier', backend, address, port, cause }),
  });
  forwarding.listen(listen).then(
    ({ host, port }) => send({ type: 'listening', host, port }),
    (error: Error) => send({ type: 'failed', message: error.message }),
  );
  setInterval(() => sendTotals(undefined), TOTALS_INTERVAL_MS).unref();
}

async function drain(): Promise<void> {
  await forwarding?.drain();
  await log?.flush();
  sendTotals(undefined);
  send({ type: 'drained' });
}

function sendTotals(id: number | undefined): void {
  if (forwarding === undefined) return;
  const totals = forwarding.totals();
  const failures = log?.failures.take() ?? [];
  send({
    type: 'totals',
    id,
    totals,
    eventLoop: forwarding.eventLoop(),
    pinStore: forwarding.pinStore(),
    failures,
    exposure: forwarding.takeExposure(),
  });
}

/** The channel is closed when the primary is gone; the worker then ends by itself. */
function send(message: FromWorker): void {
  if (process.connected) process.send!(message, undefined, undefined, () => {});
}
