import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { Deadlines } from '../../../../src/admission/deadlines.ts';
import { EndpointPool, type PoolOptions } from '../../../../src/forward/endpoint-pool.ts';
import { LargeBuffers } from '../../../../src/forward/fast/read-buffers.ts';
import { type SocketUser, UpstreamSocket } from '../../../../src/forward/fast/upstream-socket.ts';
import { reserveClosedPort } from '../../../support/closed-port.ts';
import { turnEnds } from '../../../support/exchange-script.ts';
import { pause, waitFor } from '../../../support/wait-for.ts';

/** Waits for a condition, which a failure quotes. */
const until = (condition: () => boolean): Promise<unknown> => waitFor(String(condition), condition);

let server: Server;
const accepted: Socket[] = [];

before(async () => {
  server = createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => {});
    accepted.push(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});

after(() => {
  for (const socket of accepted) socket.destroy();
  server.close();
});

/** One request: takes responses of a fixed size, and notes what it is told. */
class User implements SocketUser {
  readonly name: string;
  readonly told: string[] = [];
  readonly errors: unknown[] = [];
  /** Bytes of its response still to come. */
  left: number;
  received = '';
  socket!: UpstreamSocket;
  /** Called instead of reading the bytes. */
  onBytes: ((bytes: Buffer, from: number, to: number) => number) | undefined = undefined;

  constructor(name: string, size: number) {
    this.name = name;
    this.left = size;
  }

  onUpstreamOpen(): void {
    this.told.push('open');
  }

  onUpstreamBytes(bytes: Buffer, _floor: number, from: number, to: number): number {
    if (this.onBytes !== undefined) return this.onBytes(bytes, from, to);
    const end = Math.min(to, from + this.left);
    this.received += bytes.toString('latin1', from, end);
    this.left -= end - from;
    if (this.left === 0) this.socket.release(-1, end === to);
    return end;
  }

  onUpstreamFlushed(): void {
    this.told.push('flushed');
  }

  onUpstreamClosed(error: Error | undefined): void {
    this.told.push(error === undefined ? 'closed' : `closed ${(error as NodeJS.ErrnoException).code}`);
    this.socket.leave(this);
  }

  onUserError(error: unknown): void {
    this.errors.push(error);
    this.socket.leave(this);
  }
}

interface World {
  readonly pool: EndpointPool;
  readonly deadlines: Deadlines;
  readonly clock: { now: number };
  readonly open: { count: number };
  connect(user: User): UpstreamSocket;
}

function world(options: Partial<PoolOptions> = {}): World {
  const clock = { now: 0 };
  const open = { count: 0 };
  const pool = new EndpointPool(
    {
      scheme: 'http',
      address: '127.0.0.1',
      port: (server.address() as AddressInfo).port,
      serverName: '',
      connectTimeout: 5_000,
      keepAlive: 60_000,
      maxAge: 3_600_000,
      maxConnections: 0,
      maxPending: 10,
      maxHeaderSize: 16_384,
      pipelining: 8,
      ...options,
    },
    {
      admit: () => true,
      onGone: () => {},
      onOpened: () => open.count++,
      onClosed: () => open.count--,
      onWaiting: () => {},
    },
    () => clock.now,
  );
  const deadlines = new Deadlines(() => clock.now);
  const buffers = new LargeBuffers();
  return {
    pool,
    deadlines,
    clock,
    open,
    connect: (user) => {
      pool.lease();
      user.socket = new UpstreamSocket(pool, deadlines, buffers, user);
      return user.socket;
    },
  };
}

/** Opens a connection. @returns it, and the upstream's end of it */
async function connected(
  made: World,
  user: User,
): Promise<{ readonly socket: UpstreamSocket; readonly far: Socket; readonly got: () => string }> {
  const before = accepted.length;
  const socket = made.connect(user);
  await until(() => user.told.includes('open') && accepted.length > before);
  const far = accepted.at(-1)!;
  let text = '';
  far.on('data', (bytes: Buffer) => {
    text += bytes.toString('latin1');
  });
  return { socket, far, got: () => text };
}

