/** `explain` and the proxy agree, since both are the same function: seen from outside. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { parseConfig } from '../../../src/config/load.ts';
import { requestFacts } from '../../../src/routing/described-request.ts';
import { explainRequest } from '../../../src/routing/explain.ts';
import { compileTable } from '../../../src/routing/table.ts';
import { designTable, startTracks } from '../../support/design-table.ts';
import { MAIN, startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { inParallel, send } from '../../support/request.ts';

const REQUESTS = 10_000;

const tracks = await startTracks();
const design = designTable(tracks);
const config: TestConfig = {
  ...design,
  pins: { user: { by: [{ header: 'X-User-Id' }, { cookie: 'uid' }] } },
  routes: [
    {
      name: 'beta-host',
      match: { host: ['beta.example', '*.beta.example'] },
      split: { canary: 30, internal: 20, production: 50 },
      pin: 'user',
    },
    { name: 'api-writes', match: { path: '/api/', method: ['POST', 'PUT'] }, split: { production: 1 } },
    {
      name: 'testers',
      match: { headers: { 'X-Tester': { prefix: 'yes' }, 'User-Agent': { regex: 'curl|wget' } } },
      split: { internal: 1 },
    },
    ...design.routes.map((route) => ({ ...route, pin: 'user' })),
  ],
};
const proxy = await startPointsman(config);

const request = fc.record({
  group: fc.constantFrom(undefined, 'INTERNAL', 'free', 'Enterprise', 'paid', '"FREE"', 'FREE;q=1', 'x'),
  host: fc.constantFrom('shop.example', 'beta.example', 'a.BETA.example:8080', 'xbeta.example'),
  method: fc.constantFrom('GET', 'POST', 'PUT', 'DELETE'),
  path: fc.constantFrom('/', '/api/x', '/api', '/API/x', '/api/?q=1'),
  tester: fc.constantFrom(undefined, 'yes', 'yes, really', 'no'),
  agent: fc.constantFrom(undefined, 'curl/8', 'Mozilla'),
  user: fc.option(fc.integer({ min: 0, max: 5_000 }), { nil: undefined }),
  byCookie: fc.boolean(),
});

suite('explain', () => {
  test(`agrees with the proxy on ${REQUESTS} random requests: row, and backend where it is decided`, async () => {
    const parsed = parseConfig(readFileSync(proxy.configPath, 'utf8'), { file: 'test', environment: {} });
    assert.ok(parsed.config !== undefined);
    const table = compileTable(parsed.config);
    const requests = fc.sample(request, REQUESTS);
    const decided = await inParallel(requests.length, 16, async (index) => {
      const { group, host, method, path, tester, agent, user, byCookie } = requests[index]!;
      const fields: [string, string][] = [['Host', host]];
      if (group !== undefined) fields.push(['X-Traffic-Group', group]);
      if (tester !== undefined) fields.push(['X-Tester', tester]);
      if (agent !== undefined) fields.push(['User-Agent', agent]);
      if (user !== undefined)
        fields.push(byCookie ? ['Cookie', `a=b; uid=${user}`] : ['X-User-Id', String(user)]);
      const facts = requestFacts(
        table,
        fields.map(([name, value]) => `${name}: ${value}`),
        [method, path],
      );
      assert.ok(typeof facts !== 'string');
      const explanation = explainRequest(table, facts);
      const answer = await send(proxy.trafficPort, { method, path, headers: fields.flat() });
      const line = await proxy.accessLine(answer.requestId);
      assert.equal(line['route'], explanation.route, JSON.stringify(requests[index]));
      if (explanation.backend !== null)
        assert.equal(line['backend'], explanation.backend, JSON.stringify(requests[index]));
      else assert.ok(Object.hasOwn(explanation.split, String(line['backend'])));
      return explanation.backend !== null;
    });
    const share = decided.filter(Boolean).length / REQUESTS;
    assert.ok(share > 0.3 && share < 0.95, `${share} of the requests are decided without a draw`);
  });

  test('on the command line prints the keys that tools rely on, and says why', async () => {
    const args = [MAIN, 'explain', '--config', proxy.configPath, '--header', 'X-Traffic-Group: free'];
    const run = promisify(execFile);
    const { stdout } = await run(process.execPath, [...args, '--user', '42', '--output', 'json', 'GET', '/']);
    const explanation = JSON.parse(stdout) as Record<string, unknown>;
    for (const key of ['route', 'split', 'backend', 'pin', 'endpoint', 'reasons']) {
      assert.ok(Object.hasOwn(explanation, key), key);
    }
    assert.equal(explanation['route'], 'free');
    const undecided = await run(process.execPath, [...args, '--output', 'json']);
    assert.equal((JSON.parse(undecided.stdout) as { backend: unknown }).backend, null);
    const text = await run(process.execPath, args);
    assert.match(text.stdout, /route internal does not match: group free is not internal/);
  });
});
