/** Responses of upstreams that close before they have read the request: the client gets them. */

import assert from 'node:assert/strict';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { suite, test } from 'node:test';
import { cleanUp } from '../../support/clean-up.ts';
import { oneBackend } from '../../support/design-table.ts';
import { startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { MIB } from '../../support/process-usage.ts';
import { RawClient, type RawResponse } from '../../support/raw-client.ts';

const unchecked: Partial<TestConfig> = { health: { enabled: false } };

const BODY = 'too large\n';
const TOO_LARGE = `HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`;
const TRIES = 25;

/** Starts an upstream that only reads the first bytes of a request; `leave` answers and closes. */
async function startImpatientUpstream(leave: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    socket.once('data', () => {
      // Bytes that come now stay unread: the kernel resets the connection when the upstream closes it.
      socket.pause();
      leave(socket);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanUp(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const LEAVING: Readonly<Record<string, (socket: Socket) => void>> = {
  'closes at once': (socket) => {
    socket.write(TOO_LARGE, () => socket.destroy());
  },
  'closes a moment later': (socket) => {
    socket.write(TOO_LARGE, () => setTimeout(() => socket.destroy(), 5));
  },
  'sends head and body apart and closes': (socket) => {
    socket.write(TOO_LARGE.slice(0, -BODY.length), () => {
      setImmediate(() => socket.write(BODY, () => socket.destroy()));
    });
  },
};

const BLOCK = Buffer.alloc(64 * 1024, 'x');
const BLOCKS = (4 * MIB) / BLOCK.length;

const UPLOADS = {
  'of an upload with Content-Length': {
    head: `POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: ${BLOCK.length * BLOCKS}\r\n\r\n`,
    block: BLOCK,
    last: '',
  },
  'of an upload in chunks': {
    head: 'POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n',
    block: Buffer.concat([Buffer.from(`${BLOCK.length.toString(16)}\r\n`), BLOCK, Buffer.from('\r\n')]),
    last: '0\r\n\r\n',
  },
} as const;

/** Sends the whole upload as fast as it is taken, whatever comes back meanwhile. */
async function upload(port: number, { head, block, last }: (typeof UPLOADS)[keyof typeof UPLOADS]) {
  const client = await RawClient.connect(port, { allowHalfOpen: true });
  client.send(head);
  let sent = 0;
  const pump = () => {
    while (sent < BLOCKS && client.socket.writable) {
      sent++;
      if (!client.socket.write(block)) {
        client.socket.once('drain', pump);
        return;
      }
    }
    if (client.socket.writable) client.send(last);
  };
  pump();
  try {
    return await client.read();
  } finally {
    client.destroy();
  }
}

const described = (outcome: RawResponse | Error) =>
  outcome instanceof Error
    ? outcome.message
    : `${outcome.status} ${outcome.value('x-pointsman-reason') ?? outcome.body.toString().trim()}`;

suite('a 413 of an upstream that does not read the rest of the request', () => {
  for (const [how, leave] of Object.entries(LEAVING)) {
    for (const [what, request] of Object.entries(UPLOADS)) {
      test(`reaches the client ${what} if the upstream ${how}`, async () => {
        const proxy = await startPointsman(oneBackend(await startImpatientUpstream(leave), unchecked));
        const outcomes: Record<string, number> = {};
        for (let i = 0; i < TRIES; i++) {
          const outcome = described(await upload(proxy.trafficPort, request).catch((error: Error) => error));
          outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
        }
        assert.deepEqual(outcomes, { '413 too large': TRIES });
      });
    }
  }

  test('ends the request and its connections', async () => {
    const proxy = await startPointsman(
      oneBackend(await startImpatientUpstream(LEAVING['closes at once']!), unchecked),
    );
    await Promise.all(
      Array.from({ length: TRIES }, () =>
        upload(proxy.trafficPort, UPLOADS['of an upload in chunks']).catch(() => undefined),
      ),
    );
    await proxy.waitFor('all requests to end', async () => {
      const { connections, backends } = await proxy.status();
      return connections.client === 0 && backends[0]!.inFlight === 0;
    });
    assert.equal(await proxy.metric('pointsman_requests_in_flight'), 0);
  });
});
