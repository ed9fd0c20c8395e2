/** The proxies that the suite runs against, all with one table: a backend for each group, and one for everybody else. */

import type { Lane } from '../support/lane.ts';
import type { TestConfig } from '../support/pointsman-process.ts';
import { type PointsmanProcess, startPointsman } from '../support/pointsman-process.ts';
import { BACKENDS } from './cases/case.ts';

/** Shorter than the client's patience: a proxy that waits for the rest of a message must give up. */
export const TIMEOUTS = { requestHead: '1500ms', idle: '1500ms', responseHead: '4s' } as const;

export interface PointsmanOptions {
  readonly lane: Lane;
  readonly workers?: number;
  readonly config?: Partial<TestConfig>;
}

/** Each upstream a backend; without retries and checks, so that every request is sent once. */
export function tortureConfig(
  ports: Readonly<Record<string, number>>,
  lane: Lane,
  more: Partial<TestConfig> = {},
): TestConfig {
  return {
    backends: Object.fromEntries(BACKENDS.map((name) => [name, { url: `http://127.0.0.1:${ports[name]}` }])),
    routes: [
      ...BACKENDS.filter((name) => name !== 'other').map((name) => ({
        name,
        match: { group: name.toUpperCase() },
        split: { [name]: 1 },
      })),
      { name: 'other', split: { other: 1 } },
    ],
    health: { enabled: false },
    outlier: { enabled: false },
    retries: { attempts: 0 },
    timeouts: TIMEOUTS,
    accessLog: { mode: 'off' },
    ...more,
    forwarding: { ...more.forwarding, fastLane: lane === 'fast' },
  };
}

/** Groups of the cases of responses, each with a backend of the same name that has one connection. */
export const RESPONSE_GROUPS: readonly string[] = Array.from({ length: 12 }, (_, i) => `r${i}`);

/** As above, for upstreams that misbehave: what they hold back is not waited for. */
export function brokenUpstreamConfig(
  ports: Readonly<Record<string, number>>,
  lane: Lane,
  more: Partial<TestConfig> = {},
): TestConfig {
  return {
    ...tortureConfig(ports, lane, more),
    backends: Object.fromEntries(
      RESPONSE_GROUPS.map((name) => [name, { url: `http://127.0.0.1:${ports[name]}`, maxConnections: 1 }]),
    ),
    routes: [
      ...RESPONSE_GROUPS.slice(1).map((name) => ({ name, match: { group: name }, split: { [name]: 1 } })),
      { name: 'others', split: { [RESPONSE_GROUPS[0]!]: 1 } },
    ],
    // A connection that the upstream ends as the next request leaves is nobody's fault.
    retries: { attempts: 2, budget: { percent: 100, floor: 10_000 } },
    timeouts: { ...TIMEOUTS, responseHead: '700ms', idle: '700ms' },
  };
}

export function startTortured(
  ports: Readonly<Record<string, number>>,
  { lane, workers = 1, config }: PointsmanOptions,
): Promise<PointsmanProcess> {
  return startPointsman(tortureConfig(ports, lane, config), { workers });
}
