/**
 * Malformed and smuggling requests, sent as they are: each is refused, or comes to the upstream as exactly one request
 * that has one reading. `npm run torture` sends them more often, over several workers.
 */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { lanes } from '../../support/lane.ts';
import { startOrigin } from '../../support/origin.ts';
import { BACKENDS } from '../../torture/cases/case.ts';
import { REQUEST_CASES } from '../../torture/cases/index.ts';
import { failures, runRequestCases, WAYS } from '../../torture/requests.ts';
import { startTortured } from '../../torture/subject.ts';

test('there are more than 400 cases of requests, each with a name of its own and a source', () => {
  assert.ok(REQUEST_CASES.length > 400, `${REQUEST_CASES.length}`);
  assert.equal(new Set(REQUEST_CASES.map(({ name }) => name)).size, REQUEST_CASES.length);
  assert.deepEqual(
    REQUEST_CASES.filter(({ source }) => source.trim() === '').map(({ name }) => name),
    [],
  );
});

suite('every malformed or smuggling request is refused, or forwarded as one', { concurrency: true }, () => {
  for (const lane of lanes()) {
    test(`by the ${lane} lane`, async () => {
      const origin = await startOrigin(BACKENDS);
      const proxy = await startTortured(origin.ports, { lane });
      for (const way of WAYS) {
        const results = await runRequestCases(proxy.trafficPort, origin, REQUEST_CASES, { way, ours: true });
        assert.equal(results.length, REQUEST_CASES.length);
        assert.deepEqual(failures(results), []);
      }
      // Nothing of what came can be laid to no request.
      assert.deepEqual(origin.faults(''), []);
      assert.equal(origin.requests('').length, 0);
    });
  }
});
