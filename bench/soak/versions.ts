/** The configurations that are reloaded one after the other: weights move, a backend comes and goes. */

import type { ConfigInput } from '../../src/config/schema.ts';
import { hostOf, TRACKS } from './tracks.ts';

export interface Scene {
  /** Of every endpoint. */
  readonly upstreamPort: number;
  readonly redisPort: number;
  /** `address:port` */
  readonly nameserver: string;
  readonly workers: number;
  /** How many times as often as in the standard run things happen, and so are looked for. */
  readonly pace: number;
}

/** The environment holds it, as a Secret would. */
export const TOKEN_VARIABLE = 'POINTSMAN_SOAK_TOKEN';

/** Every third version has one backend more. */
const EXTRA_EVERY = 3;

export function versionAt(index: number, scene: Scene): ConfigInput {
  const { upstreamPort, redisPort, nameserver, workers, pace } = scene;
  const withExtra = index % EXTRA_EVERY === 0;
  const canary = 5 + (index % 46);
  const urlOf = (name: string) => ({
    url: `http://${hostOf(name)}:${upstreamPort}`,
    keepAlive: milliseconds(4_000 / pace),
  });
  const names = [...TRACKS, ...(withExtra ? ['extra'] : [])];
  return {
    service: 'soak',
    listen: '127.0.0.1:0',
    admin: '127.0.0.1:0',
    workers,
    acting: { token: `\${${TOKEN_VARIABLE}}` },
    backends: Object.fromEntries(names.map((name) => [name, urlOf(name)])),
    routes: [
      { name: 'internal', match: { group: 'INTERNAL' }, split: { internal: 100 } },
      {
        name: 'free',
        match: { group: 'FREE' },
        split: { canary, production: 100 - canary },
        pin: 'user',
        main: 'production',
        guard: 'warn',
      },
      { name: 'enterprise', match: { group: 'ENTERPRISE' }, split: { production: 100 } },
      {
        name: 'beta',
        match: { group: 'BETA' },
        split: { production: 80, ...(withExtra ? { extra: 20 } : {}) },
        main: 'production',
      },
      { name: 'limited', match: { group: 'LIMITED' }, split: { production: 100 } },
      // Nothing about it ever changes, and no canary's failure is made good by production: its users never move.
      {
        name: 'steady',
        split: { paid: 20, production: 80 },
        pin: 'steady',
        main: 'production',
        guard: 'warn',
        shield: false,
      },
    ],
    invariants: [
      { never: { group: 'ENTERPRISE', backend: ['internal', 'canary', 'paid'] } },
      { maxShare: { group: 'FREE', backend: 'canary', percent: 60 } },
    ],
    pins: {
      user: { by: [{ header: 'X-User-Id' }, { cookie: 'uid' }], store: 'redis' },
      steady: { by: [{ header: 'X-User-Id' }, { cookie: 'uid' }], store: 'redis' },
    },
    health: { interval: milliseconds(2_000 / pace), timeout: milliseconds(1_000 / Math.min(pace, 5)) },
    redis: { url: `redis://127.0.0.1:${redisPort}`, cacheTtl: '20s' },
    limits: {
      rates: {
        people: { by: { pin: 'user' }, rate: 1_000, store: 'redis' },
        limited: { by: 'group', groups: 'LIMITED', rate: 20, store: 'redis' },
      },
    },
    resolver: { nameservers: [nameserver], search: [], timeout: '500ms', minTtl: milliseconds(1_000 / pace) },
    // The request ids are the nonces of the load.
    trust: { cidrs: ['127.0.0.0/8'] },
    shutdown: { delay: '0ms', timeout: '5s' },
  };
}

/** Files that must be refused and change nothing: no YAML, not understood, empty, and one that breaks a promise. */
export function brokenFile(index: number, scene: Scene): string {
  const promising = versionAt(index, scene);
  const breaking = {
    ...promising,
    routes: promising.routes.map((row) =>
      row.name === 'enterprise' ? { ...row, split: { production: 95, canary: 5 } } : row,
    ),
  };
  const texts = ['backends: {', 'backned: {}\n', '\0\0\0', '', JSON.stringify(breaking)];
  return texts[index % texts.length]!;
}

function milliseconds(count: number): string {
  return `${Math.max(100, Math.round(count))}ms`;
}
