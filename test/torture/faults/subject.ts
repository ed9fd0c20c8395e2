/** The proxy that faults are played on: one backend for each place, and one timeout at a time that is short. */

import { reserveClosedPort } from '../../support/closed-port.ts';
import type { Lane } from '../../support/lane.ts';
import type { TestConfig } from '../../support/pointsman-process.ts';
import { startStoppedListener } from '../../support/stopped-listener.ts';
import type { TimeoutKey } from './case.ts';
import type { FaultyUpstream } from './faulty-upstream.ts';
import { PLACES, type Place } from './upstreams.ts';

/** Of the one that is to end the cases. What moves must do so more often, on a machine that does much else. */
const SHORT = { idle: '1s', others: '500ms' } as const;

const LONG = {
  connect: '60s',
  responseHead: '60s',
  idle: '60s',
  requestHead: '60s',
  requestBody: '0ms',
  keepAlive: '60s',
  queue: '60s',
  tunnel: '60s',
} as const satisfies Record<TimeoutKey, string>;

type Backends = Record<Place, TestConfig['backends'][string]>;

export async function faultBackends({ ports }: FaultyUpstream): Promise<Backends> {
  const url = (port: number) => `http://127.0.0.1:${port}`;
  const [closed, stopped] = await Promise.all([reserveClosedPort(), startStoppedListener()]);
  return {
    open: { url: url(ports.open) },
    closed: { url: url(closed) },
    half: { servers: [{ url: url(closed) }, { url: url(ports.open) }] },
    stopped: { url: stopped.url },
    resetting: { url: url(ports.resetting) },
    closing: { url: url(ports.closing) },
    parting: { url: url(ports.parting) },
    unsteady: { url: url(ports.unsteady) },
    narrow: { url: url(ports.narrow), maxConnections: 1 },
  };
}

/** Retries as by default, but for their budget: a suite is an outage. */
export function faultConfig(
  backends: Backends,
  lane: Lane,
  workers: number,
  short: TimeoutKey | undefined,
): TestConfig {
  const timeouts =
    short === undefined ? LONG : { ...LONG, [short]: SHORT[short === 'idle' ? 'idle' : 'others'] };
  return {
    backends,
    routes: [
      // For whoever has nothing to do with the case: nothing ends before its time.
      {
        name: 'calm',
        match: { path: '/calm' },
        split: { open: 1 },
        timeouts: { responseHead: '60s', idle: '60s' },
      },
      ...PLACES.map((place) => ({ name: place, match: { path: `/${place}` }, split: { [place]: 1 } })),
      { name: 'other', split: { open: 1 } },
    ],
    workers,
    health: { enabled: false },
    outlier: { enabled: false },
    retries: { budget: { percent: 100, floor: 10_000 } },
    timeouts,
    forwarding: { fastLane: lane === 'fast' },
  };
}
