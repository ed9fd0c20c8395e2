import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { after, afterEach, before, describe, it } from 'node:test';
import { TunnelStream } from '../../../../src/forward/upgrade/tunnel-stream.ts';
import { turnEnds } from '../../../support/exchange-script.ts';
import { waitFor } from '../../../support/wait-for.ts';

/** Waits for a condition, which a failure quotes. */
const until = (condition: () => boolean): Promise<unknown> => waitFor(String(condition), condition);

let server: Server;
const open: Socket[] = [];

before(async () => {
  server = createServer({ allowHalfOpen: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});

afterEach(() => {
  for (const socket of open.splice(0)) socket.destroy();
});

after(() => server.close());

interface Tunnel {
  readonly stream: TunnelStream;
  readonly socket: Socket;
  /** The client's end. */
  readonly client: Socket;
  /** Bytes that were counted: from the client, then to it. */
  readonly counted: [number, number];
}

async function tunnel(): Promise<Tunnel> {
  const client = connect({
    port: (server.address() as AddressInfo).port,
    host: '127.0.0.1',
    allowHalfOpen: true,
  });
  const [socket] = (await once(server, 'connection')) as [Socket];
  open.push(client, socket);
  const counted: [number, number] = [0, 0];
  const stream = new TunnelStream(socket, (inbound, outbound) => {
    counted[0] += inbound;
    counted[1] += outbound;
  });
  socket.on('data', (bytes: Buffer) => {
    if (!stream.takeBytes(bytes)) socket.pause();
  });
  socket.once('end', () => stream.takeEnd());
  return { stream, socket, client, counted };
}

/** Collects what a stream brings. */
function textOf(readable: NodeJS.ReadableStream): () => string {
  let text = '';
  readable.on('data', (bytes: Buffer) => {
    text += bytes.toString('latin1');
  });
  return () => text;
}

describe("the client's end of a tunnel", () => {
  it('drops the first write, a second head, and counts bytes both ways', async () => {
    const { stream, client, counted } = await tunnel();
    const seen = textOf(client);
    const sent = textOf(stream);
    stream.open();
    stream.write('HTTP/1.1 101 Switching Protocols\r\n\r\n');
    stream.write('from upstream');
    client.write('from client');
    await until(() => seen() !== '' && sent() !== '');
    assert.deepEqual([seen(), sent()], ['from upstream', 'from client']);
    assert.deepEqual(counted, [11, 13]);
  });

  it('keeps bytes that come before the protocol is switched, and counts them then', async () => {
    const { stream, client, counted } = await tunnel();
    client.write('early');
    await until(() => stream.readableLength === 5);
    assert.deepEqual(counted, [0, 0]);
    stream.open();
    assert.deepEqual(counted, [5, 0]);
    const sent = textOf(stream);
    await until(() => sent() === 'early');
    assert.deepEqual(counted, [5, 0]);
  });

  it('passes on the end of the client while the upstream still sends', async () => {
    const { stream, client } = await tunnel();
    const seen = textOf(client);
    stream.open();
    stream.resume();
    client.end('last');
    await once(stream, 'end');
    stream.write('head');
    stream.write('still here');
    await until(() => seen() === 'still here');
  });

  it('passes on the end of the upstream while the client still sends', async () => {
    const { stream, client } = await tunnel();
    const sent = textOf(stream);
    client.resume();
    stream.open();
    stream.write('head');
    stream.end('last');
    await once(client, 'end');
    client.write('still here');
    await until(() => sent() === 'still here');
  });

  it('pauses the client while the upstream is slower', async () => {
    const { stream, socket, client } = await tunnel();
    stream.open();
    const size = 4 * 1_024 * 1_024;
    client.end(Buffer.alloc(size));
    await until(() => socket.isPaused());
    assert.ok(stream.readableLength < size);
    let received = 0;
    stream.on('data', (bytes: Buffer) => {
      received += bytes.length;
    });
    await once(stream, 'end');
    assert.equal(received, size);
  });

  it('pauses the upstream while the client is slower', async () => {
    const { stream, client, counted } = await tunnel();
    stream.open();
    stream.write('head');
    const size = 16 * 1_024 * 1_024;
    let taken = false;
    stream.write(Buffer.alloc(size), () => {
      taken = true;
    });
    await turnEnds();
    assert.equal(taken, false);
    assert.ok(stream.writableNeedDrain);
    client.resume();
    await until(() => taken);
    assert.deepEqual(counted, [0, size]);
  });

  it('serves a second attempt after one that failed', async () => {
    const { stream, client } = await tunnel();
    const seen = textOf(client);
    let closed = 0;
    stream.on('close', () => closed++);
    stream.on('error', () => closed++);
    stream.reuse();
    client.write('early');
    await until(() => stream.readableLength === 5);
    stream.open();
    const sent = textOf(stream);
    stream.write('head');
    stream.write('ok');
    await until(() => seen() === 'ok' && sent() === 'early');
    stream.destroy(new Error('planted'));
    await turnEnds();
    assert.equal(closed, 0);
  });
});
