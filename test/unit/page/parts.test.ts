import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RecentTraffic } from '../../../src/admin/recent-traffic.ts';
import { buildStatus, type ProcessFacts, type StatusInput } from '../../../src/admin/status.ts';
import type { GuardView } from '../../../src/canary-guard/canary-guard.ts';
import { statusText } from '../../../src/commands/ctl/status-text.ts';
import { configSchema } from '../../../src/config/schema.ts';
import { NO_TOTALS } from '../../../src/observe/totals.ts';
import { applyOverrides } from '../../../src/overrides/apply.ts';
import type { Override } from '../../../src/overrides/override.ts';
import { pageParts } from '../../../src/page/parts.ts';
import { backendStatus, endpointStatus } from '../../support/endpoint-state.ts';
import { QUIET_PROCESS } from '../../support/process-facts.ts';

const config = configSchema.parse({
  service: 'shop',
  backends: {
    canary: { url: 'http://canary', build: '1.7-rc' },
    production: { servers: [{ url: 'http://a' }, { url: 'http://b', backup: true }] },
  },
  routes: [{ name: 'free', split: { canary: 5, production: 95 }, pin: 'user' }],
  pins: { user: { by: [{ header: 'X-User' }], store: 'redis' } },
  redis: { url: 'redis://r' },
  sets: { v2: ['canary'] },
});

const facts: ProcessFacts = { ...QUIET_PROCESS, now: 600_000 };

const GUARD: GuardView = {
  route: 'free',
  backend: 'canary',
  mode: 'act',
  phase: 'watching',
  forMs: 60_000,
  leftMs: undefined,
  trips: 0,
  latchAfter: 3,
  evidence: { errors: 0.12, latency: 0 },
  verdict: undefined,
};

const WELL = ['canary', 'production'].map((name) =>
  backendStatus({ name, endpoints: [endpointStatus({ address: '10.0.0.1', port: 80 })] }),
);

/** Of each part the text, as it is read out. */
function shown(more: Partial<StatusInput>): (id: string) => string {
  const status = buildStatus({ config, backends: WELL, totals: NO_TOTALS, facts, ...more });
  const parts = pageParts({ status, recent: new RecentTraffic() });
  return (id) =>
    parts
      .get(id)!
      .replaceAll(/<[^>]*>/g, ' ')
      .replaceAll(/\s+/g, ' ');
}

const braked: Override = {
  id: 'abcdef',
  target: { kind: 'split', route: 'free', weights: { canary: 0 } },
  reason: 'canary braked: 12 of 100 requests failed',
  by: 'canary guard',
  createdAt: 500_000,
  until: 700_000,
};

