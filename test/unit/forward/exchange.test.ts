import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import type { Rate, RateLimits } from '../../../src/admission/rate-limits.ts';
import type { ConfigInput } from '../../../src/config/schema.ts';
import type { Phase } from '../../../src/forward/phase.ts';
import {
  ExchangeWorld,
  LONG,
  mockSweeps,
  type RequestOptions,
  type Script,
  serve,
  turnEnds,
} from '../../support/exchange-script.ts';

const worlds: ExchangeWorld[] = [];

function world(
  ports: Readonly<Record<string, readonly number[]>> = { main: [1] },
  config: Partial<ConfigInput> = {},
): ExchangeWorld {
  const made = new ExchangeWorld(ports, config);
  worlds.push(made);
  return made;
}

/** A canary, whose failures the main backend makes good. */
function shieldedWorld(config: Partial<ConfigInput> = {}): ExchangeWorld {
  return world(
    { canary: [1], main: [2] },
    { routes: [{ name: 'all', split: { canary: 60, main: 40 }, main: 'main', shield: true }], ...config },
  );
}

/** One connection to the only endpoint. */
const ONE_CONNECTION: Partial<ConfigInput> = {
  backends: { main: { url: 'http://127.0.0.1:1', maxConnections: 1, maxPending: 2 } },
};

/** Checks that an exchange is over: one record, no violated rule, nothing left. */
function assertEnded(made: ExchangeWorld, ...scripts: readonly Script[]): void {
  for (const { exchange, violations, peer } of scripts) {
    assert.equal(exchange.phase, 'done');
    assert.deepEqual(violations, []);
    assert.equal(peer.latest, undefined);
  }
  assert.equal(made.records.length, scripts.length, 'one record per exchange');
  assert.deepEqual(made.leaks, []);
}

afterEach(() => {
  for (const made of worlds.splice(0)) made.close();
});

