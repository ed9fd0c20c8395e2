/** SRV records and the addresses of their hosts, put together. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Addresses, ByFamily } from '../../../src/backends/dns/addresses.ts';
import type { AddressRecord, SrvRecord } from '../../../src/backends/dns/message.ts';
import { askService } from '../../../src/backends/dns/services.ts';
import { type Failure, type FailureKind, failure } from '../../../src/backends/resolution.ts';

const NAME = '_http._tcp.web.test';

const srv = (target: string, facts: Partial<SrvRecord> = {}): SrvRecord => ({
  type: 'SRV',
  name: NAME,
  ttl: 30,
  priority: 0,
  weight: 10,
  port: 8080,
  target,
  ...facts,
});
const a = (name: string, address: string, ttl = 30): AddressRecord => ({ type: 'A', name, ttl, address });

interface World {
  readonly records: readonly SrvRecord[];
  readonly additionals?: readonly AddressRecord[];
  readonly canonical?: string;
  /** What is found when a host is asked for. */
  readonly hosts?: Readonly<Record<string, readonly string[] | FailureKind>>;
  readonly known?: ReadonlyMap<string, ByFamily>;
}

async function ask({ records, additionals = [], canonical = NAME, hosts = {}, known }: World) {
  const asked: string[] = [];
  const outcome = await askService(
    NAME,
    'ipv4',
    () => Promise.resolve({ kind: 'records', records, ttl: 30, canonical, additionals }),
    (host): Promise<Addresses | Failure> => {
      asked.push(host);
      const found = hosts[host] ?? 'notFound';
      if (typeof found === 'string') return Promise.resolve(failure(found, `${host}: ${found}`));
      return Promise.resolve({ kind: 'addresses', byFamily: new Map([[4, found]]), ttlMs: 20_000 });
    },
    known,
  );
  return { outcome, asked };
}

async function told(world: World) {
  const { outcome, asked } = await ask(world);
  if (outcome.kind === 'failure') return { failure: [outcome.reason, outcome.detail], asked };
  const { targets, ttlMs, note } = outcome;
  return {
    targets: targets.map(
      (each) => `${each.address}:${each.port} ${each.priority}/${each.weight} ${each.host}`,
    ),
    ttlMs,
    note,
    asked,
  };
}

