/** Where a lane listens, and how. */
import type { ListenOptions } from 'node:net';
import type { ListenAddress } from '../config/schema.ts';

export interface TrafficAddress extends Readonly<ListenAddress> {
  /**
   * Several processes listen on the port, each with a socket of its own, and the kernel spreads connections over them
   * (SO_REUSEPORT). Measured beside passing handles from the primary (`bench/workers.ts`): as even, and a third of the
   * CPU for each connection. Default: false, which also keeps two processes from sharing a port by mistake.
   */
  readonly reusePort?: boolean;
}

/** Connections that wait to be accepted; the kernel bounds it by net.core.somaxconn. */
const BACKLOG = 4096;

export function listenOptions({ host, port, reusePort = false }: TrafficAddress): ListenOptions {
  return { host, port, reusePort, backlog: BACKLOG };
}
