/** Upstreams at addresses of this host, and traffic through a proxy that finds them by DNS. */

import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ResolutionReport } from '../../src/admin/status.ts';
import { cleanUp } from './clean-up.ts';
import { POD_SEARCH, QUICK, type ResolverInput } from './dns-resolver.ts';
import type { PointsmanProcess, TestConfig } from './pointsman-process.ts';
import { send } from './request.ts';

export interface AddressUpstream {
  readonly port: number;
  /** Closes it, connections included. */
  close(): void;
}

/** Answers with its own `address:port`, so that a test sees where a request went. */
export async function listenOn(host: string, port = 0): Promise<AddressUpstream> {
  const server: Server = createServer((request, response) =>
    response.end(`${host}:${request.socket.localPort}`),
  );
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  cleanUp(close);
  server.listen(port, host);
  await once(server, 'listening');
  return { port: (server.address() as AddressInfo).port, close };
}

/** As in a pod whose DNS server is that one, with quick timeouts and short TTLs. */
export function overDns(nameserver: string, changes: ResolverInput = {}): Pick<TestConfig, 'resolver'> {
  return { resolver: { ...QUICK, nameservers: [nameserver], search: POD_SEARCH, ndots: 5, ...changes } };
}

export async function resolutionOf(proxy: PointsmanProcess, backend?: string): Promise<ResolutionReport> {
  const { backends } = await proxy.status();
  return backends.find(({ name }) => backend === undefined || name === backend)!.resolution;
}

/** Labels of the endpoints of the first backend that are up. */
export async function endpointsUp(proxy: PointsmanProcess): Promise<string[]> {
  const { endpoints } = (await proxy.status()).backends[0]!;
  return endpoints.filter(({ health }) => health === 'up').map(({ endpoint }) => endpoint);
}

export interface Traffic {
  /** Requests so far. */
  readonly sent: number;
  /** Resolves to how many requests were sent, and every answer that was not a 200. */
  stop(): Promise<{ sent: number; failed: string[] }>;
}

/** Requests without pause, several at a time. */
export function endlessTraffic(proxy: PointsmanProcess, concurrency = 1): Traffic {
  let running = true;
  let sent = 0;
  const failed: string[] = [];
  const client = async () => {
    while (running) {
      sent++;
      try {
        const { status, text } = await send(proxy.trafficPort);
        if (status !== 200) failed.push(`${status} ${text}`);
      } catch (error) {
        failed.push((error as Error).message);
      }
    }
  };
  const done = Promise.all(Array.from({ length: concurrency }, client));
  return {
    get sent() {
      return sent;
    },
    stop: async () => {
      running = false;
      await done;
      return { sent, failed };
    },
  };
}
