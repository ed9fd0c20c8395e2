/** Promises to groups, over real sockets: through pins, failures and reloads. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { suite, test } from 'node:test';
import { startTracks } from '../../support/design-table.ts';
import { startHttpUpstream } from '../../support/http-upstream.ts';
import {
  configText,
  runToEnd,
  startPointsman,
  type TestConfig,
  temporaryDirectory,
} from '../../support/pointsman-process.ts';
import { inParallel, send } from '../../support/request.ts';

const tracks = await startTracks();
const production = await startHttpUpstream('mortal');

type Routes = TestConfig['routes'];

function config(routes: Routes, more: Partial<TestConfig> = {}): TestConfig {
  return {
    service: 'account-service',
    backends: {
      internal: { url: tracks.internal.url },
      canary: { url: tracks.canary.url },
      paid: { url: tracks.paid.url },
      production: { url: tracks.production.url },
      mortal: { url: production.url },
    },
    routes,
    pins: { user: { by: [{ header: 'X-User-Id' }], store: 'memory' } },
    invariants: [
      { never: { group: ['ENTERPRISE', 'ENTERPRISE-EU'], backend: ['internal', 'canary', 'paid'] } },
      { maxShare: { group: 'FREE', backend: 'canary', percent: 10 } },
      { maxStep: 10 },
    ],
    ...more,
  };
}

const design = (canary: number, more: Partial<Routes[number]> = {}): Routes => [
  {
    name: 'free',
    match: { group: 'FREE' },
    split: { canary, production: 100 - canary },
    pin: 'user',
    ...more,
  },
  { name: 'enterprise', match: { group: 'ENTERPRISE' }, split: { production: 100 }, pin: 'user' },
  { name: 'paid', split: { paid: 5, production: 95 }, pin: 'user' },
];

const ask = (port: number, group: string | undefined, user?: string) =>
  send(port, {
    headers: [
      ...(group === undefined ? [] : ['X-Traffic-Group', group]),
      ...(user === undefined ? [] : ['X-User-Id', user]),
    ],
  });

suite('a table that would break a promise', () => {
  test('is refused at the start, with the place and the reason, and on a reload, with the last good one staying', async () => {
    const directory = temporaryDirectory();
    const file = path.join(directory, 'pointsman.yaml');
    writeFileSync(file, configText(config(design(11))));
    const ended = await runToEnd(file);
    assert.equal(ended.code, 2);
    assert.match(
      ended.stderr,
      /pointsman\.yaml:\d+:\d+: routes\[0\]\.split\.canary: requests of group FREE reach canary here with 11 %/,
    );
    const proxy = await startPointsman(config(design(5), { unknownGroup: 'enterprise' }));
    proxy.writeConfig(
      config([{ name: 'beta', match: { path: '/' }, split: { canary: 1 } }, ...design(20)], {
        unknownGroup: 'enterprise',
      }),
    );
    const refused = await proxy.waitForLog(({ msg }) => /was not taken over/.test(msg));
    assert.deepEqual(refused['rules'], ['never', 'maxShare']);
    assert.match(
      JSON.stringify(refused['problems']),
      /routes\[0\]\.split\.canary: requests of group ENTERPRISE, ENTERPRISE-EU reach canary here, and invariants\[0\] says never/,
    );
    assert.equal((await ask(proxy.trafficPort, 'enterprise')).echo().upstream, 'production');
    const status = await proxy.status();
    assert.equal(status.config.lastReload?.result, 'rejected');
    assert.equal(status.config.reloads.ok, 0);
    for (const rule of ['never', 'maxShare']) {
      assert.equal(await proxy.metric('pointsman_config_rejected_total', { rule }), 1);
    }
    await proxy.stop();
  });

  test('by going too far at once is refused on a reload, and taken over with a reason, which the log keeps', async () => {
    const invariants = (force?: string): TestConfig['invariants'] => [
      { maxStep: 10, ...(force === undefined ? {} : { force }) },
    ];
    const proxy = await startPointsman(config(design(5), { invariants: invariants() }));
    proxy.writeConfig(config(design(50), { invariants: invariants() }));
    const refused = await proxy.waitForLog(({ msg }) => /was not taken over/.test(msg));
    assert.match(
      JSON.stringify(refused['problems']),
      /canary goes from 5 % to 50 % in row free for requests of group FREE: 45 points/,
    );
    assert.equal(await proxy.metric('pointsman_config_rejected_total', { rule: 'maxStep' }), 1);
    await proxy.reload(config(design(50), { invariants: invariants('release 7 is urgent') }));
    const forced = await proxy.waitForLog(({ msg }) => /was forced/.test(msg));
    assert.equal(forced['force'], 'release 7 is urgent');
    await proxy.reload(
      config(design(50, { rollback: { canary: 'evacuate' } }), {
        invariants: invariants('release 7 is urgent'),
      }),
    );
    proxy.writeConfig(config(design(50), { invariants: invariants('release 7 is urgent') }));
    await proxy.waitFor(
      'the way back to be refused',
      async () => (await proxy.status()).config.reloads.rejected === 2,
    );
    await proxy.stop();
  });
});

suite('groups to which something is promised', () => {
  test('keep it when their users are pinned elsewhere, and when a request names several groups', async () => {
    const routes = (more: Partial<Routes[number]>): Routes => [
      { name: 'all', split: { canary: 50, production: 50 }, pin: 'user', ...more },
    ];
    const open = { invariants: [], ambiguousGroup: 'any' as const };
    const proxy = await startPointsman(config(routes({}), open));
    const users = Array.from({ length: 200 }, (_, i) => `user-${i}`);
    const before = await inParallel(
      users.length,
      8,
      async (i) => (await ask(proxy.trafficPort, 'ENTERPRISE', users[i]!)).echo().upstream,
    );
    assert.ok(before.includes('canary'));
    await proxy.reload(
      config(routes({ rollback: { canary: 'drain' } }), {
        ambiguousGroup: 'any',
        invariants: [{ never: { group: 'ENTERPRISE', backend: 'canary' } }],
      }),
    );
    const others = await inParallel(
      users.length,
      8,
      async (i) => (await ask(proxy.trafficPort, undefined, users[i]!)).echo().upstream,
    );
    assert.deepEqual(others, before, 'drain keeps everybody else where he is remembered');
    for (const group of ['ENTERPRISE', 'FREE, Enterprise', '"x,ENTERPRISE', '"x\\",ENTERPRISE']) {
      const now = await inParallel(
        users.length,
        8,
        async (i) => (await ask(proxy.trafficPort, group, users[i]!)).echo().upstream,
      );
      assert.deepEqual(new Set(now), new Set(['production']), group);
    }
    await proxy.stop();
  });

  test('are answered 503 rather than served where they must not be, and the log names the promise', async () => {
    const routes: Routes = [
      { name: 'free', match: { group: 'FREE' }, split: { canary: 5, mortal: 95 } },
      { name: 'rest', split: { mortal: 1 } },
    ];
    const proxy = await startPointsman(config(routes));
    const count = async (requests: number) => {
      const answers = await inParallel(requests, 8, () => ask(proxy.trafficPort, 'FREE'));
      return {
        canary: answers
          .filter(({ status, headers }) => status === 200 && headers !== undefined)
          .filter((answer) => answer.echo().upstream === 'canary').length,
        refused: answers.filter(({ status }) => status === 503),
      };
    };
    assert.equal((await count(400)).canary, 20);
    await production.close();
    await proxy.waitForHealth('mortal', 'down');
    const { canary, refused } = await count(400);
    assert.equal(canary, 20, 'the canary takes over nothing');
    assert.equal(refused.length, 380);
    assert.equal(refused[0]!.failure().reason, 'no_endpoint');
    const line = await proxy.accessLine(refused[0]!.requestId);
    assert.equal(line['invariant'], 'invariants[1]: maxShare FREE → canary 10 %');
    await proxy.stop();
  });
});

suite('groups that no row names', () => {
  test('go to the row for them and are counted by value, in metrics and status, within bounds', async () => {
    const proxy = await startPointsman(config(design(5), { unknownGroup: 'enterprise' }), { workers: 2 });
    const values = [
      'ENTERPRISE-EU',
      'enterprise-eu',
      'fre',
      ...Array.from({ length: 60 }, (_, i) => `noise-${i}`),
    ];
    const answers = await inParallel(values.length, 8, (i) => ask(proxy.trafficPort, values[i]!));
    for (const answer of answers) assert.equal(answer.echo().upstream, 'production');
    const known = await inParallel(20, 4, (i) => ask(proxy.trafficPort, i % 2 === 0 ? undefined : 'free'));
    assert.ok(known.every(({ status }) => status === 200));
    await proxy.waitFor(
      'the counts',
      async () => (await proxy.metric('pointsman_unknown_group_total')) === values.length,
    );
    const { unknownGroups } = await proxy.status();
    assert.ok(Object.keys(unknownGroups).length <= 21);
    assert.equal(
      Object.values(unknownGroups).reduce((sum, count) => sum + count, 0),
      values.length,
    );
    assert.equal(
      proxy.accessLog().filter((line) => line['group'] === 'enterprise-eu' && line['route'] === 'enterprise')
        .length,
      2,
    );
    await proxy.stop();
  });
});
