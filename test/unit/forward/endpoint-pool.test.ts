import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  type ConnectionKind,
  EndpointPool,
  type PooledConnection,
  type PoolOptions,
  type Waiter,
} from '../../../src/forward/endpoint-pool.ts';
import { InvariantError } from '../../../src/forward/invariant.ts';

const OPTIONS: PoolOptions = {
  scheme: 'http',
  address: '127.0.0.1',
  port: 1,
  serverName: '',
  connectTimeout: 1_000,
  keepAlive: 1_000,
  maxAge: 60_000,
  maxConnections: 0,
  maxPending: 100,
  maxHeaderSize: 16_384,
  pipelining: 1,
};

class Connection implements PooledConnection {
  readonly kind: ConnectionKind;
  open: boolean;
  idleUntil: number;
  closed = 0;

  constructor(kind: ConnectionKind, idleUntil = Number.POSITIVE_INFINITY, open = true) {
    this.kind = kind;
    this.idleUntil = idleUntil;
    this.open = open;
  }

  close(): void {
    this.closed++;
    this.open = false;
  }
}

class Request implements Waiter {
  readonly name: string;
  readonly #seen: string[];
  onTurn: (() => void) | undefined = undefined;

  constructor(name: string, seen: string[]) {
    this.name = name;
    this.#seen = seen;
  }

  onPlace(): void {
    this.#seen.push(this.name);
    this.onTurn?.();
  }

  onDismissed(): void {
    this.#seen.push(`${this.name} dismissed`);
    this.onTurn?.();
  }
}

interface World {
  readonly pool: EndpointPool;
  readonly clock: { now: number };
  /** Waiting requests, as the gauge counts them. */
  readonly gauge: { waiting: number };
  /** Requests whose turn came, or that were dismissed. */
  readonly seen: string[];
  request(name: string): Request;
}

function world(options: Partial<PoolOptions> = {}): World {
  const clock = { now: 0 };
  const gauge = { waiting: 0 };
  const seen: string[] = [];
  const pool = new EndpointPool(
    { ...OPTIONS, ...options },
    {
      admit: () => true,
      onGone: () => {},
      onOpened: () => {},
      onClosed: () => {},
      onWaiting: (change) => {
        gauge.waiting += change;
      },
    },
    () => clock.now,
  );
  return { pool, clock, gauge, seen, request: (name) => new Request(name, seen) };
}

