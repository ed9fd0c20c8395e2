/** A table with a secret of its own wherever the schema knows of one. */

import { secretKeys } from '../../src/config/secrets.ts';
import type { TestConfig } from './pointsman-process.ts';

/** Part of every secret here, and of nothing else. With characters that tokens have and names have not. */
export const MARK = 'h8/Geheim+';

export interface SecretTable {
  readonly config: TestConfig;
  /** For the references in it. */
  readonly env: Readonly<Record<string, string>>;
  /** Whom Redis is to let in. */
  readonly redisUser: { readonly name: string; readonly password: string };
}

export interface SecretTableOptions {
  readonly upstream: string;
  /** `HOST:PORT` */
  readonly redis: string;
  readonly hook?: string;
  readonly smtp?: string;
  readonly collector?: string;
  /** Another one makes other secrets. */
  readonly edition?: number;
}

/** Half of the secrets stand in the file, half come from the environment. */
export function secretTable(options: SecretTableOptions): SecretTable {
  const { upstream, redis, edition = 1 } = options;
  const { hook = 'http://127.0.0.1:9', smtp = '127.0.0.1:9', collector = 'http://127.0.0.1:9' } = options;
  const env: Record<string, string> = {};
  let count = 0;
  const secret = () => `${MARK}${edition}-${++count}-padding`;
  const fromEnvironment = () => {
    const name = `SECRET_${count + 1}`;
    env[name] = secret();
    return `\${${name}}`;
  };
  const redisUser = { name: secret(), password: secret() };
  env['REDIS_PASSWORD'] = redisUser.password;
  const tests = () => ({
    headers: { 'X-Tenant': secret(), 'X-Key': { prefix: [fromEnvironment()], ignoreCase: true } },
    cookies: { session: { contains: secret() } },
    query: { key: { regex: `^${secret().replace('+', '\\+')}$` } },
  });
  const inUrl = () => encodeURIComponent(secret());
  const health = () => ({ path: '/healthz', headers: { Authorization: `Bearer ${secret()}` } });
  const config: TestConfig = {
    acting: { token: fromEnvironment() },
    backends: { main: { url: upstream, health: health() }, canary: { url: upstream } },
    routes: [
      { name: 'plain', match: tests(), split: { main: 1 } },
      { name: 'one', match: { and: tests(), not: [tests()] }, split: { main: 1 } },
      { name: 'other', match: { and: [tests()], not: tests() }, split: { main: 1 } },
      {
        name: 'several',
        match: [{ and: tests(), not: [tests()] }, { and: [tests()], not: tests() }, tests()],
        split: { main: 1 },
      },
      {
        name: 'all',
        split: { main: 1, canary: 1 },
        pin: 'user',
        request: { set: { 'X-Upstream-Key': fromEnvironment() }, add: { 'X-More': [secret(), secret()] } },
        response: { set: { 'X-Answer-Key': secret() }, add: { 'X-Others': fromEnvironment() } },
      },
    ],
    health: health(),
    alerts: {
      slack: { url: `${hook}/services/${inUrl()}` },
      webhook: { url: `${hook}/hooks/${inUrl()}?key=${inUrl()}`, headers: { 'X-Key': fromEnvironment() } },
      email: {
        server: `smtp://mailer:${inUrl()}@${smtp}`,
        tls: 'off',
        from: 'pointsman@example.com',
        to: 'team@example.com',
      },
    },
    pins: {
      user: {
        by: [{ header: 'X-User-Id' }, { cookie: 'uid' }, { bearerClaim: 'sub' }],
        issueCookie: { keys: [fromEnvironment(), fromEnvironment()] },
        store: 'redis',
        salt: secret(),
      },
    },
    redis: {
      url: `redis://${inUrl()}:${inUrl()}@${redis}`,
      username: redisUser.name,
      password: '${REDIS_PASSWORD}',
      sentinelPassword: secret(),
      keySecret: fromEnvironment(),
    },
    limits: { rates: { users: { by: { pin: 'user' }, rate: 1_000, store: 'redis' } } },
    debug: { token: fromEnvironment() },
    tracing: {
      endpoint: `${collector}/${inUrl()}/v1/traces`,
      headers: { Authorization: `Bearer ${secret()}` },
      sampleRatio: 1,
    },
  };
  return { config, env, redisUser };
}

/** Keys that the schema marks as secrets and the table leaves out. */
export function keysLeftOut(config: TestConfig): string[] {
  const filled = new Set<string>();
  const visit = (value: unknown, path: string): void => {
    if (typeof value === 'string') filled.add(path);
    else if (Array.isArray(value)) for (const item of value) visit(item, `${path}[]`);
    else if (typeof value === 'object' && value !== null) {
      for (const [key, inner] of Object.entries(value)) {
        visit(inner, path === '' ? key : `${path}.${key}`);
        visit(inner, path === '' ? key : `${path}.<name>`);
      }
    }
  };
  visit(config, '');
  return secretKeys().filter((key) => ![...filled].some((path) => path === key || path.startsWith(key)));
}

/** Spellings of a secret: as it is, in a URL, in base64, in JSON. */
export function leaksIn(text: string): string[] {
  const spellings = [
    MARK,
    encodeURIComponent(MARK),
    // At any of three offsets; the characters at either end depend on what stands around.
    ...[0, 1, 2].map((offset) =>
      Buffer.from(`${' '.repeat(offset)}${MARK}`)
        .toString('base64')
        .slice(offset === 0 ? 0 : 4, 12),
    ),
  ];
  return spellings.flatMap((spelling) => {
    const at = text.indexOf(spelling);
    return at === -1 ? [] : [text.slice(Math.max(0, at - 120), at + 60)];
  });
}
