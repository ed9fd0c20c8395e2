/** Ports for servers that must be told a number before they listen. */

import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * Below the range from which Linux takes the ports of outgoing connections (32,768 and up): a port from there may be
 * gone between the moment it is found free and the moment the server listens, whenever other tests make connections.
 */
const LOWEST = 10_000;
const HIGHEST = 32_767;

/** A port on which nobody listened a moment ago, between these two. */
export async function freePort(highest = HIGHEST, lowest = LOWEST): Promise<number> {
  for (;;) {
    const port = randomInt(lowest, highest + 1);
    if (await isFree(port)) return port;
  }
}

/** As many different ones. */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) ports.add(await freePort());
  return [...ports];
}

export async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  server.listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch {
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}
