/** Upstreams that speak TLS. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { suite, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { WebSocketServer } from 'ws';
import { type Certificate, selfSigned } from '../../support/certificate.ts';
import { cleanUp } from '../../support/clean-up.ts';
import { oneBackend } from '../../support/design-table.ts';
import { startPointsman, type TestConfig, temporaryDirectory } from '../../support/pointsman-process.ts';
import { send } from '../../support/request.ts';
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

suite('an upstream whose certificate', () => {
  for (const [what, certificate] of [
    ['nobody trusts', selfSigned('localhost')],
    ['is for another name', elsewhere],
  ] as const) {
    test(`${what} gets no request: 503`, async () => {
      const proxy = await start(`https://localhost:${await startTlsUpstream(certificate)}`);
      const answer = await send(proxy.trafficPort);
      assert.equal(answer.status, 503);
      assert.equal(answer.failure().reason, 'connect_failed');
      await assert.rejects(openWebSocket(proxy.trafficPort), /503/);
    });
  }
});
