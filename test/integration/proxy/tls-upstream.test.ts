/** Upstreams that speak TLS. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import path from 'node:path';
import { suite, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { WebSocketServer } from 'ws';
import { type Certificate, selfSigned } from '../../support/certificate.ts';
import { cleanUp } from '../../support/clean-up.ts';
import { reserveClosedPort } from '../../support/closed-port.ts';
import { oneBackend } from '../../support/design-table.ts';
import { startHttpUpstream } from '../../support/http-upstream.ts';
import { startPointsman, type TestConfig, temporaryDirectory } from '../../support/pointsman-process.ts';
import { exchange } from '../../support/raw-client.ts';
import { send } from '../../support/request.ts';
import { upgradeRequest } from '../../support/upgrade.ts';
import { askWebSocket, openWebSocket } from '../../support/websocket-upstream.ts';

/** Answers with the name that the client asked for by SNI, and echoes WebSocket frames. */
async function startTlsUpstream({ key, cert }: Certificate): Promise<number> {
  const server = createServer({ key, cert }, (req, res) => {
    res.end(JSON.stringify({ sni: (req.socket as TLSSocket).servername || null, protocol: req.httpVersion }));
  });
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(data as Buffer)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanUp(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** A port that accepts connections and closes them at once. */
async function startClosingListener(): Promise<number> {
  const server = createTcpServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.end());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanUp(() => server.close());
  return (server.address() as AddressInfo).port;
}

const trusted = selfSigned('localhost', '127.0.0.1');
const elsewhere = selfSigned('elsewhere.test');
const port = await startTlsUpstream(trusted);
const bundle = path.join(temporaryDirectory(), 'ca.pem');
writeFileSync(bundle, trusted.cert + elsewhere.cert);
const env = { NODE_EXTRA_CA_CERTS: bundle };

const start = (url: string, more: Partial<TestConfig> = {}) =>
  startPointsman(oneBackend(url, { health: { enabled: false }, ...more }), { env });

suite('an upstream with a certificate that is trusted', () => {
  test('gets requests, under the name of its URL', async () => {
    const proxy = await start(`https://localhost:${port}`);
    const answer = await send(proxy.trafficPort);
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(answer.json(), { sni: 'localhost', protocol: '1.1' });
  });

  test('may be named by its address', async () => {
    const proxy = await start(`https://127.0.0.1:${port}`);
    const answer = await send(proxy.trafficPort);
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(answer.json(), { sni: null, protocol: '1.1' });
  });

  for (const host of ['localhost', '127.0.0.1']) {
    test(`carries WebSockets, named ${host}`, async () => {
      const proxy = await start(`https://${host}:${port}`);
      const socket = await openWebSocket(proxy.trafficPort);
      assert.equal(String(await askWebSocket(socket, 'over TLS')), 'over TLS');
      socket.close();
    });
  }

  test('is checked over TLS when the check has a path', async () => {
    for (const host of ['localhost', '127.0.0.1']) {
      const proxy = await start(`https://${host}:${port}`, {
        health: { path: '/healthz', interval: '100ms', timeout: '100ms' },
      });
      await proxy.waitForHealth('main', 'up');
    }
  });
});

suite('an upstream with a TLS failure', () => {
  for (const [what, startPort] of [
    ['has a certificate that nobody trusts', () => startTlsUpstream(selfSigned('localhost'))],
    ['has a certificate for another name', () => startTlsUpstream(elsewhere)],
    ['speaks plain HTTP', async () => (await startHttpUpstream('plain')).port],
    ['closes instead of a handshake', startClosingListener],
  ] as const) {
    test(`is reported as 503 tls_failed if it ${what}`, async () => {
      const proxy = await start(`https://localhost:${await startPort()}`);
      const answer = await send(proxy.trafficPort);
      assert.equal(answer.status, 503);
      assert.equal(answer.failure().reason, 'tls_failed');
      const line = await proxy.accessLine(answer.requestId);
      assert.equal(line['reason'], 'tls_failed');
      const labels = { backend: 'main', reason: 'tls_failed' };
      assert.ok((await proxy.metric('pointsman_upstream_errors_total', labels)) > 0);
      const upgrade = await exchange(proxy.trafficPort, upgradeRequest());
      assert.equal(upgrade.status, 503);
      assert.equal(upgrade.value('x-pointsman-reason'), 'tls_failed');
    });
  }

  test('leaves its requests and upgrades to another backend of the split', async () => {
    const untrusted = await startTlsUpstream(selfSigned('localhost'));
    const proxy = await startPointsman(
      {
        backends: {
          untrusted: { url: `https://localhost:${untrusted}` },
          main: { url: `https://localhost:${port}` },
        },
        routes: [{ name: 'all', split: { untrusted: 1, main: 1 } }],
        health: { enabled: false },
      },
      { env },
    );
    for (let i = 0; i < 4; i++) assert.equal((await send(proxy.trafficPort, { method: 'POST' })).status, 200);
    assert.equal(await proxy.metric('pointsman_retries_total', { reason: 'tls_failed' }), 2);
    for (let i = 0; i < 2; i++) (await openWebSocket(proxy.trafficPort)).terminate();
    assert.equal(await proxy.metric('pointsman_retries_total', { reason: 'tls_failed' }), 3);
  });

  test('is reported as connect_failed if the connection is refused', async () => {
    const proxy = await start(`https://localhost:${await reserveClosedPort()}`);
    assert.equal((await send(proxy.trafficPort)).failure().reason, 'connect_failed');
  });
});