describe('an exchange', () => {
  mockSweeps();

  describe('of a request without a body', () => {
    it('passes a response on and records it', () => {
      const made = world();
      const script = made.serve();
      const { exchange, client, upstream } = script;
      assert.equal(exchange.phase, 'connecting');
      upstream.open();
      assert.equal(exchange.phase, 'waiting');
      made.now += 7;
      assert.equal(upstream.respond(200), 'continue');
      assert.equal(exchange.phase, 'responding');
      upstream.sendBody('first ');
      upstream.end('last', ['X-Sum', '1']);
      assert.equal(client.response.text, 'first last');
      assert.deepEqual(client.response.trailers, ['X-Sum', '1']);
      assertEnded(made, script);
      const [record] = made.records;
      assert.deepEqual(
        [record!.status, record!.termination, record!.reason, record!.bytesOut, record!.responseMs],
        [200, '--', undefined, 10, 7],
      );
    });

    it('holds the head until content follows, and writes both at once', async () => {
      const made = world();
      const script = made.serve({}, 'idle');
      const { client, upstream } = script;
      upstream.respond(200);
      upstream.sendBody('body');
      await turnEnds();
      assert.deepEqual(client.response.calls, ['respond 200', 'write 4']);
      upstream.end();
      assertEnded(made, script);
    });

    it('sends a head without content at the end of the turn', async () => {
      const made = world();
      const script = made.serve({}, 'idle');
      const { client, upstream } = script;
      upstream.respond(200);
      assert.equal(client.response.headIsHeld, true);
      await turnEnds();
      assert.deepEqual(client.response.calls, ['respond 200', 'flush']);
      upstream.end('late');
      assertEnded(made, script);
    });

    it('pauses the upstream while the client is blocked', () => {
      const made = world();
      const script = made.serve({}, 'idle');
      const { client, upstream } = script;
      upstream.respond(200);
      client.response.isBlocked = true;
      assert.equal(upstream.sendBody('much'), false);
      assert.equal(upstream.isPaused, true);
      client.drain();
      assert.equal(upstream.isPaused, false);
      upstream.end();
      assertEnded(made, script);
    });

    it('stays open after a whole response until all of it has left', () => {
      const made = world();
      const script = made.serve({}, 'idle');
      const { exchange, client, upstream } = script;
      upstream.respond(200);
      client.response.isBlocked = true;
      upstream.end('all');
      assert.equal(exchange.phase, 'done');
      assert.equal(made.records.length, 0);
      client.drain();
      assertEnded(made, script);
      assert.equal(made.records[0]!.termination, '--');
    });

    it('refuses a request beyond the ceiling without an attempt', () => {
      const made = world();
      made.forwarder.admission.ceiling = 0;
      const script = made.serve();
      assert.equal(script.client.response.reason, 'overloaded');
      assert.deepEqual(script.client.response.headers, ['Retry-After', '1']);
      assert.deepEqual(script.upstream.calls, []);
      assertEnded(made, script);
    });

    it('responds that no endpoint is available if all are drained', () => {
      const made = world();
      made.applyEndpoints([1]);
      const script = made.serve();
      assert.equal(script.client.response.reason, 'no_endpoint');
      assertEnded(made, script);
    });

    it('closes the connection after the response if the process drains', () => {
      const made = world();
      const script = made.serve({}, 'idle');
      made.forwarder.draining = true;
      script.upstream.respond(200);
      script.upstream.end();
      assert.equal(script.client.response.closes, true);
      assertEnded(made, script);
    });

    it('tells the connection that its next request may be served', () => {
      const made = world();
      const script = made.serve({}, 'idle');
      const told: boolean[] = [];
      script.peer.next = (closes) => told.push(closes);
      script.upstream.respond(200);
      script.upstream.end();
      assert.deepEqual(told, [false]);
      assertEnded(made, script);
    });
  });

  describe('of a request with a body', () => {
    it('asks for content once there is a connection, and sends it as it arrives', () => {
      const made = world();
      const script = made.serve({ method: 'POST', contentLength: -1 });
      const { exchange, client, upstream } = script;
      assert.equal(client.flows, false);
      upstream.open();
      assert.equal(exchange.phase, 'sending');
      assert.equal(client.flows, true);
      client.sendBody('one ', false);
      client.sendBody('two', true);
      assert.equal(exchange.phase, 'waiting');
      assert.equal(upstream.sent, 'one two');
      upstream.respond(200);
      upstream.end('ok');
      assertEnded(made, script);
      assert.equal(made.records[0]!.bytesIn, 7);
    });

    it('keeps what arrives before there is a connection, and pauses the client', () => {
      const made = world();
      const script = made.serve({ method: 'POST', contentLength: 8 });
      const { exchange, client, upstream } = script;
      assert.equal(client.sendBody('half', false), false);
      assert.ok(exchange.heldBytes >= 4);
      upstream.open();
      assert.deepEqual(upstream.calls.slice(-1), ['sendKept 4']);
      client.sendBody('rest', true);
      assert.equal(upstream.sent, 'halfrest');
      upstream.respond(204);
      upstream.end();
      assertEnded(made, script);
    });

    it('sends a body that has arrived as a whole with the head', () => {
      const made = world();
      const script = made.begin({ method: 'POST', contentLength: 5 });
      const { exchange, client, upstream } = script;
      upstream.kind = 'idle';
      assert.equal(exchange.open(), true);
      client.sendBody('whole', true);
      exchange.serve();
      assert.deepEqual(upstream.calls, ['start', 'sendKept 5 last']);
      assert.equal(exchange.phase, 'waiting');
      assert.equal(client.calls.includes('resumeBody'), false);
      upstream.respond(200);
      upstream.end();
      assertEnded(made, script);
    });

    it('pauses the client while the upstream is blocked', () => {
      const made = world();
      const script = made.serve({ method: 'POST', contentLength: 100_000 }, 'idle');
      const { client, upstream } = script;
      upstream.takes = false;
      assert.equal(client.sendBody('part', false), false);
      upstream.drain();
      assert.equal(client.flows, true);
      assert.equal(client.sendBody('more', false), true);
      client.leave();
      assertEnded(made, script);
    });

    it('pauses the client if the upstream does not take what was kept', () => {
      const made = world();
      const script = made.serve({ method: 'POST', contentLength: 100_000 });
      const { client, upstream } = script;
      client.sendBody('kept', false);
      upstream.takes = false;
      upstream.open();
      assert.equal(client.flows, false);
      upstream.drain();
      assert.equal(client.flows, true);
      client.leave();
      assertEnded(made, script);
    });

    it('refuses a declared body beyond the limit before it is read', () => {
      const made = world({ main: [1] }, { limits: { requestBody: '10B' } });
      const script = made.serve({ method: 'POST', contentLength: 11 });
      assert.equal(script.client.response.reason, 'body_too_large');
      assert.equal(script.exchange.phase, 'lingering');
      script.client.sendBody('x', true);
      assertEnded(made, script);
    });

    it('refuses a body of unknown length once it exceeds the limit', () => {
      const made = world({ main: [1] }, { limits: { requestBody: '10B' } });
      const script = made.serve({ method: 'POST', contentLength: -1 }, 'idle');
      script.client.sendBody('0123456789', false);
      script.client.sendBody('x', false);
      assert.equal(script.client.response.reason, 'body_too_large');
      assert.equal(script.upstream.calls.at(-1), 'abort');
      script.client.sendBody('', true);
      assertEnded(made, script);
    });

    it('refuses a body that cannot be parsed and closes the connection', () => {
      const made = world();
      const script = made.serve({ method: 'POST', contentLength: -1 }, 'idle');
      script.client.malformed();
      assert.equal(script.client.response.reason, 'bad_request');
      assert.equal(script.client.response.closes, true);
      assertEnded(made, script);
    });

    it('passes on a response that comes before the body was sent, and stops the upstream with it', () => {
      const made = world();
      const script = made.serve({ method: 'POST', contentLength: 1_000_000 }, 'idle');
      const { exchange, client, upstream } = script;
      client.sendBody('part', false);
      upstream.respond(413);
      assert.equal(client.response.closes, true, 'too much of the body is missing');
      upstream.end('no');
      assert.equal(exchange.phase, 'lingering');
      assert.equal(client.abandoned, true);
      assert.equal(client.response.text, 'no');
      client.sendBody('rest', true);
      assert.equal(client.finishedAs, 'ended');
      assertEnded(made, script);
    });

    it('keeps the connection after an early response if little of the body is missing', () => {
      const made = world();
      const script = made.serve({ method: 'POST', contentLength: 100 }, 'idle');
      const { exchange, client, upstream } = script;
      upstream.respond(403);
      upstream.end();
      assert.equal(client.response.closes, false);
      assert.equal(exchange.phase, 'done');
      assertEnded(made, script);
    });
  });

  describe('after a failed attempt', () => {
    for (const reason of ['connect_failed', 'connect_timeout', 'tls_failed'] as const) {
      it(`tries another endpoint after ${reason}, whatever the method`, () => {
        const made = world({ main: [1, 2] });
        const script = made.serve({ method: 'POST', contentLength: 4 });
        const { client, upstream } = script;
        client.sendBody('body', true);
        upstream.fail(reason);
        upstream.open();
        assert.equal(new Set(upstream.ports).size, 2);
        assert.equal(upstream.sent, 'body');
        upstream.respond(200);
        upstream.end();
        assertEnded(made, script);
        assert.deepEqual(
          [made.records[0]!.retries, made.records[0]!.redispatched, made.records[0]!.status],
          [1, true, 200],
        );
      });
    }

    it('repeats a GET on a new connection after a reset of a used one', () => {
      const made = world();
      const script = made.serve({}, 'idle');
      script.upstream.fail('upstream_reset');
      assert.deepEqual(script.upstream.fresh, [false, true]);
      script.upstream.open();
      script.upstream.respond(200);
      script.upstream.end();
      assertEnded(made, script);
    });

    it('does not repeat a POST after a reset', () => {
      const made = world({ main: [1, 2] });
      const script = made.serve({ method: 'POST' }, 'idle');
      script.upstream.fail('upstream_reset');
      assert.equal(script.client.response.reason, 'upstream_reset');
      assertEnded(made, script);
    });

    it('does not repeat a GET once a byte of the response has come', () => {
      const made = world({ main: [1, 2] });
      const script = made.serve({}, 'idle');
      script.upstream.events.onResponseBegun();
      script.upstream.fail('upstream_reset');
      assert.equal(script.client.response.reason, 'upstream_reset');
      assertEnded(made, script);
    });

    it('tries once more after a response timeout, and no third time', () => {
      const made = world({ main: [1, 2, 3] }, { retries: { attempts: 5 } });
      const script = made.serve({}, 'idle');
      made.pass(LONG);
      assert.equal(script.upstream.ports.length, 2);
      assert.equal(script.exchange.phase, 'waiting');
      made.pass(LONG);
      assert.equal(script.client.response.reason, 'response_timeout');
      assertEnded(made, script);
      assert.equal(made.records[0]!.termination, 'sH');
    });

    it('sends a kept body again, and the rest of it as it arrives', () => {
      const made = world({ main: [1, 2] }, { retries: { attempts: 2 } });
      const script = made.serve({ method: 'PUT', contentLength: -1 }, 'idle');
      const { client, upstream } = script;
      client.sendBody('kept ', false);
      upstream.fail('upstream_reset');
      assert.equal(upstream.ports.length, 2);
      upstream.open();
      assert.equal(upstream.sent, 'kept ');
      assert.equal(client.flows, true);
      client.sendBody('rest', true);
      assert.equal(upstream.sent, 'kept rest');
      upstream.respond(200);
      upstream.end();
      assertEnded(made, script);
    });

    it('does not repeat a request whose body was too large to keep', () => {
      const made = world({ main: [1, 2] }, { retries: { attempts: 2, bufferSize: '4B' } });
      const script = made.serve({ method: 'PUT', contentLength: -1 }, 'idle');
      script.client.sendBody('12345', false);
      script.upstream.fail('upstream_reset');
      assert.equal(script.client.response.reason, 'upstream_reset');
      script.client.sendBody('', true);
      assertEnded(made, script);
    });

    it('cuts a response that has begun', () => {
      const made = world({ main: [1, 2] });
      const script = made.serve({}, 'idle');
      script.upstream.respond(200);
      script.upstream.sendBody('part');
      script.upstream.fail('upstream_truncated');
      assert.equal(script.client.isCut, true);
      assertEnded(made, script);
      assert.deepEqual(
        [made.records[0]!.status, made.records[0]!.reason, made.records[0]!.termination],
        [200, 'upstream_truncated', 'SD'],
      );
    });

    it('responds with an error if the head that broke off was not sent yet', () => {
      const made = world();
      const script = made.serve({}, 'idle');
      script.upstream.respond(200);
      script.upstream.fail('upstream_truncated');
      assert.equal(script.client.response.reason, 'upstream_truncated');
      assert.equal(script.client.response.status, 502);
      assertEnded(made, script);
    });

    for (const method of ['flush', 'write', 'end'] as const) {
      it(`ends with bad_response if the client's protocol refuses the head in ${method}`, async () => {
        const made = world();
        const script = made.serve({}, 'idle');
        script.upstream.respond(200);
        script.broken.add(method);
        if (method === 'flush') await turnEnds();
        else if (method === 'write') script.upstream.sendBody('x');
        else script.upstream.end();
        assert.equal(script.client.response.reason, 'bad_response');
        assert.equal(made.metrics.internalErrors.value, 0);
        assertEnded(made, script);
      });
    }

    it('ends with the failure once the attempts are used up', () => {
      const made = world({ main: [1, 2, 3, 4] }, { retries: { attempts: 2 } });
      const script = made.serve();
      for (let i = 0; i < 3; i++) script.upstream.fail('connect_failed');
      assert.equal(script.client.response.reason, 'connect_failed');
      assert.equal(script.upstream.ports.length, 3);
      assertEnded(made, script);
      assert.equal(made.records[0]!.retries, 2);
    });
  });

  describe('of a shielded canary', () => {
    it('repeats a 503 on the main backend, and the client sees only its response', () => {
      const made = shieldedWorld();
      const script = made.serve({}, 'idle');
      assert.deepEqual(script.upstream.ports, [1]);
      assert.equal(script.upstream.respond(503), 'stop');
      assert.deepEqual(script.upstream.ports, [1, 2]);
      script.upstream.respond(200);
      script.upstream.end('fine');
      assert.deepEqual(script.client.response.calls.slice(0, 1), ['respond 200']);
      assertEnded(made, script);
      assert.deepEqual(
        [made.records[0]!.shieldedFrom, made.records[0]!.backend, made.records[0]!.retries],
        ['canary', 'main', 1],
      );
    });

    it('passes on the 503 of the main backend', () => {
      const made = shieldedWorld();
      const script = made.serve({}, 'idle');
      script.upstream.respond(503);
      assert.equal(script.upstream.respond(503), 'continue');
      script.upstream.end();
      assert.equal(script.client.response.status, 503);
      assertEnded(made, script);
    });

    it('passes on the 503 to a POST', () => {
      const made = shieldedWorld();
      const script = made.serve({ method: 'POST' }, 'idle');
      assert.equal(script.upstream.respond(503), 'continue');
      script.upstream.end();
      assertEnded(made, script);
    });

    it('repeats a request whose body was still being sent', () => {
      const made = shieldedWorld();
      const script = made.serve({ method: 'PUT', contentLength: 8 }, 'idle');
      script.client.sendBody('half', false);
      script.upstream.respond(502);
      assert.deepEqual(script.upstream.ports, [1, 2]);
      script.client.sendBody('rest', true);
      assert.equal(script.upstream.sent, 'halfrest');
      script.upstream.respond(200);
      script.upstream.end();
      assertEnded(made, script);
    });
  });

  describe('that waits for a place', () => {
    const waiting = () => {
      const made = world({ main: [1] }, ONE_CONNECTION);
      const first = made.serve({}, 'idle');
      const second = made.serve({}, 'idle');
      assert.equal(second.exchange.phase, 'queued');
      return { made, first, second };
    };

    it('begins once the place is free, and records how long it waited', () => {
      const { made, first, second } = waiting();
      made.now += 30;
      first.upstream.respond(200);
      first.upstream.end();
      assert.equal(second.exchange.phase, 'waiting');
      second.upstream.respond(200);
      second.upstream.end();
      assertEnded(made, first, second);
      assert.deepEqual(
        made.records.map(({ queueMs }) => queueMs),
        [0, 30],
      );
    });

    it('records its first wait if it is sent again at once', () => {
      const { made, first, second } = waiting();
      made.now += 30;
      first.upstream.respond(200);
      first.upstream.end();
      made.now += 40;
      second.upstream.fail('upstream_reset');
      assert.equal(second.upstream.ports.length, 2);
      second.client.leave();
      assertEnded(made, first, second);
      assert.equal(made.records[1]!.queueMs, 30);
    });

    it('is refused if too many wait already', () => {
      const { made, first, second } = waiting();
      const third = made.serve();
      const fourth = made.serve();
      assert.equal(fourth.client.response.reason, 'queue_full');
      for (const { client } of [third, second, first]) client.leave();
      assertEnded(made, first, second, third, fourth);
    });

    it('ends with queue_timeout after its time', () => {
      const { made, first, second } = waiting();
      first.exchange.deadline = Number.POSITIVE_INFINITY;
      made.pass(LONG);
      assert.equal(second.client.response.reason, 'queue_timeout');
      assert.deepEqual(second.upstream.calls, []);
      first.client.leave();
      assertEnded(made, first, second);
    });

    it('gives up its turn if its client leaves', () => {
      const { made, first, second } = waiting();
      second.client.leave();
      first.upstream.respond(200);
      first.upstream.end();
      assert.deepEqual(second.upstream.calls, []);
      assertEnded(made, first, second);
      assert.equal(made.records[0]!.termination, 'CQ');
    });

    it('goes to another endpoint if its own goes out of service', () => {
      const made = world(
        { main: [1, 2] },
        { backends: { main: { url: 'http://127.0.0.1:1', maxConnections: 1 } } },
      );
      const scripts = [made.serve({}, 'idle'), made.serve({}, 'idle'), made.serve({}, 'idle')];
      const [first, second, third] = scripts as [Script, Script, Script];
      assert.equal(third.exchange.phase, 'queued');
      const waitsFor = made.endpoints.find(({ pool }) => pool.pending === 1)!.port;
      const other = waitsFor === 1 ? 2 : 1;
      const { deadline } = third.exchange;
      made.now += 10;
      made.applyEndpoints([waitsFor]);
      assert.equal(made.endpoint(other).pool.pending, 1);
      assert.equal(third.exchange.deadline, deadline, 'its waiting time goes on');
      for (const { client } of [first, second]) client.leave();
      assert.deepEqual(third.upstream.ports, [other]);
      third.client.leave();
      assertEnded(made, first, second, third);
    });

    it('ends if every endpoint goes out of service', () => {
      const { made, first, second } = waiting();
      made.applyEndpoints([1]);
      assert.equal(second.client.response.reason, 'no_endpoint');
      first.upstream.respond(200);
      first.upstream.end();
      assertEnded(made, first, second);
    });
  });

  describe('with interim responses', () => {
    it('passes them on, and then the final response', () => {
      const made = world();
      const script = made.serve({}, 'idle');
      assert.equal(script.upstream.respond(103), 'continue');
      script.upstream.respond(200);
      script.upstream.end();
      assert.deepEqual(script.client.response.calls, ['inform 103', 'respond 200', 'end']);
      assertEnded(made, script);
    });

    it('pauses the upstream while the client is blocked', () => {
      const made = world();
      const script = made.serve({}, 'idle');
      script.client.response.isBlocked = true;
      assert.equal(script.upstream.respond(103), 'pause');
      script.client.drain();
      assert.equal(script.upstream.isPaused, false);
      script.upstream.respond(200);
      script.upstream.end();
      assertEnded(made, script);
    });

    it('blames a client that does not take them, and not the upstream', () => {
      const made = world();
      const script = made.serve({}, 'idle');
      script.client.response.isBlocked = true;
      assert.equal(script.upstream.respond(103), 'pause');
      made.pass(LONG);
      assert.equal(script.client.response.reason, 'client_timeout');
      script.client.drain();
      assertEnded(made, script);
    });

    it('takes 100 of them, and ends with bad_response at the next one', () => {
      const made = world();
      const script = made.serve({}, 'idle');
      for (let i = 0; i < 100; i++) assert.equal(script.upstream.respond(103), 'continue');
      assert.equal(script.upstream.respond(103), 'stop');
      assert.equal(script.client.response.reason, 'bad_response');
      assertEnded(made, script);
    });

    it('takes 64 KiB of them, and ends with bad_response at the next byte', () => {
      const made = world();
      const script = made.serve({}, 'idle');
      for (let i = 0; i < 4; i++) assert.equal(script.upstream.respond(103, 16_384), 'continue');
      assert.equal(script.upstream.respond(103, 1), 'stop');
      assert.equal(script.client.response.reason, 'bad_response');
      assertEnded(made, script);
    });
  });

  describe('of an upgrade', () => {
    it('becomes a tunnel, which ends in order', () => {
      const made = world();
      const script = made.serve();
      const { exchange, client, upstream } = script;
      upstream.open();
      upstream.switchProtocols();
      assert.equal(exchange.phase, 'tunneling');
      assert.equal(made.forwarder.snapshot.upstreams[0]!.cells.tunnels.value, 1);
      client.events.onTunnelBytes(3, 0);
      client.events.onTunnelBytes(0, 5);
      upstream.closeTunnel(false);
      assert.equal(client.calls.at(-1), 'endTunnel');
      assertEnded(made, script);
      const { status, bytesIn, bytesOut, termination } = made.records[0]!;
      assert.deepEqual([status, bytesIn, bytesOut, termination], [101, 3, 5, '--']);
    });

    it('records a tunnel that broke', () => {
      const made = world();
      const script = made.serve({}, 'idle');
      script.upstream.switchProtocols();
      script.upstream.closeTunnel(true);
      assertEnded(made, script);
      assert.equal(made.records[0]!.reason, 'tunnel_failed');
    });

    it('gives up the upstream if the client closes the tunnel', () => {
      const made = world();
      const script = made.serve({}, 'idle');
      script.upstream.switchProtocols();
      script.client.leave();
      assert.equal(script.upstream.calls.at(-1), 'abort');
      assertEnded(made, script);
      assert.equal(made.records[0]!.reason, undefined);
    });

    it('closes a tunnel through which nothing has come for too long', () => {
      const made = world();
      const script = made.serve({}, 'idle');
      script.upstream.switchProtocols();
      made.pass(made.forwarder.snapshot.policy.tunnelTimeout - 1_000);
      script.client.events.onTunnelBytes(1, 0);
      made.pass(made.forwarder.snapshot.policy.tunnelTimeout - 1_000);
      assert.equal(script.exchange.phase, 'tunneling');
      made.pass(LONG);
      assertEnded(made, script);
    });

    it('cuts a tunnel whose client does not take the end of it', () => {
      const made = world();
      const script = made.serve({}, 'idle');
      script.upstream.switchProtocols();
      script.client.closesAtOnce = false;
      script.client.response.isBlocked = true;
      script.upstream.closeTunnel(false);
      assert.equal(script.client.isCut, false);
      made.pass(LONG);
      assert.equal(script.client.isCut, true);
      script.client.leave();
      assertEnded(made, script);
    });
  });
});

