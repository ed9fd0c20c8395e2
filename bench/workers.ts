/**
 * How a port shared by workers spreads connections, and what accepting one costs: the primary accepts and passes the
 * handle on in turn (Node's default, what Pointsman does), or each worker listens itself with SO_REUSEPORT and the
 * kernel chooses by a hash of the addresses.
 *
 *   node bench/workers.ts [--workers 4] [--connections 64] [--seconds 4] [--rounds 5]
 */

import cluster from 'node:cluster';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { cpuBetween, readCpu } from './cpu.ts';
import { driveWrk } from './drivers/wrk.ts';
import { freePorts, isInstalled } from './launch.ts';
import { median, plainText } from './report.ts';
import { requestsOf } from './workload.ts';

type Way = 'handles' | 'reusePort';

if (cluster.isWorker) serve(process.env['BENCH_WAY'] as Way, Number(process.env['BENCH_PORT']));
else await main();

/** As little as a server can do, so that the way of accepting shows. */
function serve(way: Way, port: number): void {
  let open = 0;
  const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok';
  const server = createServer((socket) => {
    open++;
    socket.on('error', () => {});
    socket.once('close', () => {
      open--;
    });
    socket.on('data', (data: Buffer) => {
      if (data.includes('Connection: close')) socket.end(answer);
    });
  });
  process.on('message', () => process.send!({ open }));
  server.listen({ port, host: '127.0.0.1', backlog: 4096, reusePort: way === 'reusePort' }, () =>
    process.send!({ ready: true }),
  );
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      workers: { type: 'string', default: '4' },
      connections: { type: 'string', default: '64' },
      seconds: { type: 'string', default: '4' },
      rounds: { type: 'string', default: '5' },
    },
  });
  if (!isInstalled('wrk')) {
    console.error('wrk is not installed');
    process.exit(2);
  }
  const connections = Number(values.connections);
  const results = new Map<Way, { spread: string; fullest: number; cpuUs: number; rate: number }[]>([
    ['handles', []],
    ['reusePort', []],
  ]);
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const [way, found] of results) {
      found.push(await measure(way, Number(values.workers), connections, Number(values.seconds)));
    }
  }
  const rows = [...results].map(([way, found]) => [
    way,
    found.map(({ spread }) => spread).join('; '),
    median(found.map(({ fullest }) => fullest)).toFixed(2),
    String(Math.round(median(found.map(({ rate }) => rate)))),
    median(found.map(({ cpuUs }) => cpuUs)).toFixed(1),
  ]);
  const head = [
    'way',
    'connections of each worker, by round',
    'fullest × even',
    'new connections/s',
    'CPU µs/connection',
  ];
  const title = `${values.workers} workers, ${connections} connections kept open, then ${connections} at a time anew`;
  console.log(plainText({ title, head, rows, notes: [] }));
  process.exit(0);
}

async function measure(way: Way, count: number, connections: number, seconds: number) {
  const [port] = await freePorts(1);
  cluster.setupPrimary({ exec: import.meta.filename });
  const workers = Array.from({ length: count }, () =>
    cluster.fork({ BENCH_WAY: way, BENCH_PORT: String(port) }),
  );
  const folder = mkdtempSync(join(tmpdir(), 'pointsman-workers-'));
  try {
    await Promise.all(workers.map((worker) => once(worker, 'message')));
    const sockets: Socket[] = [];
    for (let i = 0; i < connections; i++) {
      const socket = connect(port!, '127.0.0.1');
      await once(socket, 'connect');
      sockets.push(socket);
    }
    await sleep(300);
    const open = await Promise.all(
      workers.map(async (worker) => {
        worker.send({});
        const [message] = (await once(worker, 'message')) as [{ open: number }];
        return message.open;
      }),
    );
    for (const socket of sockets) socket.destroy();
    const before = readCpu(process.pid);
    const load = { port: port!, requests: requestsOf('connect', 100), connections, seconds };
    const { requests } = await driveWrk(load, undefined, folder);
    const { totalUs } = cpuBetween(before, readCpu(process.pid));
    return {
      spread: open.join(' '),
      fullest: Math.max(...open) / (connections / count),
      cpuUs: totalUs / requests,
      rate: requests / seconds,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
    for (const worker of workers) worker.process.kill('SIGKILL');
    await Promise.all(workers.map((worker) => (worker.isDead() ? undefined : once(worker, 'exit'))));
  }
}