/** Opens a connection whose requests of this turn leave together. */
async function batched(made: World, front: User): ReturnType<typeof connected> {
  const first = new User('first', 1);
  const link = await connected(made, first);
  link.far.write('x');
  await until(() => made.pool.leased === 0);
  made.pool.lease();
  assert.equal(made.pool.take('socket', false), link.socket);
  front.socket = link.socket;
  link.socket.use(front);
  link.socket.beginBatch();
  made.pool.startBatch(link.socket);
  return link;
}

function follow(socket: UpstreamSocket, user: User): User {
  user.socket = socket;
  assert.equal(socket.join(user, 8), true);
  return user;
}

describe('a connection to an upstream', () => {
  it('carries a request and its response, and serves again', async () => {
    const made = world();
    const user = new User('a', 4);
    const { socket, far, got } = await connected(made, user);
    socket.send('ask');
    await until(() => got() === 'ask');
    far.write('repl');
    await until(() => made.pool.leased === 0);
    assert.equal(user.received, 'repl');
    made.pool.lease();
    assert.equal(made.pool.take('socket', false), socket);
    assert.equal(made.open.count, 1);
    socket.use(user);
    socket.leave(user);
    await until(() => made.open.count === 0);
    assert.equal(made.pool.leased, 0);
  });

  it('says why it could not be opened', async () => {
    const made = world({ port: await reserveClosedPort() });
    const user = new User('a', 1);
    made.connect(user);
    await until(() => user.told.length > 0);
    assert.deepEqual(user.told, ['closed ECONNREFUSED']);
    assert.deepEqual([made.pool.leased, made.open.count], [0, 0]);
  });

  it('tells its user that the upstream ended or reset it', async () => {
    for (const [end, told] of [
      [(far: Socket) => far.end(), 'closed'],
      [(far: Socket) => far.resetAndDestroy(), 'closed ECONNRESET'],
    ] as const) {
      const made = world();
      const user = new User('a', 10);
      const { far } = await connected(made, user);
      end(far);
      await until(() => user.told.length > 1);
      assert.deepEqual(user.told, ['open', told]);
      assert.equal(made.pool.leased, 0);
    }
  });

  it('is not used again after bytes that nobody asked for', async () => {
    const made = world();
    const user = new User('a', 4);
    const { far } = await connected(made, user);
    far.write('replmore');
    await until(() => made.open.count === 0);
    assert.equal(user.received, 'repl');
    assert.deepEqual([made.pool.leased, made.pool.closeOneIdle()], [0, false]);
  });

  it('leaves the pool if bytes come, or the end, while it is idle', async () => {
    for (const late of [(far: Socket) => far.write('late'), (far: Socket) => far.end()]) {
      const made = world();
      const { far } = await connected(made, new User('a', 1));
      far.write('x');
      await until(() => made.pool.leased === 0);
      late(far);
      await until(() => made.open.count === 0);
      assert.equal(made.pool.closeOneIdle(), false);
      assert.equal(made.pool.leased, 0);
    }
  });

  it('closes before the upstream does, by its hint', async () => {
    const made = world({ keepAlive: 10_000 });
    const user = new User('a', 1);
    const { socket, far } = await connected(made, user);
    user.onBytes = (_bytes, _from, to) => {
      socket.release(5_000, true);
      return to;
    };
    made.clock.now = 100;
    far.write('x');
    await until(() => made.pool.leased === 0);
    assert.equal(socket.idleUntil, 3_100);
    made.pool.sweep(3_100);
    await until(() => made.open.count === 0);
  });

  it('closes if its user leaves a part of what was read', async () => {
    const made = world();
    const user = new User('a', 0);
    const { far } = await connected(made, user);
    user.onBytes = (_bytes, from) => from + 1;
    far.write('xyz');
    await until(() => made.open.count === 0);
    assert.deepEqual([user.told, made.pool.leased], [['open', 'closed'], 0]);
  });

  for (const [what, onBytes] of [
    [
      'throws',
      () => {
        throw new Error('planted');
      },
    ],
    ['claims more bytes than were read', (_bytes: Buffer, _from: number, to: number) => to + 1],
    ['claims bytes from before', (_bytes: Buffer, from: number) => from - 1],
  ] as const) {
    it(`ends the request of a user that ${what}, and nothing else`, async () => {
      const made = world();
      const user = new User('a', 0);
      const { far } = await connected(made, user);
      user.onBytes = onBytes;
      far.write('xyz');
      await until(() => made.open.count === 0);
      assert.equal(user.errors.length, 1);
      assert.equal(made.pool.leased, 0);
    });
  }

  it('reads nothing while it is paused, and keeps the bytes until it reads on', async () => {
    const made = world();
    const user = new User('a', 0);
    const { socket, far } = await connected(made, user);
    const views: Buffer[] = [];
    user.onBytes = (bytes, from, to) => {
      views.push(bytes.subarray(from, to));
      socket.pause();
      return to;
    };
    far.write('first');
    await until(() => views.length === 1);
    far.write('second');
    await pause(50);
    assert.deepEqual(views.map(String), ['first']);
    socket.resume();
    await until(() => views.length === 2);
    assert.equal(String(views[1]), 'second');
    socket.leave(user);
  });

  it('reads elsewhere once its buffer was replaced', async () => {
    const made = world();
    const user = new User('a', 0);
    const { socket, far } = await connected(made, user);
    const views: Buffer[] = [];
    user.onBytes = (bytes, from, to) => {
      views.push(bytes.subarray(from, to));
      socket.replaceBuffer();
      return to;
    };
    for (const text of ['first', 'second', 'third']) {
      far.write(text);
      await until(() => String(views.at(-1)) === text);
    }
    assert.deepEqual(views.map(String), ['first', 'second', 'third']);
    socket.leave(user);
  });

  it('reads a large response as it was sent', async () => {
    const made = world();
    const sent = Buffer.alloc(3 * 1_024 * 1_024, 'abcdefghijklmnopqrstuvwxyz0');
    const user = new User('a', sent.length);
    const { far } = await connected(made, user);
    far.write(sent);
    await until(() => made.pool.leased === 0);
    assert.ok(Buffer.from(user.received, 'latin1').equals(sent));
  });

  it('tells its user once what was written is out', async () => {
    const made = world();
    const user = new User('a', 1);
    const { socket, far } = await connected(made, user);
    far.pause();
    socket.sendBytes(Buffer.alloc(16 * 1_024 * 1_024));
    assert.equal(socket.flushed, false);
    assert.ok(socket.pendingBytes > 0);
    socket.awaitFlush();
    await turnEnds();
    assert.equal(user.told.includes('flushed'), false);
    far.resume();
    await until(() => user.told.includes('flushed'));
    assert.equal(socket.flushed, true);
    socket.leave(user);
  });
});

