/** Requests made of the words of a haproxy.cfg, and of what is nearly those words. */
import { unclosedQuote } from '../../src/routing/field-values.ts';
import type { SentRequest } from './side-by-side.ts';

export interface Vocabulary {
  readonly headers: readonly string[];
  readonly cookies: readonly string[];
  readonly parameters: readonly string[];
  readonly values: readonly string[];
  readonly paths: readonly string[];
}

/** @param more words that stand in pattern files, or are put together */
export function vocabularyOf(text: string, more: readonly string[] = []): Vocabulary {
  const rules = text
    .split('\n')
    .filter((line) => /^\s*(acl|use_backend|use-server|http-request|balance|stick|cookie)\b/.test(line));
  const named = (pattern: RegExp) => [
    ...new Set(rules.flatMap((line) => [...line.matchAll(pattern)].map((match) => match[1]!))),
  ];
  const words = [
    ...new Set([
      ...more,
      ...rules.flatMap((line) => line.trim().split(/\s+/).slice(2)),
      ...rules.flatMap((line) =>
        [...line.matchAll(/"([^"]*)"|'([^']*)'/g)].map((match) => match[1] ?? match[2]!),
      ),
    ]),
  ].filter((word) => /^[\x20-\x7e]{1,40}$/.test(word));
  return {
    headers: named(/f?hdr(?:_[a-z]+)?\(([A-Za-z0-9-]+)[),]/g).filter(
      (name) => !/^(host|cookie)$/i.test(name),
    ),
    cookies: named(/cook(?:_[a-z]+)?\(([A-Za-z0-9-]+)\)/g),
    parameters: named(/(?:urlp|url_param)\(([A-Za-z0-9-]+)\)/g),
    values: words.filter((word) => !word.startsWith('/') && !/^[{}!(]|\)$/.test(word)),
    paths: [
      '/',
      '/item/42',
      '/a.PNG',
      ...words.map((word) => word.replace(/^\^|\$$/g, '')).filter((word) => /^\/[\w./-]*$/.test(word)),
    ],
  };
}

/** Uniform in [0, 1), the same for the same seed. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function requestOf(words: Vocabulary, random: () => number): SentRequest {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const chance = (share: number) => random() < share;
  const value = () =>
    words.values.length === 0 ? 'x' : closed(varied(pick(words.values), () => pick(words.values), random));
  const headers: string[] = ['Host', pick(HOSTS) + (chance(0.2) ? pick([':8443', ':80', ':8080']) : '')];
  for (const name of words.headers) {
    if (!chance(2 / (words.headers.length + 2))) continue;
    for (let lines = chance(0.15) ? 2 : 1; lines > 0; lines--) {
      headers.push(chance(0.3) ? name.toLowerCase() : name, value());
    }
  }
  const pairs = words.cookies.flatMap((name) =>
    chance(0.4) ? [`${name}=${cookieValue(pick(words.values))}`] : [],
  );
  if (pairs.length > 0) headers.push('Cookie', ['other=1', ...pairs].join(chance(0.5) ? '; ' : ';'));
  const parameters = words.parameters.flatMap((name) =>
    chance(0.4) ? [`${name}=${encodeURIComponent(pick([...words.values, '', '2', 'blue', 'green']))}`] : [],
  );
  const query = parameters.length > 0 || chance(0.1) ? `?${[...parameters, 'z=9'].join('&')}` : '';
  return {
    method: chance(0.7) ? 'GET' : pick(['POST', 'PUT', 'DELETE', 'HEAD', 'OPTIONS', 'PATCH']),
    path: pathOf(pick(words.paths), random, pick) + query,
    headers,
    from: pick(['127.0.0.1', '127.0.0.1', '127.0.0.2', '127.0.0.16', '127.0.0.31', '127.0.0.32']),
  };
}

const HOSTS = ['service.test', 'www.example.com', 'WWW.Example.Com', 'shop.example.com', 'example.com'];

function pathOf(path: string, random: () => number, pick: <T>(list: readonly T[]) => T): string {
  if (random() < 0.6) return path;
  return pick([
    `${path}x`,
    `${path}/deep`,
    path.toUpperCase(),
    `/pre${path}`,
    path.slice(0, -1) || '/',
    `${path}.png`,
    `/a${path}/static/b`,
  ]);
}

/** HAProxy keeps a list together behind a quote that is not closed; Pointsman splits it. */
function closed(line: string): string {
  return line.includes(',') && unclosedQuote(line) < line.length ? line.replaceAll('"', '') : line;
}

function cookieValue(text: string): string {
  return text.replace(/[^\w.-]/g, '');
}

function varied(value: string, other: () => string, random: () => number): string {
  switch (Math.floor(random() * 24)) {
    case 0:
      return value.toUpperCase();
    case 1:
      return value.toLowerCase();
    case 2:
      return `${value}x`;
    case 3:
      return `x${value}`;
    case 4:
      return `${value}, ${other()}`;
    case 5:
      return `${other()},${value}`;
    case 6:
      return `"${value}"`;
    case 7:
      return `\t ${value} \t`;
    case 8:
      return '';
    case 9:
      return `${value};q=1`;
    case 10:
      return `"a,${value},b"`;
    case 11:
      return `,${value},,`;
    case 12:
      return `pre-${value}`;
    case 13:
      return `${value}.end`;
    case 14:
      return 'v12.7';
    default:
      return value;
  }
}