describe('the page', () => {
  it('shows how a canary is guarded: its state, the evidence, the last verdict, and whether anything is done', () => {
    const of = (guard: Partial<GuardView>) => shown({ guards: [{ ...GUARD, ...guard }] });
    assert.match(of({})('routes'), /guard of canary: ● watching for .* errors 12 %, slowness 0 %/);
    const verdict = '12 of 100 requests failed';
    const worse = { phase: 'braked', leftMs: 24_000, trips: 2, verdict } as const;
    assert.match(
      of(worse)('routes'),
      /▲ braked for .*, tried again in .* · 2 of 3 verdicts that latch · last verdict: 12 of 100 requests failed/,
    );
    assert.match(of(worse)('head'), /to look at: canary of free \(braked\)/);
    assert.match(of({ ...worse, mode: 'warn' })('routes'), /\(only warns\): ▲ worse than production/);
    assert.match(of({ phase: 'probing' })('routes'), /▲ on trial with a small share/);
    assert.match(of({ phase: 'latched' })('head'), /canary of free \(braked until somebody acts\)/);
    assert.match(shown({})('head'), /every backend is well/);
  });

  it('tells a brake of a guard from what somebody set by hand', () => {
    const { config: held, effects } = applyOverrides(config, [braked]);
    const page = shown({ config: held, overrides: effects });
    assert.match(page('overrides'), /^ ?Braked by guards split of free: canary 0/);
    assert.match(page('routes'), /▲ braked by its guard for .* more, canary guard: canary braked: 12 of/);
    assert.match(page('flow'), /▲ braked by its guard/);
    const byHand = { ...braked, id: 'abcdeg', by: 'ann' };
    assert.match(shown(applyOverridesInput([byHand]))('overrides'), /^ ?Set by hand split of free/);
  });

  it('shows users beside shares, of which build, and whose users they are', () => {
    const reports = [{ route: 'free', backend: 'canary', build: '1.7-rc', exposed: 1_240, hurt: 31 }];
    const page = shown({ exposure: { reach: { of: 'all', asOf: 1, why: '' }, reports } });
    assert.match(
      page('routes'),
      /users, 24 h met errors .*production .* 0 0 canary 1\.7-rc canary .* 1,240 31 /,
    );
    assert.match(page('routes'), /estimated to 1\.6 %, counted over all replicas/);
    const alone = shown({
      exposure: { reach: { of: 'replica', asOf: undefined, why: 'ECONNREFUSED' }, reports },
    });
    assert.match(alone('routes'), /counted in this replica alone \(ECONNREFUSED\)/);
  });

  it('shows whom a store remembers, exactly or about, and since when that is known', () => {
    assert.match(shown({})('pins'), /not counted yet/);
    const pins = { user: { production: 95_012, canary: 4_988 } };
    const about = shown({ pinCensus: { at: 300_000, exact: false, pins } });
    assert.match(
      about('pins'),
      /Users remembered: canary about 4,988 · production about 95,012 \( ?in Redis, for all replicas, counted .* ago from a sample/,
    );
    assert.doesNotMatch(shown({ pinCensus: { at: 1, exact: true, pins } })('pins'), /about/);
  });

  it('shows release sets: whether they are together, and what befell a member here or elsewhere', () => {
    const set = { name: 'v2', members: ['canary'], here: {}, elsewhere: [] };
    const setsShared = { state: 'closed', reason: '', since: 0 } as const;
    assert.match(shown({ sets: [set], setsShared })('sets'), /v2 canary ● together .*Shared through Redis/);
    assert.equal(shown({})('sets'), '');
    const lost = { backend: 'pay-canary', reason: 'none available' };
    const left = shown({ sets: [{ ...set, elsewhere: [{ service: 'cart', lost }] }], setsShared });
    assert.match(
      left('overrides'),
      /Release sets that lost a member release set v2: pay-canary of cart takes no requests .* none available/,
    );
    assert.match(left('sets'), /✕ left out/);
    const fallen = { backend: 'canary', ratio: 0, until: 700_000, reason: 'bad', by: 'ann' };
    const lowered = shown({ sets: [{ ...set, here: { fallen } }] });
    assert.match(lowered('overrides'), /release set v2: canary has no share .* ann: bad/);
    assert.match(lowered('sets'), /▲ lowered, .*no Redis is configured/);
  });

  it('shows the answers of DNS and their age for each server of a backend', () => {
    const resolution = {
      state: 'resolved',
      reason: '2 addresses',
      since: 1_000,
      answeredAt: 2_000,
      ttlMs: 5_000,
    } as const;
    const server = { url: 'http://a', weight: 1, backup: false, resolution };
    const backends = [
      backendStatus({
        name: 'production',
        endpoints: [],
        servers: [server, { ...server, url: 'http://b', backup: true }],
      }),
    ];
    assert.match(
      shown({ backends })('backends'),
      /DNS: http:\/\/a: resolved for .*, answered .* ago, TTL 5 s: 2 addresses http:\/\/b \(backup\): resolved/,
    );
  });

  it('escapes what comes from elsewhere', () => {
    const evil = '<img src=x onerror=alert(1)>';
    const lost = { backend: evil, reason: evil };
    const status = buildStatus({
      config,
      backends: [],
      totals: NO_TOTALS,
      facts,
      guards: [{ ...GUARD, verdict: evil }],
      sets: [{ name: 'v2', members: ['canary'], here: {}, elsewhere: [{ service: evil, lost }] }],
      pinCensus: { at: 1, exact: true, pins: { user: { [evil]: 1 } } },
    });
    const all = [...pageParts({ status, recent: new RecentTraffic() }).values()].join('');
    assert.ok(!all.includes('<img') && all.includes('&lt;img'));
  });

  it('has its twin in the terminal', () => {
    const reports = [{ route: 'free', backend: 'canary', build: '1.7-rc', exposed: 1_240, hurt: 31 }];
    const text = statusText(
      buildStatus({
        backends: [],
        totals: NO_TOTALS,
        facts,
        ...applyOverridesInput([braked]),
        guards: [{ ...GUARD, phase: 'braked', verdict: '12 of 100 requests failed' }],
        exposure: { reach: { of: 'all', asOf: 1, why: '' }, reports },
        pinCensus: { at: 1, exact: false, pins: { user: { canary: 7 } } },
        sets: [
          {
            name: 'v2',
            members: ['canary'],
            here: {},
            elsewhere: [{ service: 'cart', lost: { backend: 'canary', reason: 'none available' } }],
          },
        ],
      }),
      600_000,
    );
    for (const line of [
      /free {2}\(held by canary guard: canary braked/,
      /guard of canary: braked; last verdict: 12 of 100 requests failed/,
      /users who met a build in the last 24 h, and an error there \(all replicas\)\n {2}free → canary +1240 +31 {2}1\.7-rc/,
      /user: canary about 7 {2}\(in Redis at/,
      /set v2: canary of cart takes no requests: none available/,
    ]) {
      assert.match(text, line);
    }
  });
});

function applyOverridesInput(overrides: readonly Override[]): Pick<StatusInput, 'config' | 'overrides'> {
  const { config: held, effects } = applyOverrides(config, overrides);
  return { config: held, overrides: effects };
}
