import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import type { EndpointState } from '../../../src/backends/endpoint.ts';
import type { OutlierCause } from '../../../src/backends/outlier.ts';
import { Exposure } from '../../../src/blast-radius/exposure.ts';
import { type ConfigInput, configSchema } from '../../../src/config/schema.ts';
import { Forwarder } from '../../../src/forward/forwarder.ts';
import type { AttemptFailure, FailedAttempt, RetryPlan } from '../../../src/forward/retry-plan.ts';
import { AccessLog } from '../../../src/observe/access-log.ts';
import { Ledger } from '../../../src/observe/ledger.ts';
import { createLogger } from '../../../src/observe/log.ts';
import { TrafficMetrics } from '../../../src/observe/traffic-metrics.ts';
import { PinStores } from '../../../src/pinning/stores.ts';
import { endpointState } from '../../support/endpoint-state.ts';

const SILENT = { write: () => {}, flush: () => Promise.resolve(true), flushSync: () => {}, dropped: 0 };
const open: Forwarder[] = [];
after(() => {
  for (const forwarder of open) forwarder.close();
});

interface World {
  readonly forwarder: Forwarder;
  readonly outliers: [port: number, cause: OutlierCause][];
  plan(failed: Partial<FailedAttempt> & { failure: AttemptFailure; on: string; port?: number }): RetryPlan;
  /** Backend and port of the plan's endpoint. */
  target(plan: RetryPlan): string;
}

/** Backends of endpoints whose ports are given; a port below 0 is one that is down. */
function world(
  backends: Readonly<Record<string, readonly number[]>>,
  route: Partial<ConfigInput['routes'][number]> = {},
  config: Partial<ConfigInput> = {},
): World {
  const parsed = configSchema.parse({
    backends: Object.fromEntries(Object.keys(backends).map((name) => [name, { url: 'http://127.0.0.1:1' }])),
    routes: [{ name: 'all', split: { canary: 20, main: 80 }, ...route }],
    ...config,
  });
  const outliers: [number, OutlierCause][] = [];
  const metrics = new TrafficMetrics(new Ledger());
  const log = createLogger({ level: 'error', service: 'test', destination: SILENT });
  const forwarder = new Forwarder(parsed, {
    log: log.logger,
    accessLog: new AccessLog(log, parsed.accessLog),
    metrics,
    pinStores: new PinStores({ now: () => 0, onRedis: () => {}, onResult: () => {} }),
    exposure: new Exposure(0),
    now: () => 0,
    random: () => 0,
    openFiles: Number.POSITIVE_INFINITY,
    onEndpointFailure: () => {},
    onOutlier: (_backend, _address, port, cause) => outliers.push([port, cause]),
  });
  open.push(forwarder);
  const state = (port: number): EndpointState =>
    endpointState({ address: '127.0.0.1', port: Math.abs(port), health: port < 0 ? 'down' : 'up' });
  forwarder.applyEndpoints(
    Object.entries(backends).map(([backend, ports]) => ({ backend, endpoints: ports.map(state) })),
  );
  const live = forwarder.snapshot.routes[0]!;
  const { names } = live.route.split;
  return {
    forwarder,
    outliers,
    plan: ({ on, port, ...failed }) => {
      const index = names.indexOf(on);
      const { endpoints } = live.use.balancer(index)!;
      const endpoint = port === undefined ? endpoints[0]! : endpoints.find((one) => one.port === port)!;
      return forwarder.planRetry(
        {
          live,
          index,
          endpoint,
          reused: false,
          responseBegun: false,
          method: 'GET',
          replayable: true,
          retries: 0,
          timedOut: false,
          staysPut: false,
          tried: [],
          ...failed,
        },
        forwarder.snapshot.policy,
      );
    },
    target: (plan) =>
      typeof plan === 'string'
        ? plan
        : `${names[plan.index]}:${plan.endpoint.port}${plan.fresh ? ' anew' : ''}`,
  };
}

const TWO = { canary: [1, 2], main: [3, 4] };

