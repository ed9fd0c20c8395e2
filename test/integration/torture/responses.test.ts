/**
 * Upstreams that answer badly: the client gets 502 or 504, or what is good of it, recognizably cut where it is cut; and
 * nobody ever gets what belongs to somebody else, whoever uses the connection next.
 */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { lanes } from '../../support/lane.ts';
import { startPointsman } from '../../support/pointsman-process.ts';
import { RESPONSE_CASES } from '../../torture/cases/index.ts';
import { ResponseOrigin, responseFailures, runResponseCases, SENDING_WAYS } from '../../torture/responses.ts';
import { brokenUpstreamConfig, RESPONSE_GROUPS } from '../../torture/subject.ts';

test('there are more than 80 cases of responses, each with a name of its own and a source', () => {
  assert.ok(RESPONSE_CASES.length > 80, `${RESPONSE_CASES.length}`);
  assert.equal(new Set(RESPONSE_CASES.map(({ name }) => name)).size, RESPONSE_CASES.length);
  assert.ok(RESPONSE_CASES.every(({ source }) => source.trim() !== ''));
});

suite('no bad response reaches anybody but who asked, and he can tell', { concurrency: true }, () => {
  for (const lane of lanes()) {
    test(`by the ${lane} lane`, async () => {
      const upstream = await ResponseOrigin.start(RESPONSE_GROUPS);
      const proxy = await startPointsman(brokenUpstreamConfig(upstream.origin.ports, lane), { workers: 1 });
      for (const way of SENDING_WAYS) {
        const results = await runResponseCases(proxy.trafficPort, upstream, RESPONSE_GROUPS, RESPONSE_CASES, {
          way,
          lane,
        });
        assert.equal(results.length, RESPONSE_CASES.length);
        assert.deepEqual(responseFailures(results), []);
      }
    });
  }
});
