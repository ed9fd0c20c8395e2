/**
 * A rolling update of a headless backend under load: every pod is replaced by one at another address. As in a cluster
 * an address leaves DNS first; its pod serves on while it drains, and then exits.
 *
 * The promise speaks of a drain of 2 s and the TTL of a cluster's DNS server. Here pods drain for as long as it takes
 * Pointsman to stop using them, within a bound, so that ten of them fit into a test; `TEST_LONG=1` drains each for 2 s.
 */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { suite, test } from 'node:test';
import { cleanUp } from '../../support/clean-up.ts';
import { startDnsServer } from '../../support/dns-server.ts';
import { overDns } from '../../support/dns-traffic.ts';
import { type PointsmanProcess, startPointsman } from '../../support/pointsman-process.ts';
import { send } from '../../support/request.ts';
import { pause } from '../../support/wait-for.ts';

const LONG = process.env['TEST_LONG'] === '1';
const DRAIN_MS = LONG ? 2_000 : 500;
const PODS = 10;
const NAME = 'web.shop.svc.cluster.local';

class Pod {
  readonly address: string;
  readonly server: Server;
  readonly #sockets = new Set<Socket>();
  requests = 0;
  open = 0;
  /** Requests that were cut by the exit. */
  cut = 0;

  constructor(address: string) {
    this.address = address;
    this.server = createServer({ keepAliveTimeout: 60_000 }, (req, res) => {
      this.requests++;
      this.open++;
      res.once('close', () => {
        this.open--;
        if (!res.writableFinished) this.cut++;
      });
      req.resume();
      // Some answers take a while, so that there is always something under way.
      const answer = () => res.end(address);
      if (this.requests % 5 === 0) setTimeout(answer, 20);
      else req.once('end', answer);
    });
    this.server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    cleanUp(() => this.exit());
  }

  async listen(port: number): Promise<number> {
    this.server.listen(port, this.address);
    await once(this.server, 'listening');
    return (this.server.address() as AddressInfo).port;
  }

  /** As a process that ends: whatever is open is reset. */
  exit(): void {
    this.server.close();
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }
}

/** Requests of several kinds without pause, over connections that stay open. */
function load(proxy: PointsmanProcess) {
  let running = true;
  let sent = 0;
  const failed: string[] = [];
  const client = async (lane: number) => {
    while (running) {
      sent++;
      const options = lane % 3 === 0 ? { method: 'POST', body: 'x'.repeat(3_000) } : {};
      try {
        const { status, text } = await send(proxy.trafficPort, options);
        if (status !== 200) failed.push(`${options.method ?? 'GET'} ${status} ${text}`);
      } catch (error) {
        failed.push((error as Error).message);
      }
    }
  };
  const done = Promise.all(Array.from({ length: 12 }, (_, lane) => client(lane)));
  return async () => {
    running = false;
    await done;
    return { sent, failed };
  };
}

suite('a rolling update', () => {
  test(`of ${PODS} endpoints, one after the other, fails not one request, POSTs included`, async () => {
    const address = (i: number) => `127.0.1.${i + 1}`;
    const first = new Pod(address(0));
    const port = await first.listen(0);
    const pods = [first];
    for (let i = 1; i < PODS; i++) pods.push(new Pod(address(i)));
    await Promise.all(pods.slice(1).map((pod) => pod.listen(port)));
    const zone = () => ({ [NAME]: pods.map((pod) => pod.address) });
    const server = await startDnsServer(zone(), { ttl: 0 });
    const proxy = await startPointsman({
      backends: { main: { url: `http://web:${port}` } },
      routes: [{ name: 'all', split: { main: 1 } }],
      ...overDns(server.address, { maxTtl: '200ms' }),
    });
    const stop = load(proxy);
    const before = [...pods];
    for (let i = 0; i < PODS; i++) {
      const next = new Pod(address(PODS + i));
      await next.listen(port);
      const [old] = pods.splice(0, 1, next);
      pods.push(pods.shift()!);
      await server.serve(zone());
      await pause(DRAIN_MS);
      await proxy.waitFor(`${next.address} to take requests, and ${old!.address} none`, async () => {
        const { endpoints } = (await proxy.status()).backends[0]!;
        const known = (label: string) => endpoints.find(({ endpoint }) => endpoint.startsWith(`${label}:`));
        return known(next.address)?.health === 'up' && known(old!.address) === undefined && old!.open === 0;
      });
      old!.exit();
    }
    const { sent, failed } = await stop();
    assert.deepEqual(failed, []);
    assert.ok(sent > 1_000, `${sent} requests`);
    for (const pod of [...before, ...pods]) {
      assert.ok(pod.requests > 0, `${pod.address} took part`);
      assert.equal(pod.cut, 0, `${pod.address} cut a request`);
    }
    assert.equal(await proxy.metric('pointsman_retries_total', { reason: 'connect_failed' }), 0);
  });

  test('whose pods exit without draining is not noticed by requests that may be sent again', async () => {
    const address = (i: number) => `127.0.2.${i + 1}`;
    const first = new Pod(address(0));
    const port = await first.listen(0);
    const pods = [first, ...[1, 2, 3].map((i) => new Pod(address(i)))];
    await Promise.all(pods.slice(1).map((pod) => pod.listen(port)));
    const zone = () => ({ [NAME]: pods.map((pod) => pod.address) });
    const server = await startDnsServer(zone(), { ttl: 0 });
    const proxy = await startPointsman({
      backends: { main: { url: `http://web:${port}` } },
      routes: [{ name: 'all', split: { main: 1 } }],
      ...overDns(server.address, { maxTtl: '200ms' }),
    });
    let running = true;
    const failed: string[] = [];
    let sent = 0;
    const lanes = Array.from({ length: 8 }, async () => {
      while (running) {
        sent++;
        const { status, text } = await send(proxy.trafficPort);
        if (status !== 200) failed.push(`${status} ${text}`);
      }
    });
    for (let i = 0; i < 4; i++) {
      const next = new Pod(address(4 + i));
      await next.listen(port);
      const [old] = pods.splice(0, 1);
      pods.push(next);
      old!.exit();
      await server.serve(zone());
      await proxy.waitFor(`${next.address} to take requests`, () => next.requests > 10);
    }
    running = false;
    await Promise.all(lanes);
    assert.deepEqual(failed, []);
    assert.ok(sent > 200, `${sent} requests`);
  });
});
