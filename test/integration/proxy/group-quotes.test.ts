/** A quote without its partner hides no value of the group header. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { startHttpUpstream } from '../../support/http-upstream.ts';
import { startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { exchange } from '../../support/raw-client.ts';

const production = await startHttpUpstream('production');
const canary = await startHttpUpstream('canary');

const config: TestConfig = {
  backends: { canary: { url: canary.url }, production: { url: production.url } },
  routes: [
    { name: 'enterprise', match: { group: 'ENTERPRISE' }, split: { production: 1 } },
    { name: 'all', split: { canary: 1, production: 0 } },
  ],
  invariants: [{ never: { group: 'ENTERPRISE', backend: 'canary' } }],
  health: { enabled: false },
};

/** Origin form, and the absolute form that the fast lane hands over. */
const TARGETS = ['/', 'http://a/'];
const VALUES = ['"x,ENTERPRISE', 'x,"y,ENTERPRISE', '"x\\",ENTERPRISE', '"x" "y,ENTERPRISE'];

const requests = VALUES.flatMap((value) =>
  TARGETS.map((target) => `GET ${target} HTTP/1.1\r\nHost: a\r\nX-Traffic-Group: ${value}\r\n\r\n`),
);

suite('a group header with an unbalanced quote', () => {
  test('is refused with 400, since it names several groups', async () => {
    const proxy = await startPointsman(config);
    for (const request of requests) {
      const answer = await exchange(proxy.trafficPort, request);
      assert.equal(answer.status, 400, request);
      assert.equal(answer.value('x-pointsman-reason'), 'ambiguous_group');
    }
    assert.equal(canary.requests.length, 0);
  });

  test('keeps the invariants of each of its groups with ambiguousGroup: any', async () => {
    const proxy = await startPointsman({ ...config, ambiguousGroup: 'any' });
    const before = production.requests.length;
    for (const request of requests) {
      assert.equal((await exchange(proxy.trafficPort, request)).status, 200, request);
    }
    assert.equal(production.requests.length, before + requests.length);
    assert.equal(canary.requests.length, 0);
  });
});