describe('a failed attempt on a canary', () => {
  const shielded = ['upstream_reset', 'answered_502', 'answered_503', 'answered_504'] as const;
  it('is made good by the main backend when the canary itself may be what fails', () => {
    const { plan, target } = world(TWO, {}, { retries: { budget: { floor: 10 } } });
    for (const failure of shielded) assert.match(target(plan({ on: 'canary', failure })), /^main:\d$/);
  });

  it('stays within the canary while nothing was sent and another endpoint is there', () => {
    const { plan, target } = world(TWO);
    assert.equal(target(plan({ on: 'canary', failure: 'connect_failed' })), 'canary:2');
    assert.equal(target(plan({ on: 'canary', failure: 'response_timeout' })), 'canary:2');
    const tried = world(TWO);
    const live = tried.forwarder.snapshot.routes[0]!;
    const both = [...live.use.balancer(0)!.endpoints];
    assert.equal(
      target(tried.plan({ on: 'canary', failure: 'connect_failed', tried: both.slice(1) })),
      'main:3',
    );
  });

  it('is there to be seen without a shield', () => {
    const { plan, target } = world({ canary: [1], main: [3] }, { shield: false });
    assert.equal(target(plan({ on: 'canary', failure: 'answered_503' })), 'final');
    assert.equal(target(plan({ on: 'canary', failure: 'connect_failed' })), 'canary:1 anew');
    assert.equal(target(plan({ on: 'canary', failure: 'upstream_reset' })), 'canary:1 anew');
    assert.equal(target(plan({ on: 'canary', failure: 'response_timeout' })), 'final');
  });

  it('never leaves the backend of a user who must stay', () => {
    const { plan, target } = world({ canary: [1], main: [3] });
    for (const failure of [...shielded, 'connect_failed', 'connect_timeout', 'response_timeout'] as const) {
      assert.doesNotMatch(target(plan({ on: 'canary', failure, staysPut: true })), /main/);
    }
  });
});

describe('a failed attempt on the main backend', () => {
  it('goes to another of its endpoints, then to another backend, then to the same one anew', () => {
    const { plan, target, forwarder } = world(TWO);
    const [, four] = forwarder.snapshot.routes[0]!.use.balancer(1)!.endpoints;
    assert.equal(target(plan({ on: 'main', failure: 'connect_failed' })), 'main:4');
    assert.equal(target(plan({ on: 'main', failure: 'connect_failed', tried: [four!] })), 'canary:1');
    const alone = world({ main: [3] }, { split: { main: 1 } });
    assert.equal(alone.target(alone.plan({ on: 'main', failure: 'connect_failed' })), 'main:3 anew');
    assert.equal(alone.target(alone.plan({ on: 'main', failure: 'response_timeout' })), 'final');
  });

  it('is the answer when it was an answer', () => {
    const { plan } = world(TWO);
    assert.equal(plan({ on: 'main', failure: 'answered_503' }), 'final');
  });
});