type RateAnswer = Parameters<RateLimits['admit']>[1];

/** Makes requests wait for the rates, as they wait for Redis. @returns what answers each of them */
function holdRates(made: ExchangeWorld): RateAnswer[] {
  const answers: RateAnswer[] = [];
  const held: Pick<RateLimits, 'needsClient' | 'admit'> = {
    needsClient: false,
    admit: (_request, then) => answers.push(then),
  };
  made.forwarder.admission.rates = held as RateLimits;
  return answers;
}

/** How an exchange gets into each phase. */
const INTO: Readonly<Record<Phase, (made: ExchangeWorld) => Script>> = {
  reading: (made) => made.begin(),
  deciding: (made) => {
    holdRates(made);
    return made.serve();
  },
  queued: (made) => {
    made.endpoint(1).pool.lease();
    return made.serve();
  },
  connecting: (made) => made.serve(),
  sending: (made) => made.serve({ method: 'POST', contentLength: 100_000 }, 'idle'),
  waiting: (made) => made.serve({}, 'idle'),
  responding: (made) => {
    const script = made.serve({}, 'idle');
    script.upstream.respond(200);
    script.upstream.sendBody('part');
    return script;
  },
  tunneling: (made) => {
    const script = made.serve({}, 'idle');
    script.upstream.switchProtocols();
    return script;
  },
  lingering: (made) => {
    const script = made.serve({ method: 'POST', contentLength: 100_000 }, 'idle');
    script.exchange.fail('body_too_large');
    return script;
  },
  done: (made) => {
    const script = made.serve({}, 'idle');
    script.upstream.respond(200);
    script.client.response.isBlocked = true;
    script.upstream.end('all');
    return script;
  },
};

