/** The routing table, over real sockets. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { designTable, startTracks } from '../../support/design-table.ts';
import { startHttpUpstream } from '../../support/http-upstream.ts';
import { startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { RawClient } from '../../support/raw-client.ts';
import { fieldValues, inParallel, send } from '../../support/request.ts';

const tracks = await startTracks();
const proxy = await startPointsman(designTable(tracks));

/** How often each upstream answered `count` requests with these fields. */
async function tally(
  count: number,
  headers: readonly string[],
  port = proxy.trafficPort,
): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  const names = await inParallel(count, 8, async (index) => {
    const answer = await send(port, { path: `/tally/${index}`, headers });
    assert.equal(answer.status, 200);
    return answer.echo().upstream;
  });
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

/** The row that a request with these fields matched, as the access log says. */
async function routeOf(
  headers: readonly string[],
  from = proxy,
  path = '/',
  method = 'GET',
): Promise<unknown> {
  const answer = await send(from.trafficPort, { headers, path, method });
  return (await from.accessLine(answer.requestId))['route'];
}

suite('the table by traffic group', () => {
  for (const [group, route] of [
    ['INTERNAL', 'internal'],
    ['internal', 'internal'],
    ['InTeRnAl', 'internal'],
    ['FREE', 'free'],
    ['free', 'free'],
    ['ENTERPRISE', 'enterprise'],
    ['enterPRISE', 'enterprise'],
    ['PAID', 'paid'],
    ['nobody-knows', 'paid'],
  ] as const) {
    test(`X-Traffic-Group: ${group} takes the row ${route}`, async () => {
      assert.equal(await routeOf(['X-Traffic-Group', group]), route);
    });
  }

  test('the name of the field may come in any case', async () => {
    assert.equal(await routeOf(['x-TRAFFIC-group', 'internal']), 'internal');
  });

  test('no group at all takes the default row', async () => {
    assert.equal(await routeOf([]), 'paid');
  });

  test('blanks around a group do not count', async () => {
    const client = await RawClient.connect(proxy.trafficPort);
    const answer = await client
      .send('GET / HTTP/1.1\r\nHost: a\r\nX-Traffic-Group: \t INTERNAL \t \r\n\r\n')
      .read();
    client.destroy();
    assert.equal((answer.json() as { upstream: string }).upstream, 'internal');
  });

  for (const group of ['"INTERNAL"', 'INTERNAL;q=1', 'INTERNALX', 'INTERNA', '', 'INTERNAL INTERNAL']) {
    test(`the value ${JSON.stringify(group)} is no group of the table`, async () => {
      assert.equal(await routeOf(['X-Traffic-Group', group]), 'paid');
    });
  }

  test('a field of a similar name is not the group', async () => {
    assert.equal(await routeOf(['X_Traffic_Group', 'INTERNAL', 'X-Traffic-Groups', 'INTERNAL']), 'paid');
  });

  test('the group reaches the upstream as it was sent', async () => {
    const answer = await send(proxy.trafficPort, { headers: ['x-traffic-GROUP', 'enterPRISE'] });
    const { rawHeaders } = answer.echo();
    assert.deepEqual(fieldValues(rawHeaders, 'x-traffic-group'), ['enterPRISE']);
    assert.ok(rawHeaders.includes('x-traffic-GROUP'));
  });
});

suite('shares', () => {
  test('1,000 requests of the group free meet the canary exactly 50 times', async () => {
    assert.deepEqual(await tally(1000, ['X-Traffic-Group', 'FREE']), { canary: 50, production: 950 });
  });

  test('1,000 requests without a group meet the paid canary exactly 50 times', async () => {
    assert.deepEqual(await tally(1000, []), { paid: 50, production: 950 });
  });

  test('enterprise never meets a canary', async () => {
    assert.deepEqual(await tally(400, ['X-Traffic-Group', 'ENTERPRISE']), { production: 400 });
  });

  test('internal meets internal alone', async () => {
    assert.deepEqual(await tally(100, ['X-Traffic-Group', 'INTERNAL']), { internal: 100 });
  });
});

