/** What is set by hand, over three replicas that share a Redis. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { designTable, startTracks } from '../../support/design-table.ts';
import { act, TOKEN } from '../../support/operator.ts';
import { type PointsmanProcess, startPointsman } from '../../support/pointsman-process.ts';
import { startRedis } from '../../support/redis-server.ts';
import { waitFor } from '../../support/wait-for.ts';

/** Replicas promise two seconds, which bench/overrides.ts measures; a busy machine is given more. */
const PATIENCE_MS = 8_000;

const tracks = await startTracks();

const canaryShare = async (replica: PointsmanProcess) =>
  (await replica.status()).routes.find(({ name }) => name === 'free')!.sharesNow['canary'];

const BRAKE = { route: 'free', weights: { canary: 0 }, reason: 'sick' };

test('an override set on one replica reaches the others, is known to one that restarts, outlives a Redis that loses it, and is gone from all on time', async () => {
  const redis = await startRedis();
  const config = { ...designTable(tracks), acting: { token: TOKEN }, redis: { url: redis.url } };
  const [first, second, third] = await Promise.all([1, 2, 3].map(() => startPointsman(config)));
  const all = [first!, second!, third!];
  await Promise.all(
    all.map((replica) =>
      replica.waitFor('Redis', async () => (await replica.status()).overridesShared?.state === 'closed'),
    ),
  );

  const set = await act(first!.adminPort, 'split', { ...BRAKE, for: '20s' });
  assert.equal(set.status, 200, set.text);
  const { override, shared } = set.json() as { override: { id: string; until: string }; shared: string };
  assert.match(shared, /all replicas/);
  await Promise.all(
    all.map((replica) =>
      replica.waitFor('the brake', async () => (await canaryShare(replica)) === 0, PATIENCE_MS),
    ),
  );

  // Whatever a replica does at its start, it knows before it takes traffic.
  await second!.stop();
  const again = await startPointsman(config);
  assert.equal(await canaryShare(again), 0);
  assert.equal((await again.status()).overrides[0]!.id, override.id);

  await redis.client.flushall();
  await waitFor(
    'the replicas to fill Redis again',
    async () => (await redis.client.hlen('pointsman:account-service:overrides')) === 1,
    PATIENCE_MS,
  );

  const left = [first!, third!, again];
  await Promise.all(
    left.map((replica) =>
      replica.waitFor(
        'its end',
        async () => (await canaryShare(replica)) === 5,
        Date.parse(override.until) - Date.now() + PATIENCE_MS,
      ),
    ),
  );
  assert.ok(Date.now() >= Date.parse(override.until), 'not before its time');
  await waitFor(
    'Redis to hold nothing',
    async () => (await redis.client.hlen('pointsman:account-service:overrides')) === 0,
    PATIENCE_MS,
  );
});

test('an override ended on another replica ends on all, and does not come back from one that was away', async () => {
  const redis = await startRedis();
  const config = { ...designTable(tracks), acting: { token: TOKEN }, redis: { url: redis.url } };
  const [first, second] = await Promise.all([startPointsman(config), startPointsman(config)]);
  await act(first.adminPort, 'split', { ...BRAKE, for: '5m' });
  await second.waitFor('the brake', async () => (await canaryShare(second)) === 0, PATIENCE_MS);
  assert.equal((await act(second.adminPort, 'end', { override: 'free' })).status, 200);
  await first.waitFor('its end', async () => (await canaryShare(first)) === 5, PATIENCE_MS);
});

test('while Redis is away the brake works where it is pulled, and reaches the others once Redis is back', async () => {
  const redis = await startRedis();
  const config = { ...designTable(tracks), acting: { token: TOKEN }, redis: { url: redis.url } };
  const [first, second] = await Promise.all([startPointsman(config), startPointsman(config)]);
  await redis.stop();
  await first.waitFor(
    'Redis to be gone',
    async () => (await first.status()).overridesShared?.state !== 'closed',
  );
  const set = await act(first.adminPort, 'split', { ...BRAKE, for: '5m' });
  assert.equal(set.status, 200);
  assert.match((set.json() as { shared: string }).shared, /once Redis is back/);
  assert.equal(await canaryShare(first), 0);
  assert.equal(await canaryShare(second), 5);
  await redis.start();
  await second.waitFor('the brake', async () => (await canaryShare(second)) === 0, 15_000);
});
