/** CGI and WSGI read an underscore in a header name as a dash: a client could pass for a trusted peer. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { oneBackend } from '../../support/design-table.ts';
import { startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { exchange, RawClient } from '../../support/raw-client.ts';
import { startRawUpstream } from '../../support/raw-upstream.ts';
import { upgradeRequest } from '../../support/upgrade.ts';

const TRUSTED = '127.0.0.2';
const UNTRUSTED = '127.0.0.1';

/** Origin form, and the absolute form that the fast lane hands over. */
const TARGETS = ['/', 'http://a/'];

/** An upstream, a proxy in front of it, and what the upstream gets of these header lines. */
async function startListening(more: Partial<TestConfig>) {
  const upstream = await startRawUpstream();
  const proxy = await startPointsman(oneBackend(upstream.url, { health: { enabled: false }, ...more }));
  const received = async (lines: string, localAddress = UNTRUSTED, target = '/') => {
    const client = await RawClient.connect(proxy.trafficPort, { localAddress });
    const answer = await client.send(`GET ${target} HTTP/1.1\r\nHost: a\r\n${lines}\r\n`).read();
    client.destroy();
    assert.equal(answer.status, 200);
    return upstream.requests.at(-1)!;
  };
  return { upstream, proxy, received };
}

suite('a header whose name has underscores for dashes', () => {
  const NAMES = [
    'X_Traffic_Group',
    'X_Forwarded_For',
    'x_forwarded_proto',
    'X-Forwarded_Host',
    'X_Request_Id',
  ];
  const LINES = NAMES.map((name) => `${name}: ENTERPRISE\r\n`).join('');

  test('is removed from requests of all peers if trust.cidrs is set', async () => {
    const { received } = await startListening({ trust: { cidrs: [`${TRUSTED}/32`] } });
    for (const target of TARGETS) {
      for (const address of [TRUSTED, UNTRUSTED]) {
        const { fields, value } = await received(`${LINES}X_Other: kept\r\n`, address, target);
        const names = fields.map(([name]) => name);
        assert.deepEqual(
          names.filter((name) => NAMES.includes(name)),
          [],
        );
        assert.equal(value('X_Other'), 'kept');
      }
    }
  });

  test('is removed from upgrades if trust.cidrs is set', async () => {
    const { upstream, proxy } = await startListening({ trust: { cidrs: [`${TRUSTED}/32`] } });
    await exchange(proxy.trafficPort, upgradeRequest('/', LINES));
    const names = upstream.requests.at(-1)!.fields.map(([name]) => name);
    assert.deepEqual(
      names.filter((name) => NAMES.includes(name)),
      [],
    );
  });

  test('is forwarded if trust.cidrs is not set', async () => {
    const { received } = await startListening({});
    for (const target of TARGETS) {
      const { value } = await received(LINES, UNTRUSTED, target);
      for (const name of NAMES) assert.equal(value(name), 'ENTERPRISE');
    }
  });
});