suite('several groups in one request', () => {
  test('equal ones are one, in whatever case and however they are joined', async () => {
    assert.equal(await routeOf(['X-Traffic-Group', 'INTERNAL', 'x-traffic-group', 'internal']), 'internal');
    assert.equal(await routeOf(['X-Traffic-Group', 'internal, INTERNAL']), 'internal');
    assert.equal(await routeOf(['X-Traffic-Group', 'internal,,']), 'internal');
  });

  for (const [what, headers] of [
    ['in two lines', ['X-Traffic-Group', 'FREE', 'X-Traffic-Group', 'INTERNAL']],
    ['in one line', ['X-Traffic-Group', 'FREE, INTERNAL']],
    ['of which one is unknown', ['X-Traffic-Group', 'whatever,INTERNAL']],
  ] as const) {
    test(`different ones ${what} are refused and reach no upstream`, async () => {
      const before = Object.values(tracks).map(({ requests }) => requests.length);
      const answer = await send(proxy.trafficPort, { headers });
      assert.equal(answer.status, 400);
      assert.equal(answer.failure().reason, 'ambiguous_group');
      assert.equal((await proxy.accessLine(answer.requestId))['reason'], 'ambiguous_group');
      assert.deepEqual(
        Object.values(tracks).map(({ requests }) => requests.length),
        before,
      );
    });
  }

  test('with ambiguousGroup: any, the first row that has one of them wins, as with HAProxy', async () => {
    const any = await startPointsman({ ...designTable(tracks), ambiguousGroup: 'any' });
    assert.equal(await routeOf(['X-Traffic-Group', 'FREE, INTERNAL'], any), 'internal');
    assert.equal(await routeOf(['X-Traffic-Group', 'ENTERPRISE,FREE'], any), 'free');
    assert.equal(
      await routeOf(['X-Traffic-Group', 'bogus', 'X-Traffic-Group', 'ENTERPRISE'], any),
      'enterprise',
    );
    assert.equal(await routeOf(['X-Traffic-Group', 'bogus, nonsense'], any), 'paid');
  });

  test('with ambiguousGroup: default, they count as none', async () => {
    const lenient = await startPointsman({ ...designTable(tracks), ambiguousGroup: 'default' });
    assert.equal(await routeOf(['X-Traffic-Group', 'FREE, INTERNAL'], lenient), 'paid');
    const answer = await send(lenient.trafficPort, { headers: ['X-Traffic-Group', 'FREE, INTERNAL'] });
    assert.deepEqual(fieldValues(answer.echo().rawHeaders, 'x-traffic-group'), []);
  });
});

suite('with trust.cidrs set', async () => {
  const guarded = await startPointsman({ ...designTable(tracks), trust: { cidrs: ['127.0.0.1/32'] } });

  async function askFrom(localAddress: string) {
    const client = await RawClient.connect(guarded.trafficPort, { localAddress });
    const answer = await client
      .send('GET / HTTP/1.1\r\nHost: a\r\nX-Traffic-Group: INTERNAL\r\nConnection: close\r\n\r\n')
      .read();
    client.destroy();
    return answer.json() as { upstream: string; rawHeaders: string[] };
  }

  test('a trusted peer sets the group', async () => {
    const { upstream, rawHeaders } = await askFrom('127.0.0.1');
    assert.equal(upstream, 'internal');
    assert.deepEqual(fieldValues(rawHeaders, 'x-traffic-group'), ['INTERNAL']);
  });

  test('the group of any other peer is neither used nor passed on', async () => {
    const { upstream, rawHeaders } = await askFrom('127.0.0.2');
    assert.notEqual(upstream, 'internal');
    assert.deepEqual(fieldValues(rawHeaders, 'x-traffic-group'), []);
  });

  test('what an untrusted peer says of its group is no field that a row could match either', async () => {
    const byField = await startPointsman({
      ...designTable(tracks),
      trust: { cidrs: ['192.0.2.0/24'] },
      routes: [
        {
          name: 'field',
          match: { headers: { 'X-Traffic-Group': { present: true } } },
          split: { internal: 1 },
        },
        { name: 'rest', split: { production: 1 } },
      ],
    });
    assert.equal(await routeOf(['X-Traffic-Group', 'INTERNAL'], byField), 'rest');
  });

  test('an ambiguous group of an untrusted peer is no reason to refuse it', async () => {
    const client = await RawClient.connect(guarded.trafficPort, { localAddress: '127.0.0.2' });
    const answer = await client
      .send('GET / HTTP/1.1\r\nHost: a\r\nX-Traffic-Group: FREE, INTERNAL\r\n\r\n')
      .read();
    client.destroy();
    assert.equal(answer.status, 200);
  });
});

