/** X-Forwarded-* headers of trusted peers. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { oneBackend } from '../../support/design-table.ts';
import { startPointsman } from '../../support/pointsman-process.ts';
import { RawClient } from '../../support/raw-client.ts';
import { startRawUpstream } from '../../support/raw-upstream.ts';

const TRUSTED = '127.0.0.2';

/** Origin form, and the absolute form that the fast lane hands over. */
const TARGETS = ['/', 'http://a/'];

const upstream = await startRawUpstream();
const proxy = await startPointsman(
  oneBackend(upstream.url, { trust: { cidrs: [`${TRUSTED}/32`] }, health: { enabled: false } }),
);

/** Sends these header lines from the trusted peer, and returns what the upstream gets. */
async function received(lines: string, target: string) {
  const client = await RawClient.connect(proxy.trafficPort, { localAddress: TRUSTED });
  const answer = await client.send(`GET ${target} HTTP/1.1\r\nHost: a\r\n${lines}\r\n`).read();
  client.destroy();
  assert.equal(answer.status, 200);
  return upstream.requests.at(-1)!;
}

suite('an empty header of a trusted peer counts as absent:', () => {
  for (const target of TARGETS) {
    test(`X-Forwarded-For, in a request for ${target}`, async () => {
      for (const lines of [
        'X-Forwarded-For:\r\n',
        'X-Forwarded-For:  \t \r\n',
        'X-Forwarded-For: \r\n'.repeat(2),
      ]) {
        assert.equal((await received(lines, target)).value('x-forwarded-for'), TRUSTED);
      }
      const mixed = 'X-Forwarded-For: \r\nX-Forwarded-For: 198.51.100.7\r\n';
      const request = await received(mixed, target);
      assert.equal(request.value('x-forwarded-for'), `198.51.100.7, ${TRUSTED}`);
    });

    test(`X-Forwarded-Proto and X-Forwarded-Host, in a request for ${target}`, async () => {
      const request = await received('X-Forwarded-Proto:\r\nX-Forwarded-Host:\r\n', target);
      assert.equal(request.value('x-forwarded-proto'), 'http');
      assert.equal(request.value('x-forwarded-host'), 'a');
    });
  }
});
