import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AccessLog, type AccessLogOptions, type AccessRecord } from '../../../src/observe/access-log.ts';
import { MemoryDestination } from './fixtures/memory-destination.ts';

const RECORD: AccessRecord = {
  client: '10.1.2.3:51234',
  method: 'GET',
  path: '/things?a=b',
  host: 'accounts.example',
  protocol: 'HTTP/1.1',
  group: 'FREE',
  route: 'free',
  backend: 'canary',
  endpoint: '10.2.3.4:8080',
  status: 200,
  bytesIn: 0,
  bytesOut: 1234,
  headMs: 0.14,
  queueMs: 0,
  connectMs: 1.25,
  responseMs: 12.345,
  totalMs: 13.999,
  termination: '--',
  reason: undefined,
  retries: 0,
  redispatched: false,
  spilled: false,
  spilledFrom: undefined,
  panic: false,
  shieldedFrom: undefined,
  retryDenied: undefined,
  reused: true,
  requestId: 'id-1',
  pinned: 'hash',
  bucket: undefined,
  invariant: undefined,
};

function setUp(options: Partial<AccessLogOptions> & { random?: () => number } = {}) {
  const destination = new MemoryDestination();
  const now = () => Date.UTC(2026, 0, 31, 12);
  const log = new AccessLog(
    { destination, service: 'accounts' },
    { mode: 'all', sample: 1, now, ...options },
  );
  return { log, destination };
}

test('a record becomes one line under the names of HAProxy, times with one decimal', () => {
  const { log, destination } = setUp();
  log.write(RECORD);
  assert.ok(destination.written[0]!.endsWith('}\n'));
  assert.deepEqual(destination.lines(), [
    {
      level: 'info',
      time: '2026-01-31T12:00:00.000Z',
      service: 'accounts',
      client: '10.1.2.3:51234',
      method: 'GET',
      path: '/things?a=b',
      host: 'accounts.example',
      protocol: 'HTTP/1.1',
      group: 'FREE',
      route: 'free',
      backend: 'canary',
      endpoint: '10.2.3.4:8080',
      status: 200,
      bytes_in: 0,
      bytes_out: 1234,
      TR: 0.1,
      Tw: 0,
      Tc: 1.3,
      Tr: 12.3,
      Ta: 14,
      termination: '--',
      retries: 0,
      redispatched: false,
      spilled: false,
      reused: true,
      request_id: 'id-1',
      pinned: 'hash',
      msg: 'request',
    },
  ]);
});

test('what is not known is left out, and a phase not reached is -1', () => {
  const { log, destination } = setUp();
  log.write({
    ...RECORD,
    ...{ host: undefined, group: undefined, route: undefined, backend: undefined, endpoint: undefined },
    ...{ status: undefined, queueMs: undefined, connectMs: undefined, responseMs: Number.NaN },
    ...{
      reused: undefined,
      requestId: undefined,
      pinned: undefined,
      termination: 'CR',
      reason: 'client_abort',
    },
  });
  const line = destination.lines()[0]!;
  for (const key of [
    'host',
    'group',
    'route',
    'backend',
    'endpoint',
    'status',
    'reused',
    'request_id',
    'pinned',
  ]) {
    assert.equal(key in line, false, key);
  }
  assert.deepEqual([line['Tw'], line['Tc'], line['Tr']], [-1, -1, -1]);
  assert.equal(line['reason'], 'client_abort');
});

test('whatever a client sends, a record is one line of JSON of bounded length that holds it', () => {
  const anything = fc.string({ unit: 'binary', maxLength: 5_000 });
  fc.assert(
    fc.property(anything, anything, anything, (path, host, group) => {
      const { log, destination } = setUp();
      log.write({ ...RECORD, path, host, group });
      const text = destination.written[0]!;
      assert.equal(text.indexOf('\n'), text.length - 1);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: their absence is the promise
      assert.doesNotMatch(text.slice(0, -1), /[\u0000-\u001f]/);
      const line = destination.lines()[0]!;
      assert.equal(line['path'], path.slice(0, 2048));
      assert.equal(line['host'], host.slice(0, 256));
      assert.equal(line['group'], group.slice(0, 256));
      assert.equal(line['backend'], 'canary');
    }),
  );
});

test('mode errors writes failures and status 500 and above, mode off nothing', () => {
  const records: AccessRecord[] = [
    RECORD,
    { ...RECORD, status: 404 },
    { ...RECORD, status: 500 },
    { ...RECORD, status: 200, termination: 'CD' },
    { ...RECORD, status: undefined },
  ];
  const { log, destination } = setUp({ mode: 'errors' });
  for (const record of records) log.write(record);
  assert.deepEqual(
    destination.lines().map(({ status, termination }) => `${status} ${termination}`),
    ['500 --', '200 CD', 'undefined --'],
  );
  log.configure({ mode: 'off', sample: 1 });
  for (const record of records) log.write(record);
  assert.equal(destination.written.length, 3);
});

test('sampling writes the given share of what went well and everything that failed', () => {
  let draw = 0;
  const { log, destination } = setUp({ sample: 0.25, random: () => (draw++ % 100) / 100 });
  for (let n = 0; n < 1_000; n++) log.write(RECORD);
  assert.equal(destination.written.length, 250);
  for (let n = 0; n < 1_000; n++) log.write({ ...RECORD, status: 502, termination: 'SC' });
  assert.equal(destination.written.length, 1_250);
  assert.equal(draw, 1_000);
});

test('a sample of 0 in mode all leaves the failures', () => {
  const { log, destination } = setUp({ sample: 0, random: () => 0 });
  log.write(RECORD);
  log.write({ ...RECORD, status: 503 });
  assert.deepEqual(
    destination.lines().map(({ status }) => status),
    [503],
  );
});
