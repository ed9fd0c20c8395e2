/**
 * The same traffic through both lanes: two processes of one configuration, one of them without the fast lane, in front
 * of upstreams that keep every byte. What the upstream gets and what the client gets must be the same.
 *
 * `TEST_LONG=1` sends a million requests, or `TEST_REQUESTS`; `TEST_FIRST` is the number of the first connection.
 */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { play, type Received } from '../../support/differential/client.ts';
import { describeScript, differences, tunnelFault } from '../../support/differential/compare.ts';
import { type Origin, startOrigin } from '../../support/differential/origin.ts';
import { type ClientScript, clientScript } from '../../support/differential/traffic.ts';
import { type PointsmanProcess, startPointsman, type TestConfig } from '../../support/pointsman-process.ts';

const LONG = process.env['TEST_LONG'] === '1';
const REQUESTS = Number(process.env['TEST_REQUESTS'] ?? (LONG ? 1_000_000 : 4_000));
const FIRST = Number(process.env['TEST_FIRST'] ?? 1);
const BATCH = 400;
/** Connections at once, per lane. */
const PARALLEL = 100;
const MAX_TOLD = Number(process.env['TEST_TOLD'] ?? 5);

const env = { DIFFERENTIAL_KEY: 'a key of these tests alone' };
const BACKENDS = ['main', 'canary', 'internal'];

function config(origin: Origin, fastLane: boolean): TestConfig {
  return {
    service: 'differential',
    trust: { cidrs: ['127.0.0.2/32'] },
    forwarding: { fastLane, forwarded: true },
    propagate: {},
    health: { enabled: false },
    outlier: { enabled: false },
    retries: { attempts: 2, budget: { percent: 100, floor: 10_000 } },
    // The full lane sees a head once it is whole: with one begun, the time between requests ends before that for heads
    // unless it is longer.
    timeouts: { requestHead: '1s', requestBody: '1s', idle: '1s', keepAlive: '3s', responseHead: '10s' },
    accessLog: { mode: 'off' },
    backends: Object.fromEntries(BACKENDS.map((name) => [name, { url: origin.urls[name]! }])),
    pins: {
      // Whoever has no user is drawn at random, so everybody has one.
      user: { by: [{ header: 'X-User' }, { cookie: 'uid' }, { clientAddress: {} }], store: 'memory' },
      issued: {
        by: [{ header: 'X-Nobody' }],
        issueCookie: { keys: ['${DIFFERENTIAL_KEY}'], secure: false },
      },
    },
    routes: [
      {
        name: 'issued',
        match: { headers: { 'X-Cookie-Row': '1' } },
        split: { internal: 1 },
        pin: 'issued',
      },
      {
        name: 'internal',
        match: { group: 'INTERNAL' },
        split: { internal: 1 },
        request: {
          remove: ['X-Secret', 'X-A'],
          set: { 'X-Route': '%{route} %{backend} %{client.address}', 'User-Agent': 'pointsman' },
          add: { 'X-Passed': ['one', '%{request.path}'] },
        },
        response: { remove: ['Server'], set: { ETag: '"set"' }, add: { 'Set-Cookie': 'row=%{route}' } },
      },
      { name: 'free', match: { group: 'FREE' }, split: { canary: 30, main: 70 }, pin: 'user' },
      { name: 'host', match: { host: 'shop.example' }, split: { canary: 1 }, shield: false },
      { name: 'all', split: { main: 1 } },
    ],
  };
}

/** @returns what came back, by connection */
async function playAll(proxy: PointsmanProcess, scripts: readonly ClientScript[]): Promise<Received[]> {
  const received: Received[] = [];
  let next = 0;
  const player = async () => {
    while (next < scripts.length) {
      const at = next++;
      received[at] = await play(proxy.trafficPort, scripts[at]!);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, player));
  return received;
}

const told: string[] = [];
after(() => {
  for (const text of told) console.error(text);
});

test(`${REQUESTS} requests are the same in both lanes`, {
  timeout: LONG ? 24 * 3_600_000 : 110_000,
}, async () => {
  const origins = [await startOrigin(BACKENDS), await startOrigin(BACKENDS)] as const;
  const proxies = [
    await startPointsman(config(origins[0], true), { env }),
    await startPointsman(config(origins[1], false), { env }),
  ] as const;
  let count = 0;
  let races = 0;
  let requests = 0;
  let answered = 0;
  let tunnels = 0;
  const statuses = new Map<string, number>();
  const startedAt = performance.now();
  for (let id = FIRST; requests < REQUESTS; id += BATCH) {
    const scripts = Array.from({ length: BATCH }, (_, i) => clientScript(id + i));
    const [fast, full] = await Promise.all([playAll(proxies[0], scripts), playAll(proxies[1], scripts)]);
    const differing: ClientScript[] = [];
    scripts.forEach((script, i) => {
      const lines = differences(
        { script, received: fast[i]!, seen: origins[0].seen },
        { script, received: full[i]!, seen: origins[1].seen },
      );
      for (const received of [fast[i]!, full[i]!]) {
        const fault = tunnelFault(script, received);
        if (fault !== undefined) lines.push(fault);
        if (received.tunnel !== undefined) tunnels++;
      }
      requests += script.requests.length;
      for (const { startLine } of fast[i]!.responses) {
        answered++;
        const status = startLine.slice(9, 12);
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }
      if (lines.length > 0) differing.push(script);
    });
    // A lane may lose a race, such as a reset that overtakes an answer: what counts is there again when it is alone.
    for (const script of differing) {
      for (const { seen } of origins) seen.clear();
      const [a, b] = await Promise.all(proxies.map((proxy) => play(proxy.trafficPort, script)));
      const lines = differences(
        { script, received: a!, seen: origins[0].seen },
        { script, received: b!, seen: origins[1].seen },
      );
      for (const received of [a!, b!]) {
        const fault = tunnelFault(script, received);
        if (fault !== undefined) lines.push(fault);
      }
      if (lines.length === 0) {
        races++;
        continue;
      }
      count++;
      const how = `${script.trusted ? ', trusted' : ''}${script.oneByOne ? '' : ', pipelined'}`;
      const text = `connection ${script.id}${how}\n${describeScript(script)}\n  ${lines.join('\n  ')}\n`;
      if (LONG) console.error(text);
      else if (told.length < MAX_TOLD) told.push(text);
    }
    for (const { seen } of origins) seen.clear();
    if (LONG) {
      const rate = Math.round(requests / ((performance.now() - startedAt) / 1_000));
      console.error(
        `${requests} requests, ${answered} answered, ${count} differences, ${races} races, ${rate}/s`,
      );
    }
  }
  assert.deepEqual(origins[0].violations, []);
  assert.deepEqual(origins[1].violations, []);
  assert.equal(count, 0, 'connections that differ');
  assert.ok(races <= requests / 1_000, `${races} connections differed once`);
  // Traffic that never gets anywhere shows nothing.
  assert.ok(answered > requests * 0.8, `${answered} answers to ${requests} requests`);
  assert.ok(tunnels > requests / 100, `${tunnels} tunnels for ${requests} requests`);
  for (const status of ['101', '200', '204', '304', '400', '502'])
    assert.ok((statuses.get(status) ?? 0) > 0, status);
});
