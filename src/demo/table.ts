/** The routing table of the demo, as a file that a person is invited to edit. */

/** In the order in which a release meets them. */
export const TRACKS = ['internal', 'canary', 'paid', 'production'] as const;
export type Track = (typeof TRACKS)[number];

/** Also the salt of the buckets, since the file sets no other. */
export const SERVICE = 'account-service';

/** Names of the rows below. */
export const ROUTES = ['internal', 'free', 'enterprise', 'paid'] as const;
export type RouteName = (typeof ROUTES)[number];

export const BASE_CANARY_WEIGHT = 5;
export const RAISED_CANARY_WEIGHT = 25;

export function demoConfigText(ports: Readonly<Record<Track, number>>): string {
  return `# The routing table of the demo. Change a weight, save, and watch it take effect.
service: ${SERVICE}
listen: 127.0.0.1:0
admin: 127.0.0.1:0
groupHeader: X-Traffic-Group
backends:
  internal:   { url: http://127.0.0.1:${ports.internal} }
  canary:     { url: http://127.0.0.1:${ports.canary} }
  paid:       { url: http://127.0.0.1:${ports.paid} }
  production: { url: http://127.0.0.1:${ports.production} }
routes: # first match wins
  - { name: internal,   match: { group: INTERNAL },   split: { internal: 100 } }
  - { name: free,       match: { group: FREE },       split: { canary: 5, production: 95 }, pin: user }
  - { name: enterprise, match: { group: ENTERPRISE }, split: { production: 100 } }
  - { name: paid,                                     split: { paid: 5, production: 95 }, pin: user }
health: { interval: 500ms, timeout: 400ms, rise: 2, fall: 3 }
pins:
  user: { by: [{ header: X-User-Id }, { cookie: uid }], store: memory }
accessLog: { mode: off }
shutdown: { delay: 0ms, timeout: 2s }
`;
}

/**
 * The file with another weight of the canary in the row `free`, all else untouched, as a person would edit it.
 *
 * @param weight whole percent; production gets the rest
 * @returns undefined when the row is not written as `demoConfigText` writes it
 */
export function withCanaryWeight(text: string, weight: number): string | undefined {
  const row = /^(\s*- \{ name: free,.*split: \{ canary: )\d+(, production: )\d+/m;
  return row.test(text) ? text.replace(row, `$1${weight}$2${100 - weight}`) : undefined;
}
