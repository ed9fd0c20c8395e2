/** A port of 127.0.0.1 that nothing listens on, and nothing else can take while the test runs. */

import { type AddressInfo, connect, createServer } from 'node:net';
import { cleanUp } from './clean-up.ts';

/** It is the local port of an open connection: connecting to it is refused, and listening on it would fail. */
export async function reserveClosedPort(): Promise<number> {
  const server = createServer((socket) => socket.on('error', () => {}));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const holder = connect((server.address() as AddressInfo).port, '127.0.0.1');
  cleanUp(() => {
    holder.destroy();
    server.close();
  });
  await new Promise<void>((resolve, reject) => {
    holder.once('connect', resolve);
    holder.once('error', reject);
  });
  return holder.localPort!;
}