describe('places of an endpoint', () => {
  it('leases any number of places without a limit', () => {
    const { pool } = world({ maxConnections: 0 });
    for (let i = 0; i < 1_000; i++) assert.equal(pool.lease(), true);
    assert.equal(pool.full, false);
    assert.equal(pool.leased, 1_000);
  });

  it('refuses a place at the limit and leases it again once released', () => {
    const { pool } = world({ maxConnections: 2 });
    assert.deepEqual([pool.lease(), pool.lease(), pool.lease()], [true, true, false]);
    assert.equal(pool.full, true);
    pool.release(undefined);
    assert.equal(pool.full, false);
    assert.equal(pool.lease(), true);
  });

  it('rejects a release without a lease as a violated invariant', () => {
    const { pool } = world();
    assert.throws(() => pool.release(undefined), InvariantError);
    pool.lease();
    pool.release(undefined);
    assert.throws(() => pool.release(new Connection('socket')), InvariantError);
    assert.equal(pool.leased, 0);
  });

  it('leases the place of a request before its turn, in the order of arrival', () => {
    const { pool, seen, gauge, request } = world({ maxConnections: 1 });
    pool.lease();
    for (const name of ['a', 'b', 'c']) assert.equal(pool.enqueue(request(name)), true);
    assert.equal(gauge.waiting, 3);
    pool.release(undefined);
    assert.deepEqual([seen, pool.leased, pool.pending, gauge.waiting], [['a'], 1, 2, 2]);
    pool.release(undefined);
    pool.release(undefined);
    assert.deepEqual(seen, ['a', 'b', 'c']);
    pool.release(undefined);
    assert.deepEqual([pool.leased, pool.pending, gauge.waiting], [0, 0, 0]);
  });

  it('refuses to let more requests wait than maxPending', () => {
    const { pool, gauge, request } = world({ maxConnections: 1, maxPending: 1 });
    pool.lease();
    assert.equal(pool.enqueue(request('a')), true);
    assert.equal(pool.enqueue(request('b')), false);
    assert.deepEqual([pool.pending, gauge.waiting], [1, 1]);
  });

  it('skips a request that was withdrawn, and counts it off once', () => {
    const { pool, seen, gauge, request } = world({ maxConnections: 1 });
    pool.lease();
    const [a, b] = [request('a'), request('b')];
    pool.enqueue(a);
    pool.enqueue(b);
    pool.withdraw(a);
    pool.withdraw(a);
    assert.equal(gauge.waiting, 1);
    pool.release(undefined);
    assert.deepEqual(seen, ['b']);
  });

  it('dismisses each waiting request once, also one that comes back at once', () => {
    const { pool, seen, gauge, request } = world({ maxConnections: 1 });
    pool.lease();
    const a = request('a');
    a.onTurn = () => {
      a.onTurn = undefined;
      pool.enqueue(a);
    };
    pool.enqueue(a);
    pool.enqueue(request('b'));
    pool.dismissWaiting();
    assert.deepEqual(seen, ['a dismissed', 'b dismissed']);
    assert.deepEqual([pool.pending, gauge.waiting], [1, 1]);
    pool.release(undefined);
    assert.deepEqual(seen, ['a dismissed', 'b dismissed', 'a']);
  });

  it('serves all requests that wait if each releases its place within its turn', () => {
    const { pool, seen, request } = world({ maxConnections: 1 });
    pool.lease();
    for (const name of ['a', 'b', 'c']) {
      const each = request(name);
      each.onTurn = () => pool.release(undefined);
      pool.enqueue(each);
    }
    pool.release(undefined);
    assert.deepEqual(seen, ['a', 'b', 'c']);
    assert.equal(pool.leased, 0);
  });

  it('serves as many waiting requests as have room if a reload raises the limit', () => {
    const { pool, seen, request } = world({ maxConnections: 1 });
    pool.lease();
    for (const name of ['a', 'b', 'c', 'd']) pool.enqueue(request(name));
    pool.options = { ...pool.options, maxConnections: 3 };
    pool.release(undefined);
    assert.deepEqual([seen, pool.leased, pool.pending], [['a', 'b', 'c'], 3, 1]);
  });

  it('keeps requests waiting until a lowered limit has room', () => {
    const { pool, seen, request } = world({ maxConnections: 3 });
    for (let i = 0; i < 3; i++) pool.lease();
    pool.enqueue(request('a'));
    pool.options = { ...pool.options, maxConnections: 1 };
    pool.release(undefined);
    pool.release(undefined);
    assert.deepEqual(seen, []);
    pool.release(undefined);
    assert.deepEqual([seen, pool.leased], [['a'], 1]);
  });
});

