/** Cookies, stick tables and hashes that keep users on a server → pins. */
import type { ConfigInput } from '../config/schema.ts';
import { lastOf, type ProxySection, statementsOf, textsOf } from './proxies.ts';
import { parseBytes, parseTime, writeDuration } from './quantities.ts';
import type { Report } from './report.ts';
import { parseSample } from './sample.ts';
import type { Statement } from './statement.ts';

export type PinInput = NonNullable<ConfigInput['pins']>[string];
type Source = PinInput['by'][number];

export interface Persistence {
  readonly pin: PinInput | undefined;
  /** The hash of a user decides, not the turn. */
  readonly hashes: boolean;
}

const HASHED = 'the same hash on every replica, though not that of HAProxy: users move once';
const REMEMBERED =
  'in the memory of one process; add Redis and store: redis for several. What HAProxy remembers is not carried over, and the hash of the user chooses first';

export function readPersistence(
  proxy: ProxySection,
  tables: ReadonlyMap<string, ProxySection>,
  report: Report,
): Persistence {
  const cookie = readCookie(proxy, report);
  const table = readTable(proxy, tables, report);
  const hash = readHash(proxy, report);
  const pin = cookie ?? table ?? hash;
  return { pin, hashes: pin !== undefined };
}

function readCookie(proxy: ProxySection, report: Report): PinInput | undefined {
  const statement = lastOf(proxy, 'cookie');
  if (statement === undefined) return undefined;
  const [, name = '', ...options] = textsOf(statement);
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/.test(name)) {
    report.unsupported(statement, `'${name}' as the name of a cookie`);
    return undefined;
  }
  if (options.includes('insert')) {
    report.approximated(
      statement,
      'a signed cookie with a random id takes the place of the name of the server; set POINTSMAN_COOKIE_KEY to at least 16 characters, and in by what identifies your users. Cookies of HAProxy are replaced',
    );
    const maxlife = options[options.indexOf('maxlife') + 1];
    const life = options.includes('maxlife') ? parseTime(maxlife ?? '', 's') : undefined;
    return {
      by: [{ header: 'X-User-Id' }],
      issueCookie: {
        name,
        keys: ['${POINTSMAN_COOKIE_KEY}'],
        ...(life === undefined
          ? {}
          : { ttl: writeDuration(Math.min(400 * 86_400_000, Math.max(60_000, life))) }),
        ...(options.includes('secure') ? {} : { secure: false }),
      },
    };
  }
  report.approximated(
    statement,
    `users are pinned by the value of the cookie, which is passed on as it is; ${HASHED}`,
  );
  return { by: [{ cookie: name }] };
}

function readTable(
  proxy: ProxySection,
  tables: ReadonlyMap<string, ProxySection>,
  report: Report,
): PinInput | undefined {
  const rules = statementsOf(proxy, 'stick').filter(({ words }) =>
    ['on', 'match', 'store-request'].includes(words[1]?.text ?? ''),
  );
  for (const rule of statementsOf(proxy, 'stick')) {
    if (!rules.includes(rule)) {
      report.unsupported(
        rule,
        'what a response says cannot be remembered; pin by a field or cookie of requests',
      );
    }
  }
  const by: Source[] = [];
  let table = lastOf(proxy, 'stick-table');
  for (const rule of rules) {
    const [, , expression = '', ...rest] = textsOf(rule);
    const source = sourceOf(expression);
    const condition = rest.indexOf('if') !== -1 || rest.indexOf('unless') !== -1;
    if (source === undefined || condition) {
      const why = condition
        ? 'a pin under a condition'
        : `a pin by ${expression}; there are fields, cookies and the address`;
      report.unsupported(rule, why);
      continue;
    }
    if (!by.some((other) => JSON.stringify(other) === JSON.stringify(source))) by.push(source);
    const other = rest.indexOf('table');
    if (other !== -1) {
      const owner = tables.get(rest[other + 1] ?? '');
      table = owner === undefined ? table : lastOf(owner, 'stick-table');
    }
    report.approximated(rule, `pins: ${REMEMBERED}`);
  }
  if (table !== undefined && by.length > 0) report.translated(table, 'ttl and maxEntries of the pin');
  else if (table !== undefined) report.approximated(table, 'no rule pins users by it; counters are not kept');
  return by.length === 0 ? undefined : { by, store: 'memory', ...limitsOf(table) };
}

function limitsOf(table: Statement | undefined): Pick<PinInput, 'ttl' | 'maxEntries'> {
  if (table === undefined) return {};
  const words = textsOf(table);
  const after = (key: string) => (words.includes(key) ? words[words.indexOf(key) + 1] : undefined);
  const expire = parseTime(after('expire') ?? '');
  const size = parseBytes(after('size') ?? '');
  return {
    ...(expire === undefined ? {} : { ttl: writeDuration(Math.max(1_000, expire)) }),
    ...(size === undefined ? {} : { maxEntries: Math.min(10_000_000, Math.max(1, size)) }),
  };
}

function readHash(proxy: ProxySection, report: Report): PinInput | undefined {
  const statement = lastOf(proxy, 'balance');
  const type = lastOf(proxy, 'hash-type');
  if (type !== undefined) report.approximated(type, HASHED);
  if (statement === undefined) return undefined;
  const [, algorithm = '', expression = ''] = textsOf(statement);
  const named = /^hdr\(([^(),]+)\)$/.exec(algorithm);
  let source: Source | undefined;
  if (named !== null) source = { header: named[1]! };
  else if (algorithm === 'source') source = { clientAddress: {} };
  else if (algorithm === 'hash') source = sourceOf(expression);
  if (source === undefined) return undefined;
  report.approximated(statement, `users are pinned: ${HASHED}`);
  return { by: [source] };
}

function sourceOf(expression: string): Source | undefined {
  const sample = parseSample(expression);
  if (typeof sample === 'string' || sample.converters.length > 0) return undefined;
  const { name, args } = sample.fetch;
  const [argument = ''] = args;
  if (name === 'src' && args.length === 0) return { clientAddress: {} };
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/.test(argument) || args.length !== 1) return undefined;
  if (['hdr', 'req.hdr', 'req.fhdr'].includes(name)) return { header: argument };
  return ['cook', 'req.cook'].includes(name) ? { cookie: argument } : undefined;
}
