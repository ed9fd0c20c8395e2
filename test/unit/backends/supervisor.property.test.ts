/** Any sequence of reloads, DNS answers, failures and deaths, against a model of what must then be in use. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { BackendEndpoints } from '../../../src/backends/endpoint.ts';
import type { FailureKind, Resolution } from '../../../src/backends/resolution.ts';
import { BackendSupervisor } from '../../../src/backends/supervisor.ts';
import { plainTargets } from '../../../src/backends/target.ts';
import { configSchema } from '../../../src/config/schema.ts';
import { ManualClock, settle } from './fixtures/manual-clock.ts';

const HOSTS = ['red', 'green', 'blue'] as const;
const ADDRESSES = ['10.0.0.1', '10.0.0.2', '10.0.0.3'] as const;
const BACKENDS = ['a', 'b', 'c'] as const;
const INTERVAL_MS = 2_000;
const MIN_TTL_MS = 500;

type Host = (typeof HOSTS)[number];
type Answer = readonly string[] | FailureKind;
/** The servers of each backend. */
type Table = Readonly<Partial<Record<string, readonly Host[]>>>;
type Step =
  | { readonly kind: 'apply'; readonly table: Table }
  | { readonly kind: 'dns'; readonly host: Host; readonly answer: Answer }
  | { readonly kind: 'die'; readonly address: string }
  | { readonly kind: 'live'; readonly address: string }
  | { readonly kind: 'report'; readonly backend: string; readonly address: string }
  | { readonly kind: 'advance'; readonly ms: number };

const host = fc.constantFrom(...HOSTS);
const address = fc.constantFrom(...ADDRESSES);
/** Mostly all three backends: a world without any has nothing to lose. */
const servers = fc.shuffledSubarray([...HOSTS], { minLength: 1 });
const one = host.map((name) => [name]);
const table: fc.Arbitrary<Table> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ a: one, b: one, c: servers }) },
  { weight: 1, arbitrary: fc.record({ a: one, b: servers, c: servers }, { requiredKeys: [] }) },
);
const addresses = fc.subarray([...ADDRESSES], { minLength: 1 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('apply' as const), table }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('dns' as const),
      host,
      answer: fc.oneof(
        addresses,
        fc.constantFrom<FailureKind>('notFound', 'noAddresses', 'timeout', 'serverFailure'),
      ),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('die' as const), address }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('live' as const), address }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('report' as const),
      backend: fc.constantFrom(...BACKENDS),
      address,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('advance' as const), ms: fc.integer({ min: 1, max: 8_000 }) }),
  },
);
/** From a world in which most names resolve and are in use. */
const history = fc
  .tuple(
    fc.array(fc.tuple(host, addresses), { maxLength: 4 }),
    table,
    fc.array(step, { minLength: 4, maxLength: 25, size: 'max' }),
  )
  .map(([known, first, steps]): Step[] => [
    ...known.map(([name, answer]): Step => ({ kind: 'dns', host: name, answer })),
    { kind: 'apply', table: first },
    ...steps,
  ]);

class World {
  readonly clock = new ManualClock();
  readonly dns = new Map<Host, Answer>();
  /** What DNS said last; that it could not be asked says nothing, so a name denied before stays denied. */
  readonly heard = new Map<Host, Answer>();
  readonly dead = new Set<string>();
  /** What the forwarding side knows, put together from what it was told. */
  readonly told = new Map<string, string>();
  readonly probing = new Map<string, number>();
  readonly begun: { address: string; at: number }[] = [];
  questions = 0;
  applying = false;
  readonly supervisor: BackendSupervisor;