describe('idle connections of an endpoint', () => {
  /** Returns `connection` to the pool from a place. */
  const giveBack = (pool: EndpointPool, connection: Connection) => {
    pool.lease();
    pool.release(connection);
    return connection;
  };

  it('takes the connection of the kind that came back last', () => {
    const { pool } = world();
    const first = giveBack(pool, new Connection('socket'));
    const second = giveBack(pool, new Connection('socket'));
    giveBack(pool, new Connection('client'));
    assert.equal(pool.take('socket', false), second);
    assert.equal(pool.take('socket', false), first);
    assert.equal(pool.take('socket', false), undefined);
  });

  it('takes none for an attempt that needs a new connection', () => {
    const { pool } = world();
    const idle = giveBack(pool, new Connection('socket'));
    assert.equal(pool.take('socket', true), undefined);
    assert.equal(pool.take('socket', false), idle);
  });

  it('closes expired connections instead of taking them', () => {
    const { pool, clock } = world();
    const expired = giveBack(pool, new Connection('socket', 10));
    clock.now = 10;
    assert.equal(pool.take('socket', false), undefined);
    assert.equal(expired.closed, 1);
  });

  it('closes a connection that comes back expired', () => {
    const { pool, clock } = world();
    clock.now = 10;
    const expired = giveBack(pool, new Connection('socket', 10));
    assert.deepEqual([expired.closed, pool.take('socket', false)], [1, undefined]);
  });

  it('sweeps expired sockets and keeps the others', () => {
    const { pool } = world();
    const expired = giveBack(pool, new Connection('socket', 10));
    const kept = giveBack(pool, new Connection('socket', 20));
    pool.sweep(10);
    assert.deepEqual([expired.closed, kept.closed], [1, 0]);
    assert.equal(pool.take('socket', false), kept);
  });

  it('keeps a client without a socket for the next connection', () => {
    const { pool } = world();
    const client = giveBack(pool, new Connection('client'));
    client.open = false;
    pool.forget(client);
    assert.equal(pool.closeOneIdle(), false);
    assert.equal(pool.take('client', false), client);
    assert.equal(client.closed, 0);
  });

  it('closes an idle connection of the other kind if a new one needs its place', () => {
    const { pool } = world({ maxConnections: 1 });
    const idle = giveBack(pool, new Connection('client'));
    pool.lease();
    assert.equal(pool.take('socket', false), undefined);
    assert.equal(idle.closed, 1);
  });

  it('closes what is idle on a drain, and what is leased when it comes back', () => {
    const { pool } = world();
    const idle = [giveBack(pool, new Connection('socket')), giveBack(pool, new Connection('client'))];
    const cold = giveBack(pool, new Connection('client', Number.POSITIVE_INFINITY, false));
    pool.lease();
    pool.drain();
    assert.deepEqual(
      [...idle, cold].map(({ closed }) => closed),
      [1, 1, 1],
    );
    const leased = new Connection('socket');
    pool.release(leased);
    assert.equal(leased.closed, 1);
    pool.revive();
    const later = giveBack(pool, new Connection('socket'));
    assert.equal(pool.take('socket', false), later);
  });

  it('spreads the age limit over its last fifth', () => {
    const { pool, clock } = world({ maxAge: 1_000 });
    clock.now = 5_000;
    for (let i = 0; i < 100; i++) {
      const expiry = pool.expiry();
      assert.ok(expiry > 5_800 && expiry <= 6_000, String(expiry));
    }
  });
});

type Step =
  | { readonly kind: 'request'; readonly returns: boolean }
  | { readonly kind: 'take'; readonly of: ConnectionKind; readonly fresh: boolean }
  | {
      readonly kind: 'release';
      readonly of: ConnectionKind | undefined;
      readonly idleFor: number;
      open: boolean;
    }
  | { readonly kind: 'withdraw' | 'forget'; readonly at: number }
  | { readonly kind: 'dismiss' | 'drain' | 'revive' | 'sweep' | 'closeOne' }
  | { readonly kind: 'limit'; readonly max: number }
  | { readonly kind: 'pass'; readonly ms: number };

const kindOf = fc.constantFrom<ConnectionKind>('socket', 'client');
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('request' as const), returns: fc.boolean() }) },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('take' as const), of: kindOf, fresh: fc.boolean() }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('release' as const),
      of: fc.option(kindOf, { nil: undefined }),
      idleFor: fc.nat(100),
      open: fc.boolean(),
    }),
  },
  fc.record({ kind: fc.constantFrom('withdraw' as const, 'forget' as const), at: fc.nat(20) }),
  fc.record({ kind: fc.constantFrom('dismiss', 'drain', 'revive', 'sweep', 'closeOne') }),
  fc.record({ kind: fc.constant('limit' as const), max: fc.integer({ min: 0, max: 4 }) }),
  fc.record({ kind: fc.constant('pass' as const), ms: fc.nat(60) }),
);

