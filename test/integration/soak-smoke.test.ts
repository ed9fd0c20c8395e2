/** The soak itself: it is worth something only if it notices what goes wrong, and explains no more than it must. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { Agent, createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { explain, type Incidents, type LoggedFailure } from '../../bench/soak/explain.ts';
import { smallChecked } from '../../bench/soak/load/checks.ts';
import { ExchangeError, exchange } from '../../bench/soak/load/exchange.ts';
import type { Failure } from '../../bench/soak/load/failure.ts';
import { RATES } from '../../bench/soak/load/kinds.ts';
import { readSoakOptions, UsageError } from '../../bench/soak/options.ts';
import { smallBody } from '../../bench/soak/payload.ts';
import { soakPicture } from '../../bench/soak/picture.ts';
import { MARK, soakText } from '../../bench/soak/readme.ts';
import { type KeptSoak, readSoak } from '../../bench/soak/results.ts';
import { EVENT_KINDS } from '../../bench/soak/schedule.ts';
import { faultsOf, rowsOf } from '../../bench/soak/tables.ts';
import { between } from '../support/between-marks.ts';

const MAIN = fileURLToPath(new URL('../../bench/soak.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'pointsman-soak-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));

test('some seconds of it, with everything that happens in a long run, have no failure without an explanation', () => {
  const file = join(folder, 'soak.json');
  const args = ['--minutes', '0.0417', '--pace', '14', '--share', '0.1', '--sample', '1', '--json', file];
  const run = spawnSync(process.execPath, [MAIN, ...args], { encoding: 'utf8', timeout: 100_000 });
  assert.equal(run.status, 0, run.stdout + run.stderr);
  const kept = JSON.parse(readFileSync(file, 'utf8')) as KeptSoak;
  assert.deepEqual(kept.unexplained, []);
  for (const kind of EVENT_KINDS) assert.ok(kept.events[kind]!.length > 0, `${kind} did not happen`);
  for (const kind of [...Object.keys(RATES), 'websocket']) assert.ok(kept.requests[kind]! > 0, `no ${kind}`);
  assert.ok(kept.watched > 0 && kept.scrapes > 0);
  assert.deepEqual(Object.keys(kept.atRest), ['primary', 'worker 1', 'worker 2']);
});

test('a response that is altered, another one’s, cut, of a forbidden track or an error is found out', async () => {
  const answers = { status: 200, nonce: 'n1', track: 'internal', body: smallBody('n1'), length: -1 };
  const server = createServer((_request, response) => {
    const { status, nonce, track, body, length } = answers;
    response.writeHead(status, {
      'X-Nonce': nonce,
      'X-Request-Id': nonce,
      'X-Track': track,
      'Content-Length': length === -1 ? body.length : length,
    });
    response.write(body);
    if (length === -1) response.end();
    else setImmediate(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  const agent = new Agent();
  const ask = async (wrong: Partial<typeof answers>): Promise<string> => {
    const right = { ...answers };
    Object.assign(answers, wrong);
    try {
      const asked = { kind: 'get', nonce: 'n1', method: 'GET', path: '/small', group: 'INTERNAL' } as const;
      const check = (response: Parameters<typeof smallChecked>[0]) => smallChecked(response, 'n1');
      return String(await exchange({ ...asked, agent, port: address.port, check }));
    } catch (error) {
      assert.ok(error instanceof ExchangeError, String(error));
      return error.failure.form;
    } finally {
      Object.assign(answers, right);
    }
  };
  try {
    assert.equal(await ask({}), '200');
    assert.equal(await ask({ body: smallBody('n2') }), 'wrong');
    assert.equal(await ask({ nonce: 'n2' }), 'wrong');
    assert.equal(await ask({ track: 'canary' }), 'wrong');
    assert.equal(await ask({ length: 10_000 }), 'cut');
    assert.equal(await ask({ status: 503 }), 'status');
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test('an outage explains the failures of what it took with it, and no others', () => {
  const incidents: Incidents = {
    workerKills: [
      { pid: 1, stoppedAt: 1_000, goneAt: 1_010, accepted: new Set([40_001]), waiting: new Set([40_002]) },
    ],
    endpointKills: [{ endpoint: '127.0.23.1:80', at: 5_000, goneAt: 5_005 }],
  };
  const cut: Failure = {
    form: 'cut',
    kind: 'get',
    nonce: 'n',
    method: 'GET',
    what: 'ECONNRESET',
    status: 0,
    reason: undefined,
    endpoint: undefined,
    bodyBytes: 0,
    port: 40_001,
    connectingAt: 500,
    startedAt: 990,
    endedAt: 1_020,
  };
  const refused: Failure = {
    ...cut,
    form: 'status',
    method: 'POST',
    status: 502,
    reason: 'upstream_reset',
    port: 40_009,
    startedAt: 4_990,
    endedAt: 5_010,
  };
  const reset: LoggedFailure = { endpoint: '127.0.23.1:80', reason: 'upstream_reset' };
  const truncated: LoggedFailure = { endpoint: '127.0.23.1:80', reason: 'upstream_truncated' };
  const cases: [string | undefined, string, Partial<Failure>, (LoggedFailure | undefined)?, Failure?][] = [
    ['worker-connection', 'a connection of the killed worker', {}],
    [undefined, 'one of another worker', { port: 40_009 }],
    [undefined, 'before the kill', { endedAt: 999 }],
    [undefined, 'long after it', { startedAt: 990, endedAt: 4_000 }],
    [undefined, 'another connection from the same port', { connectingAt: 1_100, startedAt: 1_100 }],
    [undefined, 'a whole response that is wrong', { form: 'wrong' }],
    ['worker-unaccepted', 'a connection that nobody had accepted', { port: 40_002 }],
    ['worker-unaccepted', 'one that came while it was dying', { port: 40_009, connectingAt: 1_005 }],
    [undefined, 'one that had been answered', { port: 40_002, status: 200 }],
    ['endpoint-unsafe', 'a POST on the killed endpoint', {}, reset, refused],
    [undefined, 'a GET there, which may be repeated', { method: 'GET' }, reset, refused],
    [undefined, 'a POST on another endpoint', {}, { ...reset, endpoint: '127.0.23.2:80' }, refused],
    [undefined, 'a POST that the log does not know', {}, undefined, refused],
    [undefined, 'a POST long after the kill', { endedAt: 6_500 }, reset, refused],
    [undefined, 'a POST before the kill', { endedAt: 4_999 }, reset, refused],
    [
      undefined,
      'a POST that was refused for something else',
      {},
      { ...reset, reason: 'no_endpoint' },
      refused,
    ],
    ['endpoint-begun', 'a response that had begun', { form: 'cut', status: 200 }, truncated, refused],
    [
      undefined,
      'one that the proxy cut for another reason',
      { form: 'cut' },
      { ...truncated, reason: 'idle_timeout' },
      refused,
    ],
    [
      'endpoint-tunnel',
      'a WebSocket there',
      { form: 'cut', kind: 'websocket', endpoint: '127.0.23.1:80' },
      undefined,
      refused,
    ],
    [
      undefined,
      'a WebSocket elsewhere',
      { form: 'cut', kind: 'websocket', endpoint: '127.0.23.2:80' },
      undefined,
      refused,
    ],
  ];
  for (const [expected, what, change, logged, failure = cut] of cases) {
    assert.equal(explain({ ...failure, ...change }, incidents, logged), expected, what);
  }
});

test('the README and the picture are made from the same run, in which nothing failed or grew', () => {
  const kept = readSoak();
  assert.ok(kept !== undefined);
  const readme = readFileSync(new URL('../../bench/README.md', import.meta.url), 'utf8');
  assert.equal(between(readme, MARK, soakText(kept)), readme);
  assert.equal(soakPicture(kept), readFileSync(new URL('../../bench/soak.svg', import.meta.url), 'utf8'));
  assert.deepEqual(faultsOf(kept), []);
  assert.ok(Math.round(kept.minutes) >= 30);
});

test('what grows by more than noise fails the run, what falls or swings does not', () => {
  const kept = readSoak()!;
  const at = kept.columns['at'] as number[];
  const grown = (column: string, by: (share: number, index: number) => number): string[] => {
    const values = at.map((_, index) => 100 + by(index / at.length, index));
    return faultsOf({ ...kept, columns: { ...kept.columns, [column]: values } });
  };
  assert.deepEqual(
    grown('rss primary', () => 0),
    [],
  );
  assert.deepEqual(
    grown('rss primary', (_, index) => (index % 7) * 10),
    [],
  );
  assert.deepEqual(
    grown('rss primary', (share) => -60 * share),
    [],
  );
  assert.match(grown('rss primary', (share) => 60 * share)[0]!, /^resident, primary grows from 1\d\d/);
  assert.match(grown('listeners worker 1', (share) => 3000 * share)[0]!, /^listeners, workers grows/);
  assert.deepEqual(
    grown('get p99', (share) => 300 * share),
    [],
    'latency tells of the machine as much',
  );
  assert.ok(rowsOf(kept).some(({ name, verdict }) => name === 'resident, primary' && verdict === 'flat'));
});

test('wrong options are refused with one line that says which', () => {
  const cases: [string[], RegExp][] = [
    [['--minutes', '0'], /^--minutes 0: must be a number above 0$/],
    [['--pace', 'x'], /^--pace x: must be a number above 0$/],
    [['--workers', '1'], /^--workers 1: must be a whole number from 2 to 64$/],
    [['--no-such'], /--no-such/],
  ];
  for (const [args, message] of cases) {
    assert.throws(
      () => readSoakOptions(args),
      (error) => error instanceof UsageError && message.test(error.message),
    );
  }
});