  constructor() {
    this.supervisor = new BackendSupervisor({
      clock: this.clock,
      random: () => 0.5,
      log: { info: () => {}, warn: () => {} } as never,
      onEndpoints: (lists) => this.#hear(lists),
      makeResolver: () => ({
        resolve: ({ host }) => Promise.resolve(this.#resolve(host as Host)),
        close: () => {},
      }),
      probe: async ({ address: target }) => {
        const inFlight = (this.probing.get(target) ?? 0) + 1;
        assert.equal(inFlight, 1, `two checks of ${target} at once`);
        this.probing.set(target, inFlight);
        this.begun.push({ address: target, at: this.clock.monotonic() });
        await Promise.resolve();
        this.probing.set(target, 0);
        return { ok: !this.dead.has(target), detail: 'made up', durationMs: 1, local: false };
      },
    });
  }

  #hear(lists: readonly BackendEndpoints[]): void {
    assert.equal(this.applying, false, 'told from within apply');
    for (const { backend, endpoints } of lists) {
      const text = JSON.stringify(endpoints);
      assert.notEqual(text, this.told.get(backend), `told of ${backend} though nothing changed`);
      this.told.set(backend, text);
    }
  }

  #resolve(name: Host): Resolution {
    const answer = this.dns.get(name) ?? 'notFound';
    if (answer !== 'timeout' && answer !== 'serverFailure') this.heard.set(name, answer);
    this.questions++;
    if (typeof answer === 'string') return { kind: 'failure', reason: answer, detail: answer };
    return { kind: 'answer', targets: plainTargets([...answer]), ttlMs: 3_000, omitted: 0 };
  }

  apply(table: Table): void {
    const backends = Object.fromEntries(
      Object.entries(table).map(([name, hosts]) => [
        name,
        { servers: hosts!.map((target) => ({ url: `http://${target}` })) },
      ]),
    );
    this.applying = true;
    this.supervisor.apply(
      configSchema.parse({
        backends,
        routes: [{ name: 'all', split: {} }],
        resolver: { minTtl: `${MIN_TTL_MS}ms`, maxTtl: '3s' },
      }),
    );
    this.applying = false;
    for (const name of this.told.keys()) if (!Object.hasOwn(table, name)) this.told.delete(name);
  }

  addressesOf(backend: string): string[] | undefined {
    return this.supervisor
      .endpoints()
      .find((list) => list.backend === backend)
      ?.endpoints.map((endpoint) => endpoint.address);
  }

  downAddresses(): Set<string> {
    const all = this.supervisor.endpoints().flatMap(({ endpoints }) => endpoints);
    return new Set(all.filter(({ health }) => health === 'down').map((endpoint) => endpoint.address));
  }

  /** Whether the backend serves from its former URL until the new one is ready. */
  isMoving(backend: string): boolean {
    const status = this.supervisor.status().find(({ name }) => name === backend);
    return status?.resolution.reason.includes('; until ') ?? false;
  }

  async play(next: Step): Promise<void> {
    if (next.kind === 'apply') this.apply(next.table);
    else if (next.kind === 'dns') this.dns.set(next.host, next.answer);
    else if (next.kind === 'die') this.dead.add(next.address);
    else if (next.kind === 'live') this.dead.delete(next.address);
    else if (next.kind === 'report') this.supervisor.reportFailure(next.backend, next.address, 80);
    else await this.clock.advance(next.ms);
    await settle();
  }
}

