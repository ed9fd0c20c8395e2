/** A port of 127.0.0.1 that nothing listens on while the tests run. */

import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isFree } from './free-port.ts';

/** Below the ports that `freePort` hands out. Tests may share a closed port: nothing ever listens on these. */
const LOWEST = 4_400;
const HIGHEST = 4_899;

/**
 * Returns a port to which connecting is refused. It is not a port that the kernel gives to outgoing connections: a
 * connection to such a port can take that port itself, and then connects to itself.
 */
export async function reserveClosedPort(): Promise<number> {
  const range = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8');
  const lowestOutgoing = Number(range.trim().split(/\s+/)[0]);
  if (lowestOutgoing <= HIGHEST) {
    throw new Error(
      `ip_local_port_range begins at ${lowestOutgoing}; tests need closed ports: set it above ${HIGHEST}`,
    );
  }
  for (;;) {
    const port = randomInt(LOWEST, HIGHEST + 1);
    if (await isFree(port)) return port;
  }
}