suite('matches besides the group', async () => {
  const upstream = await startHttpUpstream('main');
  const split = { main: 1 };
  const config: TestConfig = {
    backends: { main: { url: upstream.url } },
    routes: [
      { name: 'group-list', match: { group: ['ALPHA', 'beta'] }, split },
      { name: 'host', match: { host: 'www.example.com' }, split },
      { name: 'hosts', match: { host: ['a.example.org', '*.wild.example.org'] }, split },
      { name: 'path-and-method', match: { path: '/both', method: ['PUT', 'DELETE'] }, split },
      { name: 'path', match: { path: ['/api', '/raw%20path'] }, split },
      { name: 'method', match: { method: 'OPTIONS' }, split },
      { name: 'exact', match: { headers: { 'X-Tier': 'gold' } }, split },
      { name: 'any-case', match: { headers: { 'X-Tier': { exact: 'silver', ignoreCase: true } } }, split },
      { name: 'prefix', match: { headers: { 'User-Agent': { prefix: 'Mozilla/' } } }, split },
      { name: 'regex', match: { headers: { Cookie: { regex: '(^|; )beta=(1|true)(;|$)' } } }, split },
      {
        name: 'two-fields',
        match: { headers: { 'X-One': '1', 'X-Two': { present: true }, 'X-Three': { present: false } } },
        split,
      },
      { name: 'rest', split },
    ],
  };
  const matching = await startPointsman(config);

  const cases: readonly {
    readonly headers?: readonly string[];
    readonly path?: string;
    readonly method?: string;
    readonly route: string;
  }[] = [
    { headers: ['X-Traffic-Group', 'alpha'], route: 'group-list' },
    { headers: ['X-Traffic-Group', 'BETA'], route: 'group-list' },
    { headers: ['Host', 'www.example.com'], route: 'host' },
    { headers: ['Host', 'WWW.Example.COM:8080'], route: 'host' },
    { headers: ['Host', 'www.example.com.evil'], route: 'rest' },
    { headers: ['Host', 'a.example.org'], route: 'hosts' },
    { headers: ['Host', 'x.y.wild.example.org'], route: 'hosts' },
    { headers: ['Host', 'wild.example.org'], route: 'rest' },
    { headers: ['Host', 'evilwild.example.org'], route: 'rest' },
    { path: '/both/x', method: 'PUT', route: 'path-and-method' },
    { path: '/both/x', method: 'GET', route: 'rest' },
    { path: '/api', route: 'path' },
    { path: '/apix?q=1', route: 'path' },
    { path: '/raw%20path/more', route: 'path' },
    { path: '/x/api', route: 'rest' },
    { path: '/API', route: 'rest' },
    { path: '/%61pi', route: 'rest' },
    { method: 'OPTIONS', route: 'method' },
    { headers: ['x-tier', 'gold'], route: 'exact' },
    { headers: ['X-Tier', 'Gold'], route: 'rest' },
    { headers: ['X-Tier', 'bronze', 'X-Tier', 'gold'], route: 'exact' },
    { headers: ['X-Tier', 'SILVER'], route: 'any-case' },
    { headers: ['User-Agent', 'Mozilla/5.0'], route: 'prefix' },
    { headers: ['User-Agent', 'curl Mozilla/5.0'], route: 'rest' },
    { headers: ['Cookie', 'a=b; beta=true; c=d'], route: 'regex' },
    { headers: ['Cookie', 'alphabeta=true'], route: 'rest' },
    { headers: ['X-One', '1', 'X-Two', ''], route: 'two-fields' },
    { headers: ['X-One', '1'], route: 'rest' },
    { headers: ['X-One', '1', 'X-Two', 'x', 'X-Three', 'x'], route: 'rest' },
  ];
  for (const { headers = [], path = '/', method = 'GET', route } of cases) {
    test(`${method} ${path} ${headers.join(' ')} takes the row ${route}`, async () => {
      assert.equal(await routeOf(headers, matching, path, method), route);
    });
  }

  test('a regular expression that backtracks elsewhere takes linear time here', async () => {
    const evil = await startPointsman({
      ...config,
      routes: [
        { name: 'evil', match: { headers: { 'X-Value': { regex: '^(a+)+$' } } }, split },
        { name: 'rest', split },
      ],
    });
    const answer = await send(evil.trafficPort, { headers: ['X-Value', `${'a'.repeat(8000)}!`] });
    assert.equal((await evil.accessLine(answer.requestId))['route'], 'rest');
  });
});

suite('a backend without a healthy endpoint', () => {
  test('gives its share to the rest of its split, and gets it back', async () => {
    const canary = await startHttpUpstream('canary');
    const production = await startHttpUpstream('production');
    const own = await startPointsman({
      backends: { canary: { url: canary.url }, production: { url: production.url } },
      routes: [{ name: 'all', split: { canary: 1, production: 1 } }],
    });
    assert.deepEqual(await tally(100, [], own.trafficPort), { canary: 50, production: 50 });
    await canary.close();
    await own.waitForHealth('canary', 'down');
    assert.deepEqual(await tally(100, [], own.trafficPort), { production: 100 });
    await startHttpUpstream('canary', { port: canary.port });
    await own.waitForHealth('canary', 'up');
    assert.deepEqual(await tally(100, [], own.trafficPort), { canary: 50, production: 50 });
  });

  test('never sends anything to a backend that the split does not name', async () => {
    const internal = await startHttpUpstream('internal');
    const production = await startHttpUpstream('production');
    const own = await startPointsman({
      backends: { internal: { url: internal.url }, production: { url: production.url } },
      routes: [
        { name: 'internal', match: { group: 'INTERNAL' }, split: { internal: 1 } },
        { name: 'all', split: { production: 1 } },
      ],
    });
    await internal.close();
    await own.waitForHealth('internal', 'down');
    const answer = await send(own.trafficPort, { headers: ['X-Traffic-Group', 'INTERNAL'] });
    assert.equal(answer.status, 503);
    // What checks found down is tried all the same, since there is nothing else.
    assert.equal(answer.failure().reason, 'connect_failed');
    assert.equal((await own.accessLine(answer.requestId))['panic'], true);
    assert.equal(production.requests.length, 0);
  });

  test('a weight of 0 takes nothing', async () => {
    const own = await startPointsman({
      backends: { canary: { url: tracks.canary.url }, production: { url: tracks.production.url } },
      routes: [{ name: 'all', split: { canary: 0, production: 3 } }],
    });
    assert.deepEqual(await tally(50, [], own.trafficPort), { production: 50 });
  });
});