test('after any history, what is told is what is in use, each upstream has one check, and all of it comes right in the end', async () => {
  await fc.assert(
    fc.asyncProperty(history, async (steps) => {
      const world = new World();
      let table: Table = {};
      /** What each backend may have addresses of: while it moves, also the servers it moves from. */
      const sources = new Map<string, ReadonlySet<Host>>();
      for (const next of steps) {
        const before = new Map(BACKENDS.map((name) => [name, world.addressesOf(name)]));
        const downBefore = world.downAddresses();
        const moving = new Set(BACKENDS.filter((name) => world.isMoving(name)));
        const former = table;
        if (next.kind === 'apply') {
          table = next.table;
          for (const name of BACKENDS) {
            const kept = table[name] === undefined ? [] : (sources.get(name) ?? []);
            sources.set(name, new Set([...kept, ...(table[name] ?? [])]));
          }
        }
        await world.play(next);
        for (const { backend, endpoints } of world.supervisor.endpoints()) {
          assert.equal(world.told.get(backend), JSON.stringify(endpoints), `${backend} after ${next.kind}`);
        }
        const names = world.supervisor.endpoints().map(({ backend }) => backend);
        assert.deepEqual(names.sort(), Object.keys(table).sort());
        for (const name of BACKENDS) {
          const had = before.get(name) ?? [];
          if (had.length === 0 || table[name] === undefined) continue;
          const isDenied = (target: Host) => {
            const answer = world.heard.get(target);
            return answer === 'notFound' || answer === 'noAddresses';
          };
          const isAbsent = table[name].every(isDenied);
          // Other names that do not exist are what the file says; so is what DNS denies and checks found down. Nothing
          // else empties a backend.
          const isRefuted =
            [...sources.get(name)!].some(isDenied) &&
            had.every((one) => world.dead.has(one) || downBefore.has(one));
          const emptied = isRefuted || (isAbsent && (former[name] !== table[name] || moving.has(name)));
          if (!emptied) {
            assert.notEqual(world.addressesOf(name)?.length, 0, `${name} lost its endpoints`);
          }
        }
        for (const name of BACKENDS) if (!world.isMoving(name)) sources.set(name, new Set(table[name] ?? []));
      }
      await world.supervisor.whenSettled();

      for (const name of HOSTS) world.dns.set(name, ADDRESSES.slice(0, HOSTS.indexOf(name) + 1));
      await world.clock.advance(60_000);
      const used = new Set<string>();
      for (const { backend, endpoints } of world.supervisor.endpoints()) {
        // Every host has the addresses of the one before it: an address of several counts once.
        const most = Math.max(...table[backend]!.map((target) => HOSTS.indexOf(target)));
        const expected = ADDRESSES.slice(0, most + 1);
        for (const one of expected) used.add(one);
        assert.deepEqual(
          endpoints.map((endpoint) => [endpoint.address, endpoint.health]).toSorted(),
          expected.map((one) => [one, world.dead.has(one) ? 'down' : 'up']),
        );
      }
      world.begun.length = 0;
      await world.clock.advance(INTERVAL_MS * 10);
      for (const one of ADDRESSES) {
        const count = world.begun.filter((check) => check.address === one).length;
        assert.equal(count, used.has(one) ? 10 : 0, `checks of ${one} in ten intervals`);
      }
      world.supervisor.close();
      assert.equal(world.clock.pending, 0);
    }),
    { numRuns: 150 },
  );
});

test('however often traffic reports failures, an upstream and its name are asked within bounds', async () => {
  const world = new World();
  world.dns.set('red', ['10.0.0.1']);
  world.apply({ a: ['red'], b: ['red'] });
  await settle();
  await world.clock.advance(INTERVAL_MS);
  world.begun.length = 0;
  world.questions = 0;
  for (let i = 0; i < 2_000; i++) {
    world.supervisor.reportFailure(i % 2 === 0 ? 'a' : 'b', '10.0.0.1', 80);
    if (i % 10 === 0) await world.clock.advance(10);
  }
  const elapsed = 200 * 10;
  assert.ok(world.begun.length >= 5, 'reports bring checks forward');
  assert.ok(world.begun.length <= elapsed / (INTERVAL_MS / 10) + 1, `${world.begun.length} checks`);
  assert.ok(world.questions >= 2, 'reports bring questions forward');
  assert.ok(world.questions <= elapsed / MIN_TTL_MS + 1, `${world.questions} questions`);
});

test('a report about what is no endpoint of the backend asks and checks nothing', async () => {
  const world = new World();
  world.dns.set('red', ['10.0.0.1']);
  world.apply({ a: ['red'] });
  await settle();
  // Long enough after the first check and question for another one to be allowed at once, and before the next is due.
  await world.clock.advance(INTERVAL_MS / 4);
  world.begun.length = 0;
  world.questions = 0;
  world.supervisor.reportFailure('a', '10.0.0.1', 81);
  world.supervisor.reportFailure('b', '10.0.0.1', 80);
  await settle();
  assert.deepEqual([world.begun, world.questions], [[], 0]);
  world.supervisor.reportFailure('a', '10.0.0.1', 80);
  await settle();
  assert.deepEqual([world.begun.length, world.questions], [1, 1]);
});
