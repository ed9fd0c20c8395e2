/** Paced load as JSON on standard input → result as JSON on standard output. */

import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import type { LoadResult } from './driver.ts';
import { latencyHistogram, latencyOf, record } from './histogram.ts';
import type { PacedLoad } from './paced.ts';
import { wireOf } from './wire.ts';

const load = JSON.parse(await text(process.stdin)) as PacedLoad;
const wire = load.requests.map((request) => wireOf(request, load.port));

const histogram = latencyHistogram();
const idle: Connection[] = [];
const open = new Set<Connection>();
const waiting: number[] = [];
let sent = 0;
let requests = 0;
let bytes = 0;
let errors = 0;
let non2xx = 0;
let timedFrom = 0;

interface Connection {
  readonly socket: Socket;
  /** When the request under way was due; NaN: none is. */
  due: number;
  buffered: string;
  /** Bytes of the body still to come; -1: the head is not complete. */
  missing: number;
}

function addConnection(): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: load.port, host: '127.0.0.1', noDelay: true });
    const connection: Connection = { socket, due: Number.NaN, buffered: '', missing: -1 };
    socket.once('connect', () => {
      open.add(connection);
      idle.push(connection);
      resolve();
    });
    socket.once('error', reject);
    socket.on('data', (chunk: Buffer) => receive(connection, chunk));
    socket.once('close', () => {
      if (finished) return;
      errors += 1;
      open.delete(connection);
      const index = idle.indexOf(connection);
      if (index !== -1) idle.splice(index, 1);
      addConnection().catch(() => {
        errors += 1;
      });
    });
  });
}

function send(connection: Connection, due: number): void {
  connection.due = due;
  connection.socket.write(wire[sent % wire.length]!);
  sent += 1;
}

function receive(connection: Connection, chunk: Buffer): void {
  bytes += chunk.length;
  if (connection.missing === -1) {
    connection.buffered += chunk.toString('latin1');
    const end = connection.buffered.indexOf('\r\n\r\n');
    if (end === -1) return;
    const head = connection.buffered.slice(0, end);
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
    if (length === undefined) {
      connection.socket.destroy(); // counted as an error when it closes
      return;
    }
    if (head.charCodeAt(9) !== 0x32) non2xx += 1;
    connection.missing = Number(length) - (connection.buffered.length - end - 4);
  } else {
    connection.missing -= chunk.length;
  }
  if (connection.missing > 0) return;
  if (connection.due >= timedFrom) record(histogram, performance.now() - connection.due);
  requests += 1;
  connection.due = Number.NaN;
  connection.buffered = '';
  connection.missing = -1;
  const next = waiting.shift();
  if (next === undefined) idle.push(connection);
  else send(connection, next);
}

let finished = false;
await Promise.all(Array.from({ length: load.connections }, () => addConnection()));

const start = performance.now();
timedFrom = start + (load.settle ?? 0) * 1000;
const total = Math.round(load.rate * load.seconds);
let due = 0;
await new Promise<void>((resolve) => {
  const timer = setInterval(() => {
    const now = performance.now();
    // Timers fire each millisecond at best: what became due since then goes out together, timed from now.
    const target = Math.min(total, Math.floor(((now - start) / 1000) * load.rate));
    for (; due < target; due += 1) {
      const connection = idle.shift();
      if (connection === undefined) waiting.push(now);
      else send(connection, now);
    }
    const overdue = now - start > load.seconds * 1000 + 5000;
    if ((due === total && requests + errors >= total) || overdue) {
      clearInterval(timer);
      resolve();
    }
  }, 1);
});
const seconds = (performance.now() - start) / 1000;
finished = true;
for (const connection of open) connection.socket.destroy();

const result: LoadResult = {
  requests,
  seconds,
  bytes,
  latency: latencyOf(histogram),
  errors: errors + Math.max(0, total - requests - errors),
  non2xx,
};
process.stdout.write(JSON.stringify(result), () => process.exit(0));