describe('a connection that requests of one turn share', () => {
  it('sends them in one write, and gives each its response in order', async () => {
    const made = world();
    const users = [new User('a', 2), new User('b', 3), new User('c', 4)];
    const [a, b, c] = users as [User, User, User];
    const { socket, far } = await batched(made, a);
    const reads: string[] = [];
    far.on('data', (bytes: Buffer) => reads.push(bytes.toString('latin1')));
    assert.equal(made.pool.openBatch(), socket);
    socket.send('ask-a ');
    follow(socket, b);
    socket.send('ask-b ');
    follow(socket, c);
    socket.send('ask-c');
    await until(() => reads.join('') === 'ask-a ask-b ask-c');
    assert.deepEqual(reads, ['ask-a ask-b ask-c']);
    assert.equal(made.pool.openBatch(), undefined);
    far.write('aab');
    await until(() => b.received === 'b');
    assert.equal(made.pool.leased, 1, 'one place for all');
    far.write('bbcccc');
    await until(() => made.pool.leased === 0);
    assert.deepEqual(
      users.map(({ received }) => received),
      ['aa', 'bbb', 'cccc'],
    );
    assert.equal(made.pool.take('socket', false), socket);
    socket.close();
  });

  it('takes no more than the limit, and none after the turn', async () => {
    const made = world();
    const front = new User('a', 1);
    const { socket } = await batched(made, front);
    const behind = new User('b', 1);
    behind.socket = socket;
    assert.equal(socket.join(behind, 2), true);
    assert.equal(socket.join(new User('c', 1), 2), false);
    await turnEnds();
    assert.equal(socket.join(new User('d', 1), 8), false);
    socket.leave(front);
  });

  it('sends those behind a slow response elsewhere, and ends with that response', async () => {
    const made = world();
    const front = new User('a', 4);
    const { socket, far } = await batched(made, front);
    const behind = [follow(socket, new User('b', 1)), follow(socket, new User('c', 1))];
    assert.equal(made.pool.pipelines, true);
    socket.onDeadline();
    assert.deepEqual(
      behind.map(({ told }) => told),
      [['closed'], ['closed']],
    );
    assert.equal(made.pool.pipelines, false);
    far.write('slow');
    await until(() => made.open.count === 0);
    assert.equal(front.received, 'slow');
    assert.deepEqual([made.pool.leased, made.pool.closeOneIdle()], [0, false]);
    made.clock.now += 5_000;
    assert.equal(made.pool.pipelines, true);
  });

  it('counts the time of the one in front anew once it is another one', async () => {
    const made = world();
    const front = new User('a', 1);
    const { socket, far } = await batched(made, front);
    const second = follow(socket, new User('b', 1));
    const third = follow(socket, new User('c', 1));
    const { deadline } = socket;
    assert.ok(deadline < Number.POSITIVE_INFINITY);
    made.clock.now += 40;
    made.deadlines.coarseNow = made.clock.now;
    far.write('a');
    await until(() => front.left === 0);
    assert.equal(socket.deadline, made.clock.now + 50);
    far.write('b');
    await until(() => second.left === 0);
    assert.equal(socket.deadline, Number.POSITIVE_INFINITY);
    far.write('c');
    await until(() => third.left === 0);
    assert.equal(made.pool.leased, 0);
    socket.close();
  });

  it('ends with the response in front if a request behind it is given up', async () => {
    const made = world();
    const front = new User('a', 2);
    const { socket, far } = await batched(made, front);
    const quitter = follow(socket, new User('b', 2));
    const other = follow(socket, new User('c', 2));
    socket.leave(quitter);
    assert.deepEqual([quitter.told, other.told], [[], ['closed']]);
    socket.leave(quitter);
    far.write('aabbcc');
    await until(() => made.open.count === 0);
    assert.equal(front.received, 'aa');
    assert.deepEqual([quitter.received, other.received], ['', '']);
    assert.deepEqual([made.pool.leased, made.pool.closeOneIdle()], [0, false]);
  });

  it('is not used again if a response will come that nobody reads', async () => {
    const made = world();
    const front = new User('a', 2);
    const { socket, far } = await batched(made, front);
    socket.leave(follow(socket, new User('b', 2)));
    far.write('aa');
    await until(() => made.open.count === 0);
    assert.equal(front.received, 'aa');
    assert.deepEqual([made.pool.leased, made.pool.closeOneIdle()], [0, false]);
  });

  it('takes no further request once its only follower has left', async () => {
    const made = world();
    const front = new User('front', 4);
    const { socket } = await batched(made, front);
    const left = follow(socket, new User('left', 4));
    socket.leave(left);
    const late = new User('late', 4);
    late.socket = socket;
    assert.equal(socket.join(late, 8), false, 'its response would be that of the request that was given up');
    assert.deepEqual(front.told, []);
    made.deadlines.close();
  });

  it('gives the responses that were read during a pause to those that they belong to', async () => {
    const made = world();
    const front = new User('front', 4);
    const { socket } = await batched(made, front);
    const follower = follow(socket, new User('follower', 4));
    socket.pause();
    socket.resume(Buffer.from('onceback'));
    assert.equal(front.received, 'once');
    assert.equal(follower.received, 'back');
    assert.equal(made.pool.leased, 0);
    made.deadlines.close();
  });

  it('sends those behind elsewhere if the request in front is given up', async () => {
    const made = world();
    const front = new User('a', 2);
    const { socket } = await batched(made, front);
    const behind = follow(socket, new User('b', 2));
    socket.send('never sent');
    socket.leave(front);
    assert.deepEqual(behind.told, ['closed']);
    assert.equal(made.pool.leased, 0);
    await until(() => made.open.count === 0);
    assert.equal(made.pool.openBatch(), undefined);
  });

  it('sends all of them elsewhere if the upstream ends it, and pipelines no more for a while', async () => {
    const made = world();
    const front = new User('a', 2);
    const { socket, far } = await batched(made, front);
    const behind = follow(socket, new User('b', 2));
    far.end();
    await until(() => made.pool.leased === 0);
    assert.deepEqual([front.told, behind.told], [['closed'], ['closed']]);
    assert.equal(made.pool.pipelines, false);
  });
});
