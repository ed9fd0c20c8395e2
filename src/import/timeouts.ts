/** `timeout` lines → timeouts of the configuration, and of rows whose backend has others. */
import type { ConfigInput } from '../config/schema.ts';
import { type ProxySection, statementsOf, textsOf } from './proxies.ts';
import { parseTime, writeDuration } from './quantities.ts';
import type { Report } from './report.ts';
import type { Statement } from './statement.ts';
import type { Verdicts } from './verdict.ts';

export type TimeoutsInput = NonNullable<ConfigInput['timeouts']>;
export type RouteTimeouts = NonNullable<ConfigInput['routes'][number]['timeouts']>;

const NAMES: readonly string[] = [
  'check',
  'client',
  'client-fin',
  'connect',
  'http-keep-alive',
  'http-request',
  'queue',
  'server',
  'server-fin',
  'tarpit',
  'tunnel',
];

/** Longest that the configuration takes, where it is bounded. */
const LONGEST: Readonly<Record<string, number>> = {
  connect: 300_000,
  queue: 3_600_000,
  'http-request': 3_600_000,
  'http-keep-alive': 86_400_000,
  check: 600_000,
};

/** Ten years; HAProxy's own limit is below. */
const FOREVER = 3650 * 86_400_000;

export interface ProxyTimeouts {
  /** Milliseconds by name; 0 is no timeout, as one that is not set. */
  readonly of: (name: string) => number | undefined;
}

export function readTimeouts(proxy: ProxySection, report: Report, verdicts: Verdicts): ProxyTimeouts {
  const found = new Map<string, { ms: number; statement: Statement }>();
  for (const statement of statementsOf(proxy, 'timeout')) {
    const [, name = '', text = ''] = textsOf(statement);
    if (!NAMES.includes(name)) {
      verdicts.refuse(
        statement,
        statement.words[1]?.column ?? 1,
        `'timeout' supports ${NAMES.join(', ')}, not '${name}'`,
      );
      continue;
    }
    const ms = parseTime(text);
    if (ms === undefined) {
      const at = statement.words[2]?.column ?? statement.words[0]!.column;
      verdicts.refuse(
        statement,
        at,
        `'timeout ${name}' expects a time such as 500ms, 30s or 5m, not '${text}'`,
      );
      continue;
    }
    if (/-fin$|tarpit/.test(name)) report.approximated(statement, 'there is no such timeout; idle covers it');
    else if (ms === 0) report.approximated(statement, 'no timeout: the default of Pointsman stays');
    else if (ms > (LONGEST[name] ?? FOREVER)) {
      report.approximated(statement, `the longest is ${writeDuration(LONGEST[name] ?? FOREVER)}`);
    } else report.translated(statement);
    found.set(name, { ms: Math.min(ms, LONGEST[name] ?? FOREVER), statement });
  }
  return { of: (name) => found.get(name)?.ms || undefined };
}

/** Those of the frontend, and of the first backend for what backends decide. */
export function timeoutsOf(
  frontend: ProxyTimeouts,
  backends: readonly ProxyTimeouts[],
  warn: (what: string) => void,
): TimeoutsInput {
  const most = (name: string) => {
    const values = new Set(backends.map((backend) => backend.of(name)).filter((ms) => ms !== undefined));
    if (values.size > 1) warn(`timeout ${name} differs between backends; the longest holds for all`);
    return values.size === 0 ? undefined : Math.max(...values);
  };
  const server = mostCommon(backends.map((backend) => backend.of('server')));
  const idle = Math.max(frontend.of('client') ?? 0, server ?? 0) || undefined;
  const given = {
    connect: most('connect'),
    responseHead: server,
    idle,
    requestHead: frontend.of('http-request') ?? frontend.of('client'),
    keepAlive: frontend.of('http-keep-alive') ?? frontend.of('http-request') ?? frontend.of('client'),
    queue: most('queue') ?? most('connect'),
    tunnel: most('tunnel'),
  };
  return Object.fromEntries(
    Object.entries(given).flatMap(([name, ms]) => {
      if (ms === undefined) return [];
      const longest = { requestHead: 3_600_000, keepAlive: 86_400_000, queue: 3_600_000 }[name] ?? FOREVER;
      return [[name, writeDuration(Math.min(ms, longest))]];
    }),
  ) as TimeoutsInput;
}

/** What a row needs of its own; undefined when the common ones do. */
export function routeTimeouts(
  backend: ProxyTimeouts,
  frontend: ProxyTimeouts,
  common: TimeoutsInput,
): RouteTimeouts | undefined {
  const server = backend.of('server');
  if (server === undefined || writeDuration(server) === common.responseHead) return undefined;
  const idle = writeDuration(Math.max(server, frontend.of('client') ?? 0));
  return { responseHead: writeDuration(server), ...(idle === common.idle ? {} : { idle }) };
}

function mostCommon(values: readonly (number | undefined)[]): number | undefined {
  const counts = new Map<number, number>();
  // Between equals that of the last row, where most requests go.
  for (const value of [...values].reverse())
    if (value !== undefined) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a)[0]?.[0];
}
