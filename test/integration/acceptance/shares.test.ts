/** Exact shares over real sockets, and enterprise on production alone. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { designTable, startTracks } from '../../support/design-table.ts';
import { startPointsman } from '../../support/pointsman-process.ts';
import { inParallel, send } from '../../support/request.ts';

const REQUESTS = 10_000;

const tracks = await startTracks();
const proxy = await startPointsman({ ...designTable(tracks), accessLog: { mode: 'off' } });

async function tally(group: string | undefined): Promise<Record<string, number>> {
  const headers = group === undefined ? [] : ['X-Traffic-Group', group];
  const counts: Record<string, number> = {};
  const names = await inParallel(REQUESTS, 16, async () => {
    const answer = await send(proxy.trafficPort, { headers });
    assert.equal(answer.status, 200);
    return answer.echo().upstream;
  });
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

suite(`${REQUESTS} requests of each group`, () => {
  test('FREE: exactly 5 % to the canary, the rest to production', async () => {
    assert.deepEqual(await tally('FREE'), { canary: 500, production: 9_500 });
  });

  test('everybody else: exactly 5 % to the paid canary, the rest to production', async () => {
    assert.deepEqual(await tally(undefined), { paid: 500, production: 9_500 });
  });

  test('INTERNAL: all to internal', async () => {
    assert.deepEqual(await tally('INTERNAL'), { internal: REQUESTS });
  });

  test('ENTERPRISE: all to production, never to a canary', async () => {
    assert.deepEqual(await tally('ENTERPRISE'), { production: REQUESTS });
  });

  test('status and metrics count the same', async () => {
    const { routes } = await proxy.status();
    const free = routes.find(({ name }) => name === 'free');
    assert.deepEqual(free?.requestsByBackend, { canary: 500, production: 9_500 });
    assert.equal(await proxy.metric('pointsman_requests_total', { route: 'enterprise' }), REQUESTS);
    assert.equal(
      await proxy.metric('pointsman_requests_total', { route: 'enterprise', backend: 'production' }),
      REQUESTS,
    );
  });
});
