/** Connections to a local port that lead to themselves, over real sockets. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { describe, it } from 'node:test';
import { connect as connectTls } from 'node:tls';
import {
  connectBriefly,
  connectEndpoint,
  isSelfConnection,
  refuseSelf,
  whenReady,
} from '../../../src/backends/connect.ts';
import { probe } from '../../../src/backends/probe.ts';
import { socketError } from '../../../src/backends/socket-error.ts';
import { cleanUp } from '../../support/clean-up.ts';
import { reserveClosedPort } from '../../support/closed-port.ts';
import { isFree } from '../../support/free-port.ts';

const address = '127.0.0.1';

/** Returns the error of the socket; 'ready' if it is ready first. */
function outcomeOf(socket: Socket, scheme: 'http' | 'https'): Promise<NodeJS.ErrnoException | 'ready'> {
  return new Promise((resolve) => {
    whenReady(socket, scheme, () => {
      resolve('ready');
      socket.destroy();
    });
    socket.once('error', resolve);
  });
}

async function startServer(): Promise<number> {
  const server = createServer((socket) => socket.on('error', () => {}).resume());
  cleanUp(() => server.close());
  server.listen(0, address);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** Returns a closed port that the kernel gives to outgoing connections: it prefers even ones. */
async function outgoingPort(): Promise<number> {
  const range = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8');
  const [lowest = 0, highest = 0] = range.trim().split(/\s+/).map(Number);
  const middle = Math.floor((lowest + highest) / 4) * 2;
  for (let port = middle; ; port += 2) if (await isFree(port)) return port;
}

describe('a connection to itself', () => {
  it('is told from one to a server', async () => {
    const port = await reserveClosedPort();
    const self = connect({ host: address, port, localPort: port });
    await once(self, 'connect');
    assert.ok(isSelfConnection(self));
    self.destroy();
    const other = connect(await startServer(), address);
    await once(other, 'connect');
    assert.ok(!isSelfConnection(other));
    other.destroy();
  });

  type Open = (options: { host: string; port: number; localPort: number }) => Socket;
  const opens: readonly (readonly ['http' | 'https', Open])[] = [
    ['http', connect],
    ['https', connectTls],
  ];
  for (const [scheme, open] of opens) {
    it(`fails as refused and is never ready, for ${scheme}`, async () => {
      const port = await reserveClosedPort();
      const toItself = { host: address, port, localPort: port };
      const socket = refuseSelf(open(toItself), { address, port });
      const error = await outcomeOf(socket, scheme);
      assert.ok(error !== 'ready');
      assert.deepEqual([error.code, error.syscall], ['ECONNREFUSED', 'connect']);
      assert.equal(
        error.errno,
        ((await outcomeOf(connect(port, address), 'http')) as NodeJS.ErrnoException).errno,
      );
      assert.match(error.message, /connected to itself/);
      assert.equal(socketError(error), 'connection refused');
    });
  }

  it('makes no closed port of outgoing connections look open, to traffic and to checks', async () => {
    const port = await outgoingPort();
    const target = { scheme: 'http', address, port, serverName: 'shop.test' } as const;
    const met = new Set<string>();
    // The kernel goes through its ports; without the guard one of these connections is ready.
    const connectOften = async (open: () => Socket, name: string) => {
      for (let attempt = 0; attempt < 4_000 && !met.has(name); attempt++) {
        for (const error of await Promise.all(Array.from({ length: 20 }, () => outcomeOf(open(), 'http')))) {
          assert.ok(error !== 'ready' && error.code === 'ECONNREFUSED', `${name}: ${error}`);
          if (/connected to itself/.test(error.message)) met.add(name);
        }
      }
    };
    await connectOften(() => connectEndpoint(target), 'traffic');
    await connectOften(() => connectBriefly(target), 'checks');
    assert.deepEqual([...met], ['traffic', 'checks']);
    const result = await probe({ kind: 'tcp', address, port, timeout: 1_000 });
    assert.deepEqual([result.ok, result.detail], [false, 'connection refused']);
  });
});

describe('a socket', () => {
  it('is ready once it is connected', async () => {
    const port = await startServer();
    const target = { scheme: 'http', address, port, serverName: 'shop.test' } as const;
    assert.equal(await outcomeOf(connectEndpoint(target), 'http'), 'ready');
    assert.equal(await outcomeOf(connectBriefly(target), 'http'), 'ready');
  });

  it('is not ready if it was destroyed when it connected', async () => {
    const socket = connectBriefly({ address, port: await startServer() });
    let ready = false;
    socket.once('connect', () => socket.destroy());
    whenReady(socket, 'http', () => {
      ready = true;
    });
    await once(socket, 'close');
    assert.equal(ready, false);
  });
});
