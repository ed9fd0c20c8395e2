/**
 * Opens connections, sends one request on each, and keeps them idle until standard input ends.
 * Argument: JSON `{ port, connections }`. Prints `ready` when every one has had its answer.
 */

import { connect } from 'node:net';
import { wireOf } from '../drivers/wire.ts';
import { requestsOf } from '../workload.ts';

const { port, connections } = JSON.parse(process.argv[2] ?? '{}') as { port: number; connections: number };
const requests = requestsOf('get', 100).map((request) => wireOf(request, port));
/** Opened at once; more would overflow the queue of new connections. */
const BATCH = 200;

function open(index: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1' }, () =>
      socket.write(requests[index % requests.length]!),
    );
    let text = '';
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      const end = text.indexOf('\r\n\r\n');
      if (end !== -1 && text.length >= end + 4 + 100) resolve();
    });
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('a connection was closed')));
  });
}

for (let from = 0; from < connections; from += BATCH) {
  const count = Math.min(BATCH, connections - from);
  await Promise.all(Array.from({ length: count }, (_, index) => open(from + index)));
}
process.stdout.write('ready\n');
process.stdin.resume().once('end', () => process.exit(0));
