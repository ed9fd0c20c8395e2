import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ExchangeWorld, LONG, mockSweeps, type Script, turnEnds } from '../../support/exchange-script.ts';

const STEPS = [
  'open',
  'respond',
  'inform',
  'respondBody',
  'respondEnd',
  'respondLast',
  'attemptFails',
  'switchProtocols',
  'tunnelBytes',
  'tunnelCloses',
  'upstreamBlocks',
  'upstreamDrains',
  'requestBody',
  'requestEnd',
  'requestMalformed',
  'clientBlocks',
  'clientDrains',
  'clientLeaves',
  'clientCloses',
  'late',
  'time',
  'turn',
  'hold',
  'free',
  'drain',
  'revive',
  'shutdown',
] as const;

/** Methods of ports that may throw. */
const BREAKABLE = [
  'start',
  'connecting',
  'send',
  'sendKept',
  'abort',
  'respond',
  'inform',
  'write',
  'flush',
  'end',
  'fail',
  'finish',
  'resumeBody',
  'abandonBody',
  'switchProtocols',
  'endTunnel',
  'stopLingering',
] as const;

interface Step {
  readonly what: (typeof STEPS)[number];
  /** Which of the requests. */
  readonly of: number;
  readonly n: number;
  /** A method that throws during this step. */
  readonly breaks: (typeof BREAKABLE)[number] | undefined;
}

interface Plan {
  readonly requests: readonly {
    readonly method: string;
    readonly contentLength: number;
    readonly idle: boolean;
    readonly closesAtOnce: boolean;
  }[];
  readonly steps: readonly Step[];
  /** How what is left ends: its clients leave, or its time is over. */
  readonly end: 'leave' | 'time';
}

function plans(breaks: fc.Arbitrary<Step['breaks']>): fc.Arbitrary<Plan> {
  return fc.record({
    requests: fc.array(
      fc.record({
        method: fc.constantFrom('GET', 'PUT', 'POST'),
        contentLength: fc.constantFrom(0, -1, 8, 20_000, 200_000),
        idle: fc.boolean(),
        closesAtOnce: fc.boolean(),
      }),
      { minLength: 1, maxLength: 4, size: 'max' },
    ),
    steps: fc.array(fc.record({ what: fc.constantFrom(...STEPS), of: fc.nat(3), n: fc.nat(1_000), breaks }), {
      maxLength: 60,
      size: 'max',
    }),
    end: fc.constantFrom('leave', 'time'),
  });
}

const STATUSES = [200, 204, 404, 502, 503, 504] as const;
const TIMES = [1, 25, 1_000, 40_000, LONG] as const;

/** Lets the client or the upstream of `script` do `what`, if that is possible now. */
function take(world: ExchangeWorld, script: Script, { what, n }: Step, held: { count: number }): void {
  const { exchange, client, upstream } = script;
  const reads = upstream.isOpen && !upstream.isPaused;
  const responds = reads && upstream.hasHead;
  switch (what) {
    case 'open':
      if (upstream.isBusy && !upstream.isOpen) upstream.open();
      break;
    case 'respond':
      if (reads && !upstream.hasHead && !upstream.isTunnel) upstream.respond(STATUSES[n % STATUSES.length]!);
      break;
    case 'inform':
      if (reads && !upstream.hasHead && !upstream.isTunnel) upstream.respond(103, n * 100);
      break;
    case 'respondBody':
      if (responds) upstream.sendBody('x'.repeat(n));
      break;
    case 'respondEnd':
      if (responds) upstream.end();
      break;
    case 'respondLast':
      if (responds) upstream.end('x'.repeat(n), ['X-Sum', '1']);
      break;
    case 'attemptFails':
      if (!upstream.isBusy || upstream.isTunnel) break;
      if (!upstream.isOpen) upstream.fail(n % 2 === 0 ? 'connect_failed' : 'connect_timeout');
      else if (upstream.hasHead) upstream.fail('upstream_truncated');
      else upstream.fail(n % 3 === 0 ? 'bad_response' : 'upstream_reset');
      break;
    case 'switchProtocols':
      if (reads && !upstream.hasHead && !upstream.isTunnel && client.request.contentLength === 0)
        upstream.switchProtocols();
      break;
    case 'tunnelBytes':
      if (upstream.isTunnel && upstream.isBusy) client.events.onTunnelBytes(n, n);
      break;
    case 'tunnelCloses':
      if (upstream.isTunnel && upstream.isBusy) upstream.closeTunnel(n % 2 === 0);
      break;
    case 'upstreamBlocks':
      upstream.takes = false;
      break;
    case 'upstreamDrains':
      if (upstream.isOpen && !upstream.takes) upstream.drain();
      upstream.takes = true;
      break;
    case 'requestBody':
      if (!client.requestEnded && !client.isPaused && !client.isClosed) client.sendBody('x'.repeat(n), false);
      break;
    case 'requestEnd':
      if (!client.requestEnded && !client.isPaused && !client.isClosed) client.sendBody('x', true);
      break;
    case 'requestMalformed':
      if (!client.requestEnded && !client.isClosed) client.malformed();
      break;
    case 'clientBlocks':
      if (!client.response.ended) client.response.isBlocked = true;
      break;
    case 'clientDrains':
      if (client.response.isBlocked) client.drain();
      break;
    case 'clientLeaves':
      client.leave();
      break;
    case 'clientCloses':
      if (client.isFree) client.leave();
      break;
    case 'late':
      // Events that come too late are ignored.
      if (client.isClosed) client.events.onClosed();
      if (exchange.isOver && !upstream.isBusy) {
        client.events.onClientDrained();
        upstream.events.onUpstreamDrained();
        upstream.events.onHeadAlone();
        assert.equal(upstream.events.onResponseHead(undefined as never), 'stop');
        assert.equal(upstream.events.onSwitched(undefined as never), false);
        upstream.events.onResponseBody(undefined as never, true, []);
        upstream.events.onAttemptFailed('upstream_reset', false);
        upstream.events.onTunnelClosed(true);
        exchange.onDismissed();
        exchange.fail('overloaded');
      }
      break;
    case 'time':
      world.pass(TIMES[n % TIMES.length]!);
      break;
    case 'hold': {
      const endpoint = world.endpoint(1);
      if (endpoint?.pool.lease() === true) held.count++;
      break;
    }
    case 'free': {
      const endpoint = world.endpoint(1);
      if (held.count > 0 && endpoint !== undefined) {
        held.count--;
        endpoint.pool.release(undefined);
      }
      break;
    }
    case 'drain':
      world.applyEndpoints(n % 2 === 0 ? [1] : [1, 2]);
      break;
    case 'revive':
      world.applyEndpoints();
      break;
    case 'shutdown':
      if (n % 4 === 0 && exchange.phase !== 'reading') exchange.fail('shutdown');
      break;
    case 'turn':
      break;
  }
}