/** Gives back the place that `INTO.queued` took. */
function freePlace(made: ExchangeWorld, phase: Phase): void {
  if (phase === 'queued') made.endpoint(1).pool.release(undefined);
}

describe('an exchange in each phase', () => {
  mockSweeps();

  const ABORTED: Readonly<Record<keyof typeof INTO, string>> = {
    reading: 'CR',
    deciding: 'CC',
    queued: 'CQ',
    connecting: 'CC',
    sending: 'CD',
    waiting: 'CH',
    responding: 'CD',
    tunneling: '--',
    lingering: 'PR',
    done: 'CD',
  };
  for (const [phase, into] of Object.entries(INTO) as [
    keyof typeof INTO,
    (made: ExchangeWorld) => Script,
  ][]) {
    it(`ends if the client leaves while ${phase}`, () => {
      const made = world({ main: [1] }, ONE_CONNECTION);
      const script = into(made);
      assert.equal(script.exchange.phase, phase);
      script.client.leave();
      freePlace(made, phase);
      assertEnded(made, script);
      assert.equal(made.records[0]!.termination, ABORTED[phase]);
      const aborts = phase === 'tunneling' || phase === 'lingering' ? 0 : 1;
      assert.equal(made.metrics.clientAborts.value, aborts);
    });

    it(`ends with its process while ${phase}`, () => {
      const made = world({ main: [1] }, ONE_CONNECTION);
      const script = into(made);
      script.exchange.fail('shutdown');
      script.client.leave();
      freePlace(made, phase);
      assertEnded(made, script);
    });

    it(`ends with internal_error, and nothing leaks, after an error of our own while ${phase}`, () => {
      const made = world({ main: [1] }, ONE_CONNECTION);
      const script = into(made);
      script.exchange.onInternalError(new Error('planted'));
      if (phase === 'sending') script.client.sendBody('', true);
      script.client.leave();
      freePlace(made, phase);
      assertEnded(made, script);
      assert.equal(made.metrics.internalErrors.value, 1);
      assert.ok(made.logged.some((line) => line.includes('planted')));
      if (phase !== 'lingering') assert.equal(made.records[0]!.reason, 'internal_error');
    });
  }

  const EXPIRED: Readonly<Partial<Record<keyof typeof INTO, [reason: string | undefined, cut: boolean]>>> = {
    queued: ['queue_timeout', false],
    sending: ['client_timeout', false],
    waiting: ['response_timeout', false],
    responding: ['idle_timeout', true],
    tunneling: [undefined, false],
    lingering: ['body_too_large', false],
    done: ['client_timeout', true],
  };
  for (const [phase, [reason, cut]] of Object.entries(EXPIRED) as [
    keyof typeof INTO,
    [string | undefined, boolean],
  ][]) {
    it(`ends with ${reason ?? 'no error'} if its time is over while ${phase}`, () => {
      const made = world({ main: [1] }, { ...ONE_CONNECTION, retries: { attempts: 0 } });
      const script = INTO[phase](made);
      made.pass(LONG);
      made.pass(LONG);
      freePlace(made, phase);
      assert.equal(script.client.isCut, cut);
      assertEnded(made, script);
      assert.equal(made.records[0]!.reason, reason);
    });
  }

  it('waits for the rates, and goes on with their answer', () => {
    const made = world();
    const answers = holdRates(made);
    const scripts = [made.serve({}, 'idle'), made.serve({}, 'idle')];
    const [admitted, refused] = scripts as [Script, Script];
    answers[0]!(undefined, 0);
    assert.equal(admitted.exchange.phase, 'waiting');
    answers[1]!({ name: 'each' } as Rate, 1_500);
    assert.equal(refused.client.response.reason, 'rate_limited');
    assert.deepEqual(refused.client.response.headers, ['Retry-After', '2']);
    admitted.client.leave();
    assertEnded(made, refused, admitted);
  });

  it('ignores an answer of the rates that comes after the client has left', () => {
    const made = world();
    const answers = holdRates(made);
    const script = made.serve();
    script.client.leave();
    answers[0]!(undefined, 0);
    assert.deepEqual(script.upstream.calls, []);
    assertEnded(made, script);
  });

  it('blames the upstream if it held up the body, and the client if it held up the response', () => {
    const made = world();
    const sending = INTO.sending(made);
    sending.upstream.takes = false;
    sending.client.sendBody('x', false);
    const responding = INTO.responding(made);
    responding.client.response.isBlocked = true;
    responding.upstream.sendBody('x');
    made.pass(LONG);
    assert.equal(sending.client.response.reason, 'idle_timeout');
    assert.equal(responding.client.isCut, true);
    assert.deepEqual(made.records.map(({ reason }) => reason).sort(), ['client_timeout']);
    sending.client.leave();
    assertEnded(made, responding, sending);
  });

  it('counts the idle time anew once a slow client has taken what was sent', () => {
    const made = world({ main: [1] }, { timeouts: { idle: '5s' } });
    const script = INTO.responding(made);
    script.client.response.isBlocked = true;
    script.upstream.sendBody('x');
    made.pass(4_000);
    script.client.drain();
    made.pass(4_000);
    assert.equal(script.exchange.phase, 'responding');
    script.upstream.end();
    assertEnded(made, script);
  });

  it('bounds the whole request body, though some of it arrives all the time', () => {
    const made = world({ main: [1] }, { timeouts: { requestBody: '10s', idle: '5s' } });
    const script = INTO.sending(made);
    for (let i = 0; i < 9; i++) {
      made.pass(1_000);
      script.client.sendBody('x', false);
    }
    assert.equal(script.exchange.phase, 'sending');
    made.pass(1_001);
    assert.equal(script.client.response.reason, 'client_timeout');
    script.client.leave();
    assertEnded(made, script);
  });

  it('sends a held head when its time has come, and waits for the body', () => {
    const made = world();
    const script = made.serve({}, 'idle');
    script.upstream.events.onResponseBegun();
    script.upstream.respond(200);
    assert.equal(script.client.response.headIsHeld, true);
    made.pass(25);
    assert.equal(script.client.response.headIsHeld, false);
    assert.equal(script.exchange.phase, 'responding');
    script.upstream.end('body');
    assertEnded(made, script);
  });
});

