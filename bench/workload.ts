/**
 * The work every subject does: one routing table over four tracks, and the requests that are sent through it.
 * The table is the one that a team leaving HAProxy has; each subject spells it in its own configuration.
 */

export const TRACKS = ['internal', 'canary', 'paid', 'production'] as const;
export type Track = (typeof TRACKS)[number];

export interface Row {
  /** Value of X-Traffic-Group in any case; undefined: the last row, which takes everything else. */
  readonly group: string | undefined;
  readonly split: Readonly<Partial<Record<Track, number>>>;
}

export const TABLE: readonly Row[] = [
  { group: 'INTERNAL', split: { internal: 100 } },
  { group: 'FREE', split: { canary: 5, production: 95 } },
  { group: 'ENTERPRISE', split: { production: 100 } },
  { group: undefined, split: { paid: 5, production: 95 } },
];

export const SCENARIOS = ['get', 'post', 'pinned', 'connect'] as const;
export type Scenario = (typeof SCENARIOS)[number];

export interface Request {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Length of the body to send, bytes; 0: none. */
  readonly bodySize: number;
}

/** What clients usually send besides, so that heads have an everyday length (about 350 bytes). */
const CLIENT_HEADERS = {
  'User-Agent':
    'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36',
  Accept: 'application/json, text/plain, */*',
  'Accept-Language': 'en-GB,en;q=0.9,de;q=0.8',
  'Accept-Encoding': 'gzip, deflate, br',
};

/** Users of the `pinned` scenario: enough that both buckets of a 5/95 split get some. */
const PINNED_USERS = 200;

/**
 * The requests of a scenario, sent in turn. `get` and `post` go round all groups; `pinned` sends the two groups that
 * have a canary, each request with one of 200 user ids; `connect` is `get` with a new connection for every request.
 *
 * @param size bytes: of the response body, and with `post` of the request body too
 */
export function requestsOf(scenario: Scenario, size: number): Request[] {
  const method = scenario === 'post' ? 'POST' : 'GET';
  const path = '/accounts/42?fields=name,plan';
  const bodySize = scenario === 'post' ? size : 0;
  const contentHeaders = bodySize > 0 ? { 'Content-Type': 'application/octet-stream' } : {};
  const closing = scenario === 'connect' ? { Connection: 'close' } : {};
  const request = (headers: Record<string, string>): Request => ({
    method,
    path,
    headers: { ...CLIENT_HEADERS, ...contentHeaders, ...closing, ...headers },
    bodySize,
  });
  if (scenario === 'pinned') {
    return Array.from({ length: PINNED_USERS }, (_, user) =>
      request({ ...(user % 2 === 0 ? { 'X-Traffic-Group': 'FREE' } : {}), 'X-User-Id': `user-${user}` }),
    );
  }
  return TABLE.map((row) => request(row.group === undefined ? {} : { 'X-Traffic-Group': row.group }));
}

export function bodyOf(size: number): string {
  return 'pointsman'.repeat(Math.ceil(size / 9)).slice(0, size);
}