describe('a service', () => {
  test('has the addresses that came along, with port, priority and weight of their record', async () => {
    const world = {
      records: [srv('b.web.test', { port: 81, priority: 2, weight: 7 }), srv('a.web.test', { port: 80 })],
      additionals: [a('a.web.test', '10.0.0.1', 9), a('b.web.test', '10.0.0.2')],
    };
    assert.deepEqual(await told(world), {
      targets: ['10.0.0.1:80 0/10 a.web.test', '10.0.0.2:81 2/7 b.web.test'],
      ttlMs: 9_000,
      note: undefined,
      asked: [],
    });
  });

  test('asks for hosts that came without addresses, each once', async () => {
    const world = {
      records: [srv('a.web.test', { port: 80 }), srv('a.web.test', { port: 81 })],
      hosts: { 'a.web.test': ['10.0.0.1'] },
    };
    assert.deepEqual(await told(world), {
      targets: ['10.0.0.1:80 0/10 a.web.test', '10.0.0.1:81 0/10 a.web.test'],
      ttlMs: 20_000,
      note: undefined,
      asked: ['a.web.test'],
    });
  });

  test("takes no address from beyond the service's own domain on trust, but asks for it", async () => {
    const world = {
      records: [srv('db.corp.test')],
      additionals: [a('db.corp.test', '10.6.6.6')],
      hosts: { 'db.corp.test': ['10.0.0.1'] },
    };
    const { targets, asked } = await told(world);
    assert.deepEqual([targets, asked], [['10.0.0.1:8080 0/10 db.corp.test'], ['db.corp.test']]);
  });

  test('shares the weight of a host among its addresses, and counts an address and port once', async () => {
    const world = {
      records: [srv('a.web.test'), srv('b.web.test', { weight: 4 })],
      hosts: { 'a.web.test': ['10.0.0.2', '10.0.0.1'], 'b.web.test': ['10.0.0.1', '10.0.0.3'] },
    };
    const { targets } = await told(world);
    assert.deepEqual(targets, [
      '10.0.0.1:8080 0/5 a.web.test',
      '10.0.0.2:8080 0/5 a.web.test',
      '10.0.0.3:8080 0/2 b.web.test',
    ]);
  });

  test('keeps the addresses of a host whose server fails, and asks again as soon as allowed', async () => {
    const known = new Map([['a.web.test', new Map([[4, ['10.0.0.1']]]) as ByFamily]]);
    const world = {
      records: [srv('a.web.test'), srv('b.web.test')],
      hosts: { 'a.web.test': 'timeout', 'b.web.test': ['10.0.0.2'] },
      known,
    } as const;
    assert.deepEqual(await told(world), {
      targets: ['10.0.0.1:8080 0/10 a.web.test', '10.0.0.2:8080 0/10 b.web.test'],
      ttlMs: 0,
      note: '1 host could not be resolved: a.web.test: timeout',
      asked: ['a.web.test', 'b.web.test'],
    });
  });

  test('drops a host that does not exist, even one that had addresses, and says so', async () => {
    const known = new Map([['a.web.test', new Map([[4, ['10.0.0.1']]]) as ByFamily]]);
    const world = {
      records: [srv('a.web.test'), srv('b.web.test')],
      hosts: { 'b.web.test': ['10.0.0.2'] },
      known,
    };
    const { targets, note, ttlMs } = await told(world);
    assert.deepEqual(targets, ['10.0.0.2:8080 0/10 b.web.test']);
    assert.deepEqual([note, ttlMs], ['1 host could not be resolved: a.web.test: notFound', 20_000]);
  });

  test('without an address of any host fails as its hosts do', async () => {
    const records = [srv('a.web.test'), srv('b.web.test')];
    assert.deepEqual((await told({ records })).failure, [
      'noAddresses',
      `none of the 2 hosts of ${NAME} has an address: a.web.test: notFound`,
    ]);
    assert.deepEqual((await told({ records, hosts: { 'b.web.test': 'refused' } })).failure, [
      'refused',
      `none of the 2 hosts of ${NAME} has an address: b.web.test: refused`,
    ]);
  });

  test('that says that it does not exist has no addresses', async () => {
    const { failure: said } = await told({ records: [srv('', { port: 0 })] });
    assert.deepEqual(said, [
      'noAddresses',
      `${NAME} says that there is no such service (a SRV record without a host)`,
    ]);
  });

  test('follows 256 records, the same ones whatever their order, and says how many it leaves out', async () => {
    const records = Array.from({ length: 1_000 }, (_, i) => srv(`h${String(i).padStart(3, '0')}.web.test`));
    const hosts = Object.fromEntries(records.map(({ target }, i) => [target, [`10.1.${i >> 8}.${i & 255}`]]));
    const first = await ask({ records, hosts });
    const second = await ask({ records: records.toReversed(), hosts });
    assert.equal(first.asked.length, 256);
    assert.deepEqual(first.outcome, second.outcome);
    assert.equal(first.outcome.kind === 'service' && first.outcome.omitted, 744);
  });

  test('is the same list in the same order, however the server shuffles', async () => {
    const record = fc.record({
      host: fc.constantFrom('a', 'b', 'c'),
      port: fc.constantFrom(80, 81),
      priority: fc.nat({ max: 2 }),
      weight: fc.nat({ max: 3 }),
    });
    const shuffled = fc
      .array(record, { minLength: 1, maxLength: 8 })
      .chain((list) =>
        fc.tuple(
          fc.constant(list),
          fc.shuffledSubarray(list, { minLength: list.length, maxLength: list.length }),
        ),
      );
    const hosts = {
      'a.web.test': ['10.0.0.1', '10.0.0.4'],
      'b.web.test': ['10.0.0.2'],
      'c.web.test': ['10.0.0.2'],
    };
    await fc.assert(
      fc.asyncProperty(shuffled, async ([list, other]) => {
        const world = (each: typeof list) => ({
          records: each.map(({ host, ...facts }) => srv(`${host}.web.test`, facts)),
          hosts,
        });
        assert.deepEqual((await told(world(other))).targets, (await told(world(list))).targets);
      }),
    );
  });
});