describe('an exchange with a port that throws', () => {
  mockSweeps();

  interface Fault {
    readonly port: string;
    readonly when: (made: ExchangeWorld) => Script;
    readonly options?: RequestOptions;
    /** True if the response is cut. */
    readonly cut?: boolean;
  }

  const breaking = (script: Script, method: string, then: () => void): Script => {
    script.broken.add(method);
    then();
    script.broken.delete(method);
    return script;
  };
  const faults: readonly Fault[] = [
    {
      port: 'start',
      when: (made) => {
        const script = made.begin();
        return breaking(script, 'start', () => serve(script));
      },
    },
    {
      port: 'connecting',
      when: (made) => {
        const script = made.begin();
        return breaking(script, 'connecting', () => serve(script));
      },
    },
    {
      port: 'sendKept',
      when: (made) => {
        const script = made.serve({ method: 'POST', contentLength: 100 });
        script.client.sendBody('x', false);
        return breaking(script, 'sendKept', () => script.upstream.open());
      },
    },
    {
      port: 'send',
      when: (made) => {
        const script = INTO.sending(made);
        return breaking(script, 'send', () => script.client.sendBody('x', false));
      },
    },
    {
      port: 'resumeBody',
      when: (made) => {
        const script = made.serve({ method: 'POST', contentLength: 100 });
        return breaking(script, 'resumeBody', () => script.upstream.open());
      },
    },
    {
      port: 'respond',
      when: (made) => {
        const script = INTO.waiting(made);
        return breaking(script, 'respond', () => script.upstream.respond(200));
      },
    },
    {
      port: 'inform',
      when: (made) => {
        const script = INTO.waiting(made);
        return breaking(script, 'inform', () => script.upstream.respond(103));
      },
    },
    {
      port: 'finish',
      when: (made) => {
        const script = INTO.responding(made);
        return breaking(script, 'finish', () => script.upstream.end());
      },
      cut: true,
    },
    {
      port: 'fail',
      when: (made) => {
        const script = INTO.waiting(made);
        script.broken.add('fail');
        script.upstream.fail('bad_response');
        return script;
      },
      cut: true,
    },
    {
      port: 'abort',
      when: (made) => {
        const script = INTO.responding(made);
        return breaking(script, 'abort', () => made.pass(LONG));
      },
      cut: true,
    },
    {
      port: 'abandonBody',
      when: (made) => {
        const script = INTO.sending(made);
        return breaking(script, 'abandonBody', () => made.pass(LONG));
      },
      cut: true,
    },
    {
      port: 'switchProtocols',
      when: (made) => {
        const script = INTO.waiting(made);
        return breaking(script, 'switchProtocols', () => script.upstream.switchProtocols());
      },
    },
    {
      port: 'endTunnel',
      when: (made) => {
        const script = INTO.tunneling(made);
        return breaking(script, 'endTunnel', () => script.upstream.closeTunnel(false));
      },
      cut: true,
    },
  ];
  for (const { port, when, cut = false } of faults) {
    it(`ends only that exchange if ${port} throws`, () => {
      const made = world();
      const other = INTO.waiting(made);
      other.exchange.deadline = Number.POSITIVE_INFINITY;
      const script = when(made);
      assert.equal(script.client.isCut, cut);
      script.client.sendBody('', true);
      script.client.leave();
      assert.ok(made.metrics.internalErrors.value >= 1);
      assert.equal(made.records[0]!.reason, 'internal_error');
      other.upstream.respond(200);
      other.upstream.end();
      assertEnded(made, script, other);
      assert.equal(made.records[1]!.status, 200);
    });
  }

  for (const method of ['abort', 'abandonBody']) {
    it(`is recorded and released if ${method} throws while the client leaves`, () => {
      const made = world();
      const script = INTO.sending(made);
      breaking(script, method, () => script.client.leave());
      assert.equal(made.metrics.internalErrors.value, 1);
      assertEnded(made, script);
      assert.equal(made.records[0]!.reason, 'client_aborted');
    });
  }

  it('serves the next request of the connection if it cannot be recorded', () => {
    const made = world();
    const script = INTO.responding(made);
    made.forwarder.edges.accessLog.writeWanted = () => {
      throw new Error('planted');
    };
    let told = 0;
    script.peer.next = () => told++;
    script.upstream.end();
    assert.equal(told, 1);
    assert.equal(made.metrics.internalErrors.value, 1);
    assert.deepEqual(made.leaks, []);
  });

  it('ends only that exchange if its turn in the queue fails', () => {
    const made = world({ main: [1] }, ONE_CONNECTION);
    const first = made.serve({}, 'idle');
    const second = made.serve({}, 'idle');
    const third = made.serve({}, 'idle');
    second.broken.add('start');
    first.client.leave();
    assert.equal(second.client.response.reason, 'internal_error');
    assert.equal(third.exchange.phase, 'waiting');
    third.client.leave();
    assertEnded(made, first, second, third);
  });

  it('ends only that exchange if it fails once the rates have answered', () => {
    const made = world();
    const answers = holdRates(made);
    const script = made.serve();
    script.broken.add('start');
    answers[0]!(undefined, 0);
    assert.equal(script.client.response.reason, 'internal_error');
    assertEnded(made, script);
  });

  it('ends only that exchange if its dismissal fails', () => {
    const made = world({ main: [1, 2] }, ONE_CONNECTION);
    const scripts = [made.serve({}, 'idle'), made.serve({}, 'idle')];
    const waiting = [made.serve(), made.serve()];
    const onFirst = waiting.filter(() => made.endpoint(1).pool.pending > 0);
    for (const { broken } of onFirst) broken.add('fail');
    for (const { exchange } of waiting) assert.equal(exchange.phase, 'queued');
    made.applyEndpoints([1, 2]);
    for (const { client } of scripts) client.leave();
    assertEnded(made, ...scripts, ...waiting);
  });

  it('closes the connection, since bytes of the next request may be lost', () => {
    const made = world();
    const script = INTO.sending(made);
    breaking(script, 'send', () => script.client.sendBody('x', true));
    assert.equal(script.client.response.reason, 'internal_error');
    assert.equal(script.client.response.closes, true);
    assertEnded(made, script);
  });

  it('ends with internal_error if a port reports what may not follow', () => {
    const made = world();
    const script = INTO.responding(made);
    const { events } = script.upstream;
    try {
      events.onConnected();
      assert.fail('nothing was thrown');
    } catch (error) {
      assert.match(String(error), /waiting may not follow responding/);
      events.onInternalError(error);
    }
    assert.equal(script.client.isCut, true);
    assertEnded(made, script);
    assert.equal(made.records[0]!.reason, 'internal_error');
  });

  it('leaves the gauge of tunnels alone if the 101 cannot be completed', () => {
    const made = world();
    const script = INTO.waiting(made);
    script.upstream.events.onResponseBegun();
    const broken = {
      status: 101,
      append: () => {
        throw new Error('planted');
      },
    };
    assert.throws(() => script.upstream.events.onSwitched(broken as never));
    script.exchange.onInternalError(new Error('planted'));
    assertEnded(made, script);
  });
});
