/**
 * Opens connections from several addresses, asks one thing on each, and keeps them idle until standard input ends.
 * Argument: JSON `{ port, connections, addresses }`. Prints `ready` when each has had its answer; exits with 1 when one was
 * wrong, or ended before.
 */

import { RawClient } from '../../../support/raw-client.ts';

interface Wanted {
  readonly port: number;
  readonly connections: number;
  readonly addresses: readonly string[];
  /** Of the first request; the next ones count up from it. */
  readonly firstNonce: number;
}

const { port, connections, addresses, firstNonce } = JSON.parse(process.argv[2] ?? '{}') as Wanted;

/** Opened at once; more would overflow the queue of new connections. */
const BATCH = 200;

const clients: RawClient[] = [];

async function open(index: number): Promise<void> {
  const client = await RawClient.connect(port, { localAddress: addresses[index % addresses.length]! });
  clients.push(client);
  const nonce = `n${(firstNonce + index).toString(16).padStart(7, '0')}`;
  const answer = await client
    .send(`GET /open/answers/${nonce} HTTP/1.1\r\nHost: a\r\n\r\n`)
    .read({ timeoutMs: 60_000 });
  if (answer.status !== 200 || answer.value('x-nonce') !== nonce)
    throw new Error(`${nonce} got ${answer.status} ${answer.value('x-nonce')}`);
  void client.closed.then(() => {
    if (!ending) throw new Error('a connection was closed');
  });
}

let ending = false;
for (let from = 0; from < connections; from += BATCH) {
  await Promise.all(Array.from({ length: Math.min(BATCH, connections - from) }, (_, i) => open(from + i)));
}
process.stdout.write('ready\n');
process.stdin.resume().once('end', () => {
  ending = true;
  process.exit(0);
});
