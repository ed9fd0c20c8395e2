/** 10,000 decisions as the access log tells them, put to the pure decision again. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { parseConfig } from '../../../src/config/load.ts';
import { decide } from '../../../src/routing/decide.ts';
import { routeRequest } from '../../../src/routing/route-request.ts';
import { compileTable } from '../../../src/routing/table.ts';
import { startTracks } from '../../support/design-table.ts';
import { type LogLine, startPointsman } from '../../support/pointsman-process.ts';
import { inParallel, send } from '../../support/request.ts';

const REQUESTS = 10_000;
const tracks = await startTracks();
const proxy = await startPointsman({
  service: 'account-service',
  backends: {
    internal: { url: tracks.internal.url },
    canary: { url: tracks.canary.url },
    paid: { url: tracks.paid.url },
    // Nobody listens there, so its users are served by others.
    gone: { url: 'http://127.0.0.1:9' },
    production: { url: tracks.production.url },
  },
  routes: [
    { name: 'free', match: { group: 'FREE' }, split: { canary: 10, production: 90 }, pin: 'user' },
    {
      name: 'api',
      match: { path: '/api', method: ['GET', 'HEAD'] },
      split: { canary: 0, production: 100 },
      pin: 'user',
      rollback: { canary: 'drain' },
    },
    { name: 'spill', match: { group: 'SPILL' }, split: { gone: 30, paid: 10, production: 60 }, pin: 'user' },
    {
      name: 'many',
      match: { group: 'MANY' },
      split: { canary: 20, paid: 20, internal: 20, production: 40 },
      pin: 'user',
    },
    { name: 'enterprise', match: { group: 'ENTERPRISE' }, split: { production: 100 } },
    { name: 'rest', split: { paid: 5, production: 95 }, pin: 'user' },
  ],
  invariants: [
    { never: { group: ['ENTERPRISE', 'ENTERPRISE-EU'], backend: ['canary', 'internal', 'paid'] } },
    { maxShare: { group: 'FREE', backend: 'canary', percent: 10 } },
  ],
  unknownGroup: 'enterprise',
  pins: { user: { by: [{ header: 'X-User-Id' }], store: 'memory' } },
});

const GROUPS = ['FREE', 'free', 'SPILL', 'MANY', 'ENTERPRISE', 'enterprise-eu', 'typo', undefined];

suite('the access log', () => {
  test(`holds ${REQUESTS} decisions that come out the same when they are made again`, async () => {
    const table = compileTable(
      parseConfig(readFileSync(proxy.configPath, 'utf8'), { file: 'test', environment: {} }).config!,
    );
    const users = new Map<string, string | undefined>();
    const answers = await inParallel(REQUESTS, 16, async (i) => {
      const group = GROUPS[i % GROUPS.length];
      const user = i % 3 === 0 ? undefined : `user-${(i * 31) % 2_500}`;
      const headers = [
        ...(group === undefined ? [] : ['X-Traffic-Group', group]),
        ...(user === undefined ? [] : ['X-User-Id', user]),
      ];
      const answer = await send(proxy.trafficPort, { path: i % 5 === 0 ? '/api/x' : '/', headers });
      assert.equal(answer.status, 200);
      users.set(answer.requestId!, user);
      return answer.echo().upstream;
    });
    assert.equal(answers.length, REQUESTS);
    const lines = await proxy.waitFor('all lines', () => {
      const found = proxy.accessLog();
      return found.length >= REQUESTS ? found : undefined;
    });
    const tally = new Map<string, number>();
    for (const line of lines) {
      const kind = replay(table, line, users.get(String(line['request_id'])));
      tally.set(kind, (tally.get(kind) ?? 0) + 1);
    }
    for (const kind of ['pin', 'bucket', 'weights', 'only', 'spilled']) {
      assert.ok((tally.get(kind) ?? 0) > 100, `${kind}: ${tally.get(kind)} of ${JSON.stringify([...tally])}`);
    }
    await proxy.stop();
  });
});

/** @returns what kind of decision it was */
function replay(table: ReturnType<typeof compileTable>, line: LogLine, user: string | undefined): string {
  const facts = {
    method: String(line['method']),
    path: String(line['path']),
    host: String(line['host'] ?? ''),
    group: String(line['group'] ?? ''),
    groups: undefined,
    rawHeaders: [],
    client: '127.0.0.1',
  };
  const route = routeRequest(table, facts);
  assert.equal(route.name, line['route'], JSON.stringify(line));
  const { names } = route.split;
  const usable = (index: number) => names[index] !== 'gone';
  const wanted = String(line['spilled_from'] ?? line['backend']);
  const remembered = line['pinned'] === 'pin' ? wanted : undefined;
  const decision = decide(route, user, remembered, usable, undefined);
  if (decision.source === 'weights') {
    assert.equal(line['bucket'], undefined);
    // Which one of several is drawn is the rotation's to say; that it may be drawn is not.
    const index = names.indexOf(String(line['backend']));
    assert.ok(route.split.weights[index]! > 0 || route.split.shares[index]! > 0, JSON.stringify(line));
    if (decision.index !== -1) assert.equal(names[decision.index], line['backend']);
    return line['spilled'] === true ? 'spilled' : 'weights';
  }
  assert.equal(names[decision.index], line['backend'], JSON.stringify(line));
  assert.equal(names[decision.wanted], wanted, JSON.stringify(line));
  if (decision.source === 'only') return 'only';
  assert.equal(decision.source, line['pinned']);
  assert.equal(decision.bucket, line['bucket']);
  return line['spilled'] === true ? 'spilled' : decision.source;
}