describe('whatever failed', () => {
  const anyFailure = fc.constantFrom<AttemptFailure>(
    'connect_failed',
    'connect_timeout',
    'upstream_reset',
    'response_timeout',
    'bad_response',
    'bad_request',
    'upstream_truncated',
    'idle_timeout',
    'answered_502',
    'answered_503',
    'answered_504',
  );

  it('nothing is sent again that may have had an effect, or that cannot be sent whole, or too often', () => {
    const { plan } = world(TWO, {}, { retries: { attempts: 3, budget: { percent: 100, floor: 10_000 } } });
    fc.assert(
      fc.property(
        anyFailure,
        fc.constantFrom('GET', 'PUT', 'POST', 'PATCH', 'BREW'),
        fc.record({
          on: fc.constantFrom('canary', 'main'),
          replayable: fc.boolean(),
          responseBegun: fc.boolean(),
          reused: fc.boolean(),
          timedOut: fc.boolean(),
          retries: fc.nat(5),
        }),
        (failure, method, facts) => {
          const planned = plan({ failure, method, ...facts });
          if (planned === 'final') return;
          assert.ok(facts.replayable && facts.retries < 3);
          const unsent = failure === 'connect_failed' || failure === 'connect_timeout';
          if (unsent) return;
          assert.ok(method === 'GET' || method === 'PUT');
          if (failure === 'response_timeout') assert.ok(!facts.timedOut);
          if (failure.startsWith('answered')) assert.equal(facts.on, 'canary');
          else assert.ok(!facts.responseBegun);
        },
      ),
    );
  });

  it('a broken idle connection is replaced by a new one to the same endpoint', () => {
    const { plan, target } = world(TWO, {}, { retries: { budget: { percent: 0, floor: 0 } } });
    const reset = { failure: 'upstream_reset', reused: true } as const;
    assert.equal(target(plan({ on: 'canary', ...reset })), 'canary:1 anew');
  });

  it('the budget is asked, except for what was not sent and goes to an endpoint that answers', () => {
    const { plan, forwarder, target } = world(TWO, {}, { retries: { budget: { percent: 0, floor: 0 } } });
    assert.equal(plan({ on: 'main', failure: 'upstream_reset' }), 'denied');
    assert.equal(plan({ on: 'canary', failure: 'answered_503' }), 'denied');
    assert.equal(target(plan({ on: 'main', failure: 'connect_failed' })), 'main:4');
    const live = forwarder.snapshot.routes[0]!;
    for (const endpoint of live.use.balancer(1)!.endpoints) live.upstreams[1]!.onNoAnswer(endpoint);
    assert.equal(plan({ on: 'main', failure: 'connect_failed' }), 'denied');
  });
});

describe('failures in a row', () => {
  it('are reported at the configured count, by their cause, and success begins the count anew', () => {
    const { forwarder, outliers } = world(TWO, {}, { outlier: { gatewayFailures: 3, connectFailures: 2 } });
    const upstream = forwarder.snapshot.routes[0]!.upstreams[1]!;
    const [three, four] = upstream.available.endpoints as [never, never];
    const answers = (endpoint: never, ...statuses: number[]) => {
      for (const status of statuses) upstream.onAnswer(endpoint, status);
    };
    answers(three, 502, 503, 200, 504, 502);
    answers(four, 500, 500, 500, 500, 429);
    assert.deepEqual(outliers, []);
    answers(three, 503);
    assert.deepEqual(outliers, [[3, 'gateway']]);
    upstream.onNoAnswer(four);
    answers(four, 500);
    upstream.onNoAnswer(four);
    assert.equal(outliers.length, 1);
    upstream.onNoAnswer(four);
    assert.deepEqual(outliers[1], [4, 'connect']);
    answers(three, 502, 502);
    assert.equal(outliers.length, 2, 'a report begins a new count');
  });

  it('are not reported where outlier is off', () => {
    const { forwarder, outliers } = world(TWO, {}, { outlier: { enabled: false } });
    const upstream = forwarder.snapshot.routes[0]!.upstreams[1]!;
    const endpoint = upstream.available.endpoints[0]!;
    for (let i = 0; i < 20; i++) {
      upstream.onNoAnswer(endpoint);
      upstream.onAnswer(endpoint, 503);
    }
    assert.deepEqual(outliers, []);
  });
});

describe('an endpoint that comes back', () => {
  it('begins with a clean record', () => {
    const { forwarder, outliers } = world(TWO);
    const upstream = forwarder.snapshot.routes[0]!.upstreams[1]!;
    const endpoint = upstream.available.endpoints[0]!;
    const tell = (ejected: boolean) =>
      forwarder.applyEndpoints([
        {
          backend: 'main',
          endpoints: [3, 4].map((port) =>
            endpointState({ address: '127.0.0.1', port, ejected: port === 3 && ejected }),
          ),
        },
      ]);
    for (let i = 0; i < 2; i++) upstream.onNoAnswer(endpoint);
    tell(true);
    assert.deepEqual(
      upstream.available.endpoints.map(({ port }) => port),
      [4],
    );
    tell(false);
    assert.equal(upstream.available.endpoints[0], endpoint, 'it keeps its pool');
    upstream.onNoAnswer(endpoint);
    assert.deepEqual(outliers, []);
  });
});
