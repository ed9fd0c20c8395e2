/** `resolvers` sections → how names are resolved. */
import { isIP } from 'node:net';
import type { ConfigInput } from '../config/schema.ts';
import { textsOf } from './proxies.ts';
import { parseCount, parseTime, writeDuration } from './quantities.ts';
import type { Report } from './report.ts';
import type { Section } from './sections.ts';
import type { Statement } from './statement.ts';
import type { Verdicts } from './verdict.ts';

type ResolverInput = NonNullable<ConfigInput['resolver']>;

const HOLDS: Readonly<Record<string, string>> = {
  nx: 'notFound',
  refused: 'refused',
  timeout: 'timeout',
  other: 'other',
};

/** @param used the section that servers refer to: only one can hold for all names */
export function readResolvers(
  sections: readonly Section[],
  used: ReadonlySet<string>,
  report: Report,
  verdicts: Verdicts,
): ResolverInput | undefined {
  let resolver: Record<string, unknown> | undefined;
  for (const { head, name, statements } of sections) {
    const takes = resolver === undefined && used.has(name);
    if (takes) resolver = {};
    if (takes) report.translated(head);
    else if (used.has(name))
      report.unsupported(head, 'a second set of name servers; give its domains to resolver.stubDomains');
    else report.translated(head, 'no server of the imported backends uses it');
    for (const statement of statements) {
      if (takes) readLine(statement, resolver!, report, verdicts);
      else report.translated(statement, 'see the head of its section');
    }
  }
  return resolver === undefined || Object.keys(resolver).length === 0
    ? undefined
    : (resolver as ResolverInput);
}

function readLine(
  statement: Statement,
  resolver: Record<string, unknown>,
  report: Report,
  verdicts: Verdicts,
): void {
  const [keyword, first = '', second = ''] = textsOf(statement);
  report.translated(statement);
  switch (keyword) {
    case 'nameserver':
      nameserver(statement, second, resolver, report);
      return;
    case 'parse-resolv-conf':
      report.translated(statement, 'the default');
      return;
    case 'hold':
      hold(statement, first, second, resolver, report, verdicts);
      return;
    case 'timeout': {
      const ms = time(statement, second, verdicts);
      if (ms === undefined) return;
      if (first === 'retry') resolver['timeout'] = writeDuration(Math.min(60_000, Math.max(1, ms)));
      else {
        resolver['minTtl'] = writeDuration(Math.min(1_000, Math.max(1, ms)));
        resolver['maxTtl'] = writeDuration(Math.max(1, ms));
        report.approximated(statement, 'the longest that an answer is used; a shorter TTL counts');
      }
      return;
    }
    case 'resolve_retries':
      resolver['attempts'] = Math.min(10, Math.max(1, parseCount(first) ?? 3));
      return;
    case 'accepted_payload_size':
      report.translated(statement, 'answers of any size are taken, over TCP where need be');
      return;
    default:
      report.unsupported(statement, 'is no setting of a resolver');
  }
}

function nameserver(
  statement: Statement,
  address: string,
  resolver: Record<string, unknown>,
  report: Report,
): void {
  const text = address.replace(/^(udp|udp4|udp6|tcp|tcp4|tcp6|ipv4|ipv6)@/, '');
  if (/^tcp/.test(address)) report.approximated(statement, 'asked by UDP first, and by TCP for long answers');
  const match = /^\[?([0-9A-Fa-f:.]+?)\]?(?::(\d{1,5}))?$/.exec(text);
  const family = match === null ? 0 : isIP(match[1]!);
  if (family === 0) {
    report.unsupported(statement, `'${address}' as a name server; write its IP address`);
    return;
  }
  resolver['nameservers'] ??= [];
  const servers = resolver['nameservers'] as string[];
  if (servers.length === 3) {
    report.approximated(statement, 'three name servers are asked at most');
    return;
  }
  const host = family === 6 ? `[${match![1]}]` : match![1]!;
  servers.push(match![2] === undefined || match![2] === '53' ? host : `${host}:${match![2]}`);
}

function hold(
  statement: Statement,
  status: string,
  period: string,
  resolver: Record<string, unknown>,
  report: Report,
  verdicts: Verdicts,
): void {
  const ms = time(statement, period, verdicts);
  if (ms === undefined) return;
  const key = HOLDS[status];
  if (key !== undefined) resolver['hold'] = { ...(resolver['hold'] as object), [key]: writeDuration(ms) };
  else if (status === 'valid') report.translated(statement, 'has no effect on servers in HAProxy either');
  else if (status === 'obsolete' && ms === 0) report.translated(statement);
  else report.approximated(statement, 'an address that is gone from an answer gets no new requests at once');
}

function time(statement: Statement, text: string, verdicts: Verdicts): number | undefined {
  const ms = parseTime(text);
  if (ms === undefined) {
    verdicts.refuse(
      statement,
      statement.words.at(-1)!.column,
      `expects a time such as 500ms or 30s, not '${text}'`,
    );
  }
  return ms;
}
