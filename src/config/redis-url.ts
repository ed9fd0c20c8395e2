/**
 * Where Redis is: `redis://`, `redis+sentinel://` and `redis+cluster://`, and the same with `rediss` for TLS.
 * Taken apart here rather than by the client, since that knows neither of the latter, takes passwords from the query,
 * and reads what it does not understand as a host.
 */

export interface RedisAddress {
  readonly kind: 'single' | 'sentinel' | 'cluster';
  readonly tls: boolean;
  readonly nodes: readonly { readonly host: string; readonly port: number }[];
  /** Name of the master that the Sentinels watch; '' for the other kinds. */
  readonly master: string;
  readonly db: number;
  readonly username: string | undefined;
  readonly password: string | undefined;
}

const URL_SHAPE = /^redis(s?)(?:\+(sentinel|cluster))?:\/\/(?:([^@/]*)@)?([^@/?#]*)(\/[^?#]*)?([?#].*)?$/s;
const HOST =
  /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}))|([0-9]{1,3}(?:\.[0-9]{1,3}){3}))$/;
const MAX_NODES = 64;

/** A string says what is wrong, without any part of the URL. */
export function parseRedisUrl(url: string): RedisAddress | string {
  const match = URL_SHAPE.exec(url);
  if (match === null) {
    return 'is not a Redis URL: between :// and the path there is more than one @, or a /; write such characters of a password as %40 and %2F';
  }
  const [, s, mode, userinfo, authority, path = '', rest] = match;
  if (rest !== undefined)
    return 'must have no query or fragment; settings have keys of their own under redis';
  const kind = mode === 'sentinel' || mode === 'cluster' ? mode : 'single';
  const credentials = readCredentials(userinfo);
  if (typeof credentials === 'string') return credentials;
  const nodes = readNodes(authority!, kind === 'sentinel' ? 26_379 : 6_379);
  if (typeof nodes === 'string') return nodes;
  if (kind === 'single' && nodes.length > 1) {
    return 'names several hosts; write redis+sentinel://… or redis+cluster://…';
  }
  const segments = path.split('/').slice(1);
  while (segments.at(-1) === '') segments.pop();
  let master = '';
  if (kind === 'sentinel') {
    master = segments.shift() ?? '';
    if (!/^[A-Za-z0-9._-]{1,128}$/.test(master)) {
      return 'names no master; write redis+sentinel://HOST:26379,HOST:26379/MASTER';
    }
  }
  const db = segments.length === 0 ? 0 : Number(segments[0]);
  if (segments.length > 1 || !Number.isInteger(db) || db < 0 || db > 1_000_000) {
    return 'names a database that is no number; write it as /0 at the end, or leave it away';
  }
  if (kind === 'cluster' && segments.length > 0) return 'names a database; a Cluster has none';
  return { kind, tls: s === 's', nodes, master, db, ...credentials };
}

function readCredentials(
  userinfo: string | undefined,
): { username: string | undefined; password: string | undefined } | string {
  if (userinfo === undefined) return { username: undefined, password: undefined };
  const colon = userinfo.indexOf(':');
  try {
    const username = decodeURIComponent(colon === -1 ? userinfo : userinfo.slice(0, colon));
    const password = colon === -1 ? '' : decodeURIComponent(userinfo.slice(colon + 1));
    return {
      username: username === '' ? undefined : username,
      password: password === '' ? undefined : password,
    };
  } catch {
    return 'has a % in user or password that no two hex digits follow; write a literal one as %25';
  }
}

function readNodes(authority: string, defaultPort: number): RedisAddress['nodes'] | string {
  if (authority === '') return 'names no host; write redis://HOST[:PORT]';
  const parts = authority.split(',');
  if (parts.length > MAX_NODES) return `names more than ${MAX_NODES} hosts`;
  const nodes: { host: string; port: number }[] = [];
  for (const part of parts) {
    const port = /:([0-9]{1,5})$/.exec(part);
    const host = HOST.exec(port === null ? part : part.slice(0, port.index));
    const number = port === null ? defaultPort : Number(port[1]);
    if (host === null || number < 1 || number > 65_535) {
      return 'names something that is no HOST[:PORT]; put an IPv6 address in brackets';
    }
    nodes.push({ host: host[1] ?? host[2] ?? host[3]!, port: number });
  }
  return nodes;
}
