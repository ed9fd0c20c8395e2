import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { after, afterEach, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { ClientSocket } from '../../../../src/forward/client-socket.ts';
import { ClientConnection } from '../../../../src/forward/fast/client-connection.ts';
import { LargeBuffers } from '../../../../src/forward/fast/read-buffers.ts';
import { rememberPeer } from '../../../../src/forward/peer.ts';
import { ExchangeWorld } from '../../../support/exchange-script.ts';
import { waitFor } from '../../../support/wait-for.ts';

/** Waits for a condition, which a failure quotes. */
const until = (condition: () => boolean): Promise<unknown> => waitFor(String(condition), condition);

const READ_SIZE = 64 * 1_024;

/** The upstream says what it received: the path, and the body. Without reading it, for paths that begin with `/early`. */
let upstream: HttpServer;
let clients: Server;
const worlds: ExchangeWorld[] = [];
const open: Socket[] = [];

before(async () => {
  upstream = createHttpServer((req, res) => {
    if (req.url!.startsWith('/early')) {
      res.end(`[${req.url}]`);
      return;
    }
    let body = '';
    req.setEncoding('latin1');
    req.on('data', (text: string) => {
      body += text;
    });
    req.on('end', () => res.end(`[${req.method} ${req.url} ${body}]`));
  });
  clients = createServer({ pauseOnConnect: true });
  for (const server of [upstream, clients]) {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  }
});

afterEach(() => {
  for (const socket of open.splice(0)) socket.destroy();
  for (const world of worlds.splice(0)) world.close();
});

after(() => {
  upstream.closeAllConnections();
  upstream.close();
  clients.close();
});

interface Link {
  readonly connection: ClientConnection;
  readonly client: ClientSocket;
  /** Unread bytes of connections that were handed over. */
  readonly handedOver: string[];
  /** Arrives as one read, once the connection reads. */
  read(text: string): Promise<void>;
  /** Everything that the client received. */
  received(): string;
  /** Bodies of the responses. */
  bodies(): string[];
}

async function link(headSize = 16_384): Promise<Link> {
  const world = new ExchangeWorld({ main: [(upstream.address() as AddressInfo).port] });
  worlds.push(world);
  const far = connect((clients.address() as AddressInfo).port, '127.0.0.1');
  const [socket] = (await once(clients, 'connection')) as [Socket];
  open.push(far, socket);
  let text = '';
  far.on('data', (bytes: Buffer) => {
    text += bytes.toString('latin1');
  });
  rememberPeer(socket, 0);
  const client = new ClientSocket(true, () => world.now);
  const handedOver: string[] = [];
  const readBuffer = Buffer.allocUnsafeSlow(READ_SIZE);
  const connection = new ClientConnection(
    {
      forwarder: world.forwarder,
      readBuffer,
      largeBuffers: new LargeBuffers(),
      headSize,
      headers: 100,
      handOver: (_client, unread) => handedOver.push(unread.toString('latin1')),
    },
    client,
  );
  client.socket = socket;
  client.reader = connection;
  socket.on('close', () => connection.onClosed());
  connection.begin();
  let buffer: Buffer = readBuffer;
  return {
    connection,
    client,
    handedOver,
    received: () => text,
    bodies: () => [...text.matchAll(/\[(.*?)\]/gs)].map((match) => match[1]!),
    read: async (part) => {
      if (socket.isPaused()) await until(() => !socket.isPaused() || socket.destroyed);
      // As Node does it: the next buffer is taken before each read, and the shared one serves other connections.
      buffer = connection.takeNextBuffer() ?? buffer;
      buffer.write(part, 'latin1');
      connection.onBytes(buffer, part.length);
      readBuffer.fill('#');
    },
  };
}

/** Reads `text` in the pieces that end at `cuts`. */
async function readInPieces({ read }: Link, text: string, cuts: readonly number[]): Promise<void> {
  const ends = [...new Set(cuts.map((cut) => cut % text.length))].sort((a, b) => a - b);
  let from = 0;
  for (const end of [...ends, text.length]) {
    for (; from < end; from = Math.min(end, from + READ_SIZE)) {
      await read(text.slice(from, Math.min(end, from + READ_SIZE)));
    }
  }
}

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
const post = (path: string, body: string) =>
  `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
const chunked = (path: string, chunks: readonly string[]) =>
  `POST ${path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${chunks
    .map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`)
    .join('')}0\r\n\r\n`;

describe('a client connection of the fast lane', () => {
  it('serves a request that arrives byte by byte', async () => {
    const made = await link();
    for (const byte of get('/a').slice(0, 8)) await made.read(byte);
    assert.equal(made.connection.isIdle, false);
    assert.ok(made.client.headSince < Number.POSITIVE_INFINITY, 'the time of a head counts');
    await made.read(get('/a').slice(8));
    assert.equal(made.client.headSince, Number.POSITIVE_INFINITY);
    await until(() => made.bodies().length === 1);
    assert.deepEqual(made.bodies(), ['GET /a ']);
    assert.equal(made.connection.isIdle, true);
  });

  it('serves pipelined requests one after the other, in their order', async () => {
    const made = await link();
    await made.read(get('/a') + post('/b', 'body') + get('/c'));
    assert.ok(made.connection.heldBytes > 0);
    await until(() => made.bodies().length === 3);
    assert.deepEqual(made.bodies(), ['GET /a ', 'POST /b body', 'GET /c ']);
    assert.equal(made.connection.heldBytes, 0);
  });

  it('holds one head of pipelined bytes, and reads no more until they are served', async () => {
    const made = await link(1_024);
    const requests = get('/x').repeat(60);
    await made.read(requests);
    assert.equal(made.client.socket.isPaused(), true);
    await until(() => made.bodies().length === 60);
    assert.equal(made.client.socket.isPaused(), false);
    await made.read(get('/last'));
    await until(() => made.bodies().at(-1) === 'GET /last ');
  });

  it('discards the rest of a body after an early response, and serves the next request', async () => {
    const made = await link();
    const body = 'y'.repeat(30_000);
    const text = post('/early', body);
    await made.read(text.slice(0, 1_000));
    await until(() => made.bodies().length === 1);
    await made.read(text.slice(1_000) + get('/next'));
    await until(() => made.bodies().length === 2);
    assert.deepEqual(made.bodies(), ['/early', 'GET /next ']);
  });

  it('hands over what is not for this lane, with everything that was not read', async () => {
    for (const foreign of [
      'GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nbytes',
      'GET /old HTTP/1.0\r\n\r\n',
      'no request at all\r\n\r\n',
    ]) {
      const made = await link();
      await made.read(get('/a') + foreign);
      await until(() => made.handedOver.length === 1);
      assert.deepEqual(made.handedOver, [foreign]);
      assert.deepEqual(made.bodies(), ['GET /a ']);
    }
  });

  it('hands over what waited behind the request in progress', async () => {
    const made = await link();
    const foreign = 'GET /old HTTP/1.0\r\n\r\n';
    await made.read(get('/a') + foreign + get('/b'));
    assert.deepEqual(made.handedOver, []);
    await until(() => made.handedOver.length === 1);
    assert.deepEqual(made.handedOver, [foreign + get('/b')]);
    assert.deepEqual(made.bodies(), ['GET /a ']);
  });

  it('hands over a head that comes in many parts or is too large', async () => {
    const slow = await link();
    const head = get('/many-parts');
    for (let i = 0; i < 9; i++) await slow.read(head[i]!);
    assert.deepEqual(slow.handedOver, [head.slice(0, 9)]);
    const large = await link(1_024);
    const long = `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(2_000)}`;
    await large.read(long);
    assert.deepEqual(large.handedOver, [long]);
  });

  it('serves nothing behind a request that ends the connection', async () => {
    const made = await link();
    await made.read('GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' + get('/b'));
    await until(() => made.client.socket.destroyed);
    assert.deepEqual(made.bodies(), ['GET /a ']);
  });

  it('ends its request if the client leaves', async () => {
    const made = await link();
    await made.read(post('/a', 'whole').slice(0, -1));
    const { exchange } = made.client;
    made.client.socket.destroy();
    await until(() => exchange?.phase === 'done');
    assert.deepEqual(worlds[0]!.leaks, []);
    assert.equal(worlds[0]!.records.length, 1);
  });

  it('refuses a body whose chunks are malformed, and closes', async () => {
    const made = await link();
    await made.read('POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n');
    await until(() => made.client.socket.destroyed);
    assert.match(made.received(), /^HTTP\/1\.1 400 .*"reason":"bad_request"/s);
  });

  it('serves any sequence of requests, split anywhere, in order and with their bodies', async () => {
    const text = (max: number) =>
      fc.nat(max).map((size) => 'abcdefghij'.repeat(Math.ceil(size / 10)).slice(0, size));
    const request = fc.oneof(
      fc.constant({ kind: 'get' as const, parts: [] as string[] }),
      fc.record({ kind: fc.constant('post' as const), parts: fc.tuple(text(30_000)) }),
      fc.record({
        kind: fc.constant('chunked' as const),
        parts: fc.array(
          text(6_000).filter((chunk) => chunk !== ''),
          { maxLength: 4 },
        ),
      }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(request, { minLength: 1, maxLength: 6, size: 'max' }),
        fc.array(fc.nat(100_000), { maxLength: 6, size: 'max' }),
        async (requests, cuts) => {
          const made = await link();
          const texts = requests.map(({ kind, parts }, i) => {
            if (kind === 'get') return get(`/${i}`);
            return kind === 'post' ? post(`/${i}`, parts.join('')) : chunked(`/${i}`, parts);
          });
          await readInPieces(made, texts.join(''), cuts);
          await until(() => made.bodies().length === requests.length || made.handedOver.length > 0);
          assert.deepEqual(made.handedOver, []);
          assert.deepEqual(
            made.bodies(),
            requests.map(({ kind, parts }, i) =>
              kind === 'get' ? `GET /${i} ` : `POST /${i} ${parts.join('')}`,
            ),
          );
          const world = worlds[worlds.length - 1]!;
          assert.deepEqual(world.leaks, []);
          assert.equal(world.records.length, requests.length);
          for (const socket of open.splice(0)) socket.destroy();
          for (const each of worlds.splice(0)) each.close();
        },
      ),
      { numRuns: 60 },
    );
  });
});