/** Ends what is in progress, and checks that it ends. */
function endAll(
  world: ExchangeWorld,
  scripts: readonly Script[],
  how: Plan['end'],
  held: { count: number },
): void {
  world.applyEndpoints();
  for (; held.count > 0; held.count--) world.endpoint(1).pool.release(undefined);
  if (how === 'leave') for (const { client } of scripts) client.leave();
  for (let i = 0; i < 20; i++) {
    for (const { client, upstream } of scripts) {
      // What bounds these is not the exchange: the timeout of a connection, and what ends a closed connection.
      if (upstream.isBusy && !upstream.isOpen) upstream.fail('connect_timeout');
      if (client.isCut || client.isFree) client.leave();
    }
    world.pass(LONG);
  }
  for (const { exchange, client, peer } of scripts) {
    assert.equal(client.isClosed, true, `an exchange lives on in ${exchange.phase}`);
    assert.equal(exchange.phase, 'done');
    assert.equal(exchange.isOver, true);
    assert.equal(peer.latest, undefined);
  }
  assert.equal(world.records.length, scripts.length, 'one record per exchange');
  assert.deepEqual(world.leaks, []);
}

/** Runs a plan. @returns the requests, all of which have ended */
async function run(plan: Plan): Promise<{ world: ExchangeWorld; scripts: Script[] }> {
  const world = new ExchangeWorld(
    { canary: [1, 2], main: [3] },
    {
      backends: {
        canary: { url: 'http://127.0.0.1:1', maxConnections: 1, maxPending: 2 },
        main: { url: 'http://127.0.0.1:1' },
      },
      routes: [{ name: 'all', split: { canary: 90, main: 10 }, main: 'main', shield: true }],
      retries: { attempts: 3, bufferSize: '1KiB', budget: { floor: 100 } },
      limits: { requestBody: '100KiB' },
    },
  );
  try {
    const held = { count: 0 };
    const scripts = plan.requests.map(({ method, contentLength, idle, closesAtOnce }) => {
      const script = world.begin({ method, contentLength });
      script.client.closesAtOnce = closesAtOnce;
      script.upstream.kind = idle ? 'idle' : 'new';
      try {
        if (script.exchange.open()) script.exchange.serve();
      } catch (error) {
        script.exchange.onInternalError(error);
      }
      return script;
    });
    for (const step of plan.steps) {
      const script = scripts[step.of % scripts.length]!;
      const { broken } = script;
      if (step.breaks !== undefined) broken.add(step.breaks);
      try {
        take(world, script, step, held);
      } catch (error) {
        // As every caller of an exchange does.
        if (step.breaks === undefined) throw error;
        script.exchange.onInternalError(error);
      }
      broken.clear();
      if (step.what === 'turn') await turnEnds();
    }
    endAll(world, scripts, plan.end, held);
    await turnEnds();
    assert.deepEqual(world.leaks, []);
    return { world, scripts };
  } finally {
    world.close();
  }
}

describe('exchanges under any order of events', () => {
  mockSweeps();

  it('end once, are recorded once, and release what they held, by the rules of their ports', async () => {
    await fc.assert(
      fc.asyncProperty(plans(fc.constant(undefined)), async (plan) => {
        const { world, scripts } = await run(plan);
        for (const { violations } of scripts) assert.deepEqual(violations, []);
        assert.deepEqual(world.logged, []);
        assert.equal(world.metrics.internalErrors.value, 0);
      }),
      { numRuns: 600 },
    );
  });

  it('end once, are recorded once, and release what they held if any port throws', async () => {
    const breaks = fc.option(fc.constantFrom(...BREAKABLE), { nil: undefined, freq: 3 });
    await fc.assert(
      fc.asyncProperty(plans(breaks), async (plan) => {
        await run(plan);
      }),
      { numRuns: 600 },
    );
  });
});
