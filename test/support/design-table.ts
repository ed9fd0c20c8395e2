/** The routing table that Pointsman replaces HAProxy with, over four upstreams of the test's. */

import { type HttpUpstream, type HttpUpstreamOptions, startHttpUpstream } from './http-upstream.ts';
import type { TestConfig } from './pointsman-process.ts';

export interface Tracks<T> {
  readonly internal: T;
  readonly canary: T;
  readonly paid: T;
  readonly production: T;
}

/** Without pins, so that shares are exact. */
export function designTable(tracks: Tracks<{ readonly url: string }>): TestConfig {
  return {
    service: 'account-service',
    backends: {
      internal: { url: tracks.internal.url },
      canary: { url: tracks.canary.url },
      paid: { url: tracks.paid.url },
      production: { url: tracks.production.url },
    },
    routes: [
      { name: 'internal', match: { group: 'INTERNAL' }, split: { internal: 100 } },
      { name: 'free', match: { group: 'FREE' }, split: { canary: 5, production: 95 } },
      { name: 'enterprise', match: { group: 'ENTERPRISE' }, split: { production: 100 } },
      { name: 'paid', split: { paid: 5, production: 95 } },
    ],
  };
}

export async function startTracks(options: HttpUpstreamOptions = {}): Promise<Tracks<HttpUpstream>> {
  const [internal, canary, paid, production] = await Promise.all(
    ['internal', 'canary', 'paid', 'production'].map((name) => startHttpUpstream(name, options)),
  );
  return { internal: internal!, canary: canary!, paid: paid!, production: production! };
}

/** One backend for everything. */
export function oneBackend(url: string, more: Partial<TestConfig> = {}): TestConfig {
  return {
    backends: { main: { url } },
    routes: [{ name: 'all', split: { main: 1 } }],
    ...more,
  };
}
