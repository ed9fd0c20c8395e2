/** The configurations that are reloaded one after the other: weights move, a backend comes and goes. */

import type { ConfigInput } from '../../src/config/schema.ts';
import { pointsmanConfig } from '../subjects/pointsman.ts';
import type { Track } from '../workload.ts';

/** This group's row names the version: an answer to it tells which configuration forwards. */
export const PROBE_GROUP = 'PROBE';

export interface Version {
  readonly config: ConfigInput;
  /** Where requests of the probe group go once it is in force; neighbours differ. */
  readonly probeTrack: Track;
}

export function versionAt(
  index: number,
  upstreamPorts: Readonly<Record<Track, number>>,
  fastLane: boolean,
): Version {
  const base = pointsmanConfig(
    { upstreamPorts, pinned: false, accessLog: false, plain: false },
    { fastLane },
  );
  const canary = index % 51;
  const probeTrack: Track = index % 2 === 0 ? 'internal' : 'paid';
  const withExtra = index % 3 === 0;
  const backends = { ...base.backends };
  // A backend that takes a share of the traffic and of the WebSockets, and is gone again in the next version.
  if (withExtra) backends['extra'] = { url: `http://127.0.0.1:${upstreamPorts.canary}` };
  return {
    probeTrack,
    config: {
      ...base,
      backends,
      routes: [
        { name: 'probe', match: { group: PROBE_GROUP }, split: { [probeTrack]: 100 } },
        { name: 'internal', match: { group: 'INTERNAL' }, split: { internal: 100 } },
        { name: 'free', match: { group: 'FREE' }, split: { canary, production: 100 - canary } },
        { name: 'enterprise', match: { group: 'ENTERPRISE' }, split: { production: 100 } },
        { name: 'default', split: { paid: 5, production: 75, ...(withExtra ? { extra: 20 } : {}) } },
      ],
    },
  };
}

/** Files that must be refused and change nothing. */
export function badFile(index: number): string {
  const texts = ['backends: {', 'backends: {}\nroutes: []\n', 'backned: {}\n', '\0\0\0', ''];
  return texts[index % texts.length]!;
}