describe('an endpoint pool under any sequence of operations', () => {
  it('keeps its limit, its order and its books', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
        const { pool, clock, gauge, seen, request } = world({ maxConnections: 2, maxPending: 5 });
        /** What the pool should hold. */
        let waiting: Request[] = [];
        const idle: Record<ConnectionKind, Connection[]> = { socket: [], client: [] };
        const all: Connection[] = [];
        /** Connections that the pool does not hold any more: taken, or closed by the other side. */
        const left = new Set<Connection>();
        let leased = 0;
        let draining = false;
        let names = 0;
        const expected: string[] = [];
        const room = () => pool.options.maxConnections === 0 || leased < pool.options.maxConnections;

        const serveWaiting = () => {
          while (waiting.length > 0 && room()) {
            const next = waiting.shift()!;
            expected.push(next.name);
            leased++;
            if (next.onTurn !== undefined) leased--;
          }
        };
        const listed = () => [...idle.socket, ...idle.client].filter(({ closed }) => closed === 0);

        for (const each of steps) {
          switch (each.kind) {
            case 'request': {
              const asked = request(String(names++));
              if (each.returns) asked.onTurn = () => pool.release(undefined);
              if (room()) {
                assert.equal(pool.lease(), true);
                leased++;
              } else {
                assert.equal(pool.lease(), false);
                assert.equal(pool.enqueue(asked), waiting.length < 5);
                if (waiting.length < 5) waiting.push(asked);
              }
              break;
            }
            case 'take': {
              if (leased === 0) break;
              const got = pool.take<Connection>(each.of, each.fresh);
              const stack = idle[each.of];
              if (each.fresh) assert.ok(got === undefined || !got.open);
              else {
                let top = stack.pop();
                while (top !== undefined && (top.closed > 0 || top.idleUntil <= clock.now)) top = stack.pop();
                if (top !== undefined) assert.equal(got, top, 'last in, first out');
                else assert.ok(got === undefined || (got.kind === 'client' && !got.open));
              }
              if (got !== undefined) {
                left.add(got);
                assert.equal(got.closed, 0, 'a closed connection is not taken');
                if (got.open) assert.ok(got.idleUntil > clock.now, 'an expired connection is not taken');
              }
              break;
            }
            case 'release': {
              const back =
                each.of === undefined
                  ? undefined
                  : new Connection(each.of, clock.now + each.idleFor, each.of === 'socket' || each.open);
              if (leased === 0) {
                assert.throws(() => pool.release(back), InvariantError);
                break;
              }
              leased--;
              if (back !== undefined) {
                all.push(back);
                if (!draining && each.idleFor > 0 && back.open) idle[back.kind].push(back);
              }
              serveWaiting();
              pool.release(back);
              if (back !== undefined && (draining || each.idleFor === 0)) assert.equal(back.closed, 1);
              break;
            }
            case 'withdraw': {
              const [gone] = waiting.splice(each.at % Math.max(1, waiting.length), 1);
              if (gone !== undefined) pool.withdraw(gone);
              break;
            }
            case 'forget': {
              const open = listed();
              const gone = open[each.at % Math.max(1, open.length)];
              if (gone === undefined) break;
              gone.open = false;
              if (gone.kind === 'socket') left.add(gone);
              idle[gone.kind].splice(idle[gone.kind].indexOf(gone), 1);
              pool.forget(gone);
              break;
            }
            case 'dismiss':
              for (const dismissed of waiting) {
                expected.push(`${dismissed.name} dismissed`);
                dismissed.onTurn = undefined;
              }
              waiting = [];
              pool.dismissWaiting();
              break;
            case 'drain':
              draining = true;
              pool.drain();
              assert.ok(
                all.every((connection) => left.has(connection) || connection.closed === 1),
                'nothing idle survives a drain',
              );
              idle.socket = [];
              idle.client = [];
              assert.equal(pool.closeOneIdle(), false);
              break;
            case 'revive':
              draining = false;
              pool.revive();
              break;
            case 'sweep':
              pool.sweep(clock.now);
              break;
            case 'closeOne': {
              const before = listed().length;
              assert.equal(pool.closeOneIdle(), before > 0);
              assert.equal(listed().length, Math.max(0, before - 1));
              break;
            }
            case 'limit':
              pool.options = { ...pool.options, maxConnections: each.max };
              break;
            case 'pass':
              clock.now += each.ms;
              break;
          }
          assert.equal(pool.leased, leased);
          assert.ok(pool.leased >= 0);
          assert.equal(pool.pending, waiting.length);
          assert.equal(gauge.waiting, waiting.length);
          assert.deepEqual(seen, expected, 'first in, first out; nobody is lost or served twice');
          for (const { closed } of all) assert.ok(closed <= 1, 'closed once at most');
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('never leases more places than a fixed limit allows', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.constantFrom('lease', 'enqueue', 'release'), { maxLength: 100, size: 'max' }),
        (maxConnections, calls) => {
          const { pool, request } = world({ maxConnections });
          for (const call of calls) {
            if (call === 'lease') pool.lease();
            else if (call === 'enqueue') {
              if (pool.full) pool.enqueue(request('x'));
            } else if (pool.leased > 0) pool.release(undefined);
            assert.ok(pool.leased <= maxConnections);
            if (pool.pending > 0) assert.equal(pool.full, true, 'no request waits while there is room');
          }
        },
      ),
    );
  });
});
