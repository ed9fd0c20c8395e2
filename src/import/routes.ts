/** Rows → routes with names, splits, pins, header rules and timeouts. */
import type { ConfigInput } from '../config/schema.ts';
import { atom } from './atoms.ts';
import type { Backends, Member } from './backends.ts';
import { NOWHERE } from './frontends.ts';
import type { RulesInput } from './header-edits.ts';
import type { Condition } from './logic.ts';
import { matchOf } from './match-of.ts';
import { freeName } from './names.ts';
import type { Persistence } from './persistence.ts';
import type { Proxies, ProxySection } from './proxies.ts';
import { type Rational, ratio, times, wholeNumbers } from './rational.ts';
import type { Report } from './report.ts';
import type { Row, Share } from './rows.ts';
import type { Server } from './servers.ts';
import type { Statement } from './statement.ts';
import type { RouteTimeouts } from './timeouts.ts';

export type RouteInput = ConfigInput['routes'][number];

/** What a row takes over from the HAProxy backend that it is named after. */
export interface BackendPlan {
  readonly proxy: ProxySection;
  readonly servers: readonly Server[];
  readonly persistence: Persistence;
  readonly request: RulesInput | undefined;
  readonly response: RulesInput | undefined;
  readonly timeouts: RouteTimeouts | undefined;
}

export interface BuiltRoute {
  readonly route: RouteInput;
  readonly statements: readonly Statement[];
}

/** @param pinName name under which the pin of a HAProxy backend stands; undefined when it has none */
export function buildRoutes(
  rows: readonly Row[],
  plans: ReadonlyMap<string, BackendPlan>,
  backends: Backends,
  proxies: Proxies,
  pinName: (backend: string) => string | undefined,
  groupHeader: string | undefined,
  report: Report,
): readonly BuiltRoute[] {
  const names = nameRows(rows);
  return rows.map((row, index) => {
    const owner = ownerOf(row);
    const plan = plans.get(owner);
    const { split, exact } = splitOf(row.shares, plans, backends);
    if (!exact)
      for (const statement of row.statements)
        report.approximated(statement, 'weights are rounded to a millionth');
    const match = index === rows.length - 1 ? undefined : matchOf(grouped(row.condition, groupHeader));
    const several = Object.values(split).filter((weight) => weight > 0).length > 1;
    const pin = several ? pinName(owner) : undefined;
    const route: RouteInput = {
      name: names[index]!,
      ...(match === undefined ? {} : { match }),
      split,
      ...(pin === undefined ? {} : { pin }),
      ...(several ? { shield: false } : {}),
      ...(plan?.request === undefined ? {} : { request: plan.request }),
      ...(plan?.response === undefined ? {} : { response: plan.response }),
      ...(plan?.timeouts === undefined ? {} : { timeouts: plan.timeouts }),
    };
    const head = proxies.backends.get(owner)?.head;
    return { route, statements: [...new Set([...row.statements, ...(head === undefined ? [] : [head])])] };
  });
}

/** The backend that a row is named after: the one that it is all about, else the one of most requests. */
function ownerOf(row: Row): string {
  const serving = row.shares.filter(({ backup }) => !backup);
  const [first] = serving.length > 0 ? serving : row.shares;
  return first!.target.backend;
}

function isPure({ shares }: Row): boolean {
  return shares.filter(({ backup }) => !backup).length === 1 && shares[0]!.target.server === undefined;
}

/** Rows that are one backend's whole take its name before those that are a part of it. */
function nameRows(rows: readonly Row[]): string[] {
  const names = new Array<string>(rows.length);
  const taken = new Set<string>();
  const give = (index: number, wanted: string) => {
    const name = freeName(wanted, (other) => taken.has(other));
    taken.add(name);
    names[index] = name;
  };
  for (const [index, row] of rows.entries()) {
    if (isPure(row)) give(index, ownerOf(row) === NOWHERE ? 'no-backend' : ownerOf(row));
  }
  for (const [index, row] of rows.entries()) {
    if (names[index] !== undefined) continue;
    const server = row.shares.find(({ target }) => target.server !== undefined)?.target;
    if (server !== undefined) give(index, `${server.backend}-${server.server}`);
    else give(index, mixedName(row, index === rows.length - 1, taken));
  }
  return names;
}

/** Of a split by chance: the part that has no row of its own, and in the last row the larger one. */
function mixedName(row: Row, last: boolean, taken: ReadonlySet<string>): string {
  const serving = row.shares.filter(({ backup }) => !backup);
  const bySize = [...serving].sort((a, b) => compare(b.weight, a.weight));
  const order = last ? bySize : serving;
  return (order.find(({ target }) => !taken.has(target.backend)) ?? order[0]!).target.backend || 'no-backend';
}

function compare(a: Rational, b: Rational): number {
  const difference = a.n * b.d - b.n * a.d;
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

function splitOf(
  shares: readonly Share[],
  plans: ReadonlyMap<string, BackendPlan>,
  backends: Backends,
): { split: Record<string, number>; exact: boolean } {
  const parts: { name: string; weight: Rational }[] = [];
  for (const { target, weight, backup } of shares) {
    const members = membersOf(target.backend, target.server, plans, backends, backup);
    const total = members.reduce((sum, member) => sum + member.weight, 0);
    for (const member of members) {
      const part = total === 0 ? ratio(0, 1) : times(weight, ratio(member.weight, total));
      parts.push({ name: member.name, weight: part });
    }
  }
  // One backend alone keeps the weights that people know it by.
  const alone =
    shares.length === 1
      ? membersOf(shares[0]!.target.backend, shares[0]!.target.server, plans, backends, false)
      : undefined;
  const { weights, exact } =
    alone === undefined
      ? wholeNumbers(parts.map(({ weight }) => weight))
      : { weights: alone.map(({ weight }) => weight), exact: true };
  const split: Record<string, number> = {};
  for (const [i, { name }] of parts.entries()) split[name] = (split[name] ?? 0) + weights[i]!;
  return { split, exact };
}

function membersOf(
  backend: string,
  server: string | undefined,
  plans: ReadonlyMap<string, BackendPlan>,
  backends: Backends,
  backup: boolean,
): readonly Member[] {
  const plan = plans.get(backend);
  if (plan === undefined) return [backends.nowhere()];
  const { proxy, servers, persistence } = plan;
  const single = servers.find(({ name }) => name === server);
  if (single !== undefined) return [backends.memberOf(proxy, single)];
  return backends.membersOf(proxy, servers, persistence.hashes, backup);
}

/** Tests of the group's field that `group` can say. */
function grouped(condition: Condition, groupHeader: string | undefined): Condition {
  if (groupHeader === undefined) return condition;
  return condition.map((term) =>
    term.map((literal) => {
      const values = groupValues(literal.atom, groupHeader);
      return values === undefined ? literal : { ...literal, atom: atom({ kind: 'group', values }) };
    }),
  );
}

/** The values of a test that a whole value of the field, in any case, is one of these; undefined for any other test. */
export function groupValues(
  test: Condition[number][number]['atom'],
  groupHeader: string,
): readonly string[] | undefined {
  if (test.kind !== 'headers' || test.name.toLowerCase() !== groupHeader.toLowerCase()) return undefined;
  const { exact, ignoreCase, list, ...rest } = test.comparing;
  if (exact === undefined || ignoreCase !== true || list !== true || Object.keys(rest).length > 0)
    return undefined;
  const values = [exact].flat();
  return values.every((value) => value !== '' && value.trim() === value && value.length <= 256)
    ? values
    : undefined;
}
