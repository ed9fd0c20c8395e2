/** Requests of one moment that share a connection to the upstream. */

import assert from 'node:assert/strict';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { suite, test } from 'node:test';
import { cleanUp } from '../../support/clean-up.ts';
import { LANE } from '../../support/lane.ts';
import { type PointsmanProcess, startPointsman } from '../../support/pointsman-process.ts';
import { RawClient } from '../../support/raw-client.ts';
import { waitFor } from '../../support/wait-for.ts';

/** Requests that came in one packet, in order. */
type Packet = readonly { readonly method: string; readonly target: string }[];

interface PacketUpstream {
  readonly url: string;
  readonly packets: Packet[];
  /** Answers what waits for it. */
  release(): void;
}

/**
 * Answers every request with its target, on each connection in the order that they came; `/held` only after `release`.
 *
 * @param cut whether the connection is cut at this packet
 */
async function startPacketUpstream(cut: (packet: Packet) => boolean = () => false): Promise<PacketUpstream> {
  const packets: Packet[] = [];
  let released = Promise.resolve();
  let release = () => {};
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    let answered: Promise<void> = Promise.resolve();
    socket.on('data', (bytes) => {
      const packet = [...bytes.toString('latin1').matchAll(/^([A-Z]+) (\S+) HTTP\/1\.1\r$/gm)].map(
        (match) => ({
          method: match[1]!,
          target: match[2]!,
        }),
      );
      packets.push(packet);
      if (cut(packet)) {
        socket.destroy();
        return;
      }
      for (const { method, target } of packet) {
        answered = answered
          .then(() => (target === '/held' ? released : undefined))
          .then(() => {
            const body = method === 'HEAD' ? '' : target;
            socket.write(
              `HTTP/1.1 200 OK\r\nContent-Length: ${target.length}\r\nX-Target: ${target}\r\n\r\n${body}`,
            );
          });
      }
    });
  });
  released = new Promise((resolve) => {
    release = resolve;
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanUp(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, packets, release };
}

const PIPELINING = 4;
const CLIENTS = 12;

function start(url: string, more = {}): Promise<PointsmanProcess> {
  return startPointsman({
    backends: { main: { url, pipelining: PIPELINING, ...more } },
    routes: [{ name: 'all', split: { main: 1 } }],
    health: { enabled: false },
  });
}

function connectAll(port: number): Promise<RawClient[]> {
  return Promise.all(Array.from({ length: CLIENTS }, () => RawClient.connect(port)));
}

/** All clients ask in one turn, `held` among them for what is not answered, and each must get its own answer. */
async function volley(
  clients: readonly RawClient[],
  round: number,
  method = 'GET',
  held?: RawClient,
): Promise<void> {
  const body = method === 'POST' ? 'Content-Length: 2\r\n\r\nhi' : '\r\n';
  clients.forEach((client, i) => {
    if (i === CLIENTS / 2) held?.send('GET /held HTTP/1.1\r\nHost: a\r\n\r\n');
    client.send(`${method} /${round}/${i} HTTP/1.1\r\nHost: a\r\n${body}`);
  });
  const answers = await Promise.all(clients.map((client) => client.read({ head: method === 'HEAD' })));
  answers.forEach((answer, i) => {
    assert.equal(answer.status, 200);
    assert.equal(answer.value('x-target'), `/${round}/${i}`);
    if (method !== 'HEAD') assert.equal(answer.body.toString(), `/${round}/${i}`);
  });
}

function isShared(packet: Packet): boolean {
  return packet.length > 1;
}

/** Which requests meet in one packet is chance, and after a slow moment none do for seconds: so it goes on until some have. */
async function repeat(
  what: string,
  { packets }: PacketUpstream,
  condition: (packet: Packet) => boolean,
  play: (round: number) => Promise<void>,
): Promise<void> {
  const until = Date.now() + 40_000;
  for (let round = 0; !packets.some(condition); round++) {
    assert.ok(Date.now() < until, `waited in vain for ${what}`);
    await play(round);
  }
}

suite('pipelining', { skip: LANE === 'full' && 'undici is given one request at a time' }, () => {
  test('sends GET and HEAD requests of one moment together, at most as many as allowed, each answer to its client', async () => {
    const upstream = await startPacketUpstream();
    const proxy = await start(upstream.url);
    const clients = await connectAll(proxy.trafficPort);
    await repeat('two requests to share a packet', upstream, isShared, (round) =>
      volley(clients, round, round % 5 === 0 ? 'HEAD' : 'GET'),
    );
    for (let round = 0; round < 50; round++) await volley(clients, round);
    assert.ok(upstream.packets.every((packet) => packet.length <= PIPELINING));
  });

  test('never puts a request with a body behind another', async () => {
    const upstream = await startPacketUpstream();
    const proxy = await start(upstream.url);
    const clients = await connectAll(proxy.trafficPort);
    for (let round = 0; round < 30; round++) await volley(clients, round, 'POST');
    assert.ok(upstream.packets.every((packet) => packet.length <= 1));
  });

  test('is off unless the backend allows it', async () => {
    const upstream = await startPacketUpstream();
    const proxy = await start(upstream.url, { pipelining: 1 });
    const clients = await connectAll(proxy.trafficPort);
    for (let round = 0; round < 30; round++) await volley(clients, round);
    assert.ok(upstream.packets.every((packet) => packet.length <= 1));
  });

  test('does not let a held response hold up those behind it, and does without for a while', async () => {
    const upstream = await startPacketUpstream();
    const proxy = await start(upstream.url);
    const clients = await connectAll(proxy.trafficPort);
    const isBehindHeld = (packet: Packet) => packet.slice(0, -1).some(({ target }) => target === '/held');
    await repeat('a request to stand behind the held one', upstream, isBehindHeld, async (round) => {
      const held = await RawClient.connect(proxy.trafficPort);
      await volley(clients, round, 'GET', held);
      held.destroy();
    });
    const from = upstream.packets.length;
    for (let round = 0; round < 10; round++) await volley(clients, round);
    assert.ok(upstream.packets.slice(from).every((packet) => packet.length === 1));
    upstream.release();
  });

  test('sends again what was on a connection that broke', async () => {
    let cuts = 0;
    const upstream = await startPacketUpstream((packet) => packet.length > 1 && cuts++ === 0);
    const proxy = await start(upstream.url);
    const clients = await connectAll(proxy.trafficPort);
    await repeat('two requests to share a packet', upstream, isShared, (round) => volley(clients, round));
    assert.ok(cuts > 0);
  });

  test('keeps apart the answers of clients that leave from those that stay', async () => {
    const upstream = await startPacketUpstream();
    const proxy = await start(upstream.url);
    const clients = await connectAll(proxy.trafficPort);
    for (let round = 0; round < 40; round++) {
      const leaving = await Promise.all([0, 1, 2].map(() => RawClient.connect(proxy.trafficPort)));
      for (const client of leaving) client.send('GET /gone HTTP/1.1\r\nHost: a\r\n\r\n');
      const asked = volley(clients, round);
      for (const client of leaving) client.destroy();
      await asked;
    }
    await waitFor('nothing to be under way', async () => {
      return (await proxy.metric('pointsman_requests_in_flight', { backend: 'main' })) === 0;
    });
  });
});
