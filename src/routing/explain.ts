/** The decision on a request in words and as data, by the very steps that traffic runs through. */
import { formatUrl, serversOf } from '../config/schema.ts';
import { identifyUser } from '../pinning/identity.ts';
import { BUCKETS, type BucketRange } from './bucket.ts';
import { type Decision, decide } from './decide.ts';
import { matchRoute, mismatch, type RequestFacts } from './match.ts';
import { everyBackend } from './split.ts';
import type { Route, RoutingTable } from './table.ts';

export interface Explanation {
  /** Name of the row that matched. */
  readonly route: string;
  /** Weights by backend, as configured. */
  readonly split: Readonly<Record<string, number>>;
  /** Null when the draw is left to the weights. */
  readonly backend: string | null;
  readonly pin: {
    readonly name: string;
    readonly store: string;
    readonly identified: boolean;
    /** 0–9999; null without a user. */
    readonly bucket: number | null;
    /** Where the backends of the split lie; null where rendezvous hashing decides. */
    readonly buckets: Readonly<Record<string, string>> | null;
  } | null;
  readonly endpoint: {
    readonly url: string;
    readonly balance: string;
  } | null;
  readonly reasons: readonly string[];
}

/**
 * @param user id given by hand; otherwise it is looked for in the request, as the pin says, and as if it came from a
 *             trusted peer
 */
export function explainRequest(table: RoutingTable, facts: RequestFacts, user?: string): Explanation {
  const route = matchRoute(table, facts);
  const reasons: string[] = [describeGroup(table, facts)];
  for (const other of table.routes.slice(0, route.index)) {
    reasons.push(`route ${other.name} does not match: ${mismatch(other.match!, facts)}`);
  }
  reasons.push(
    `route ${route.name} matches${route.match === undefined ? ': it has no match and takes everything' : ''}`,
  );
  const identified =
    route.pin === undefined ? undefined : (user ?? identifyUser(route.pin, facts.rawHeaders, '', true));
  const decision = decide(route, identified, undefined, everyBackend, undefined);
  const backend = decision.index === -1 ? null : route.split.names[decision.index]!;
  reasons.push(...describeDecision(route, decision, identified));
  const target = backend === null ? undefined : table.config.backends[backend];
  if (target !== undefined) {
    reasons.push(
      `endpoint: one of those that ${serversOf(target)
        .map(({ url }) => url.host)
        .join(' and ')} resolves to and that are healthy, by ${target.balance}`,
    );
  }
  return {
    route: route.name,
    split: Object.fromEntries(route.split.names.map((name, i) => [name, route.split.weights[i]!])),
    backend,
    pin: describePin(route, decision, identified),
    endpoint:
      target === undefined
        ? null
        : {
            url: serversOf(target)
              .map(({ url }) => formatUrl(url))
              .join(', '),
            balance: target.balance,
          },
    reasons,
  };
}

function describeGroup(table: RoutingTable, facts: RequestFacts): string {
  const field = table.config.groupHeader;
  if (facts.groups !== undefined) return `${field} names several groups: ${facts.groups.join(', ')}`;
  return facts.group === '' ? `no group in ${field}` : `group ${facts.group}, from ${field}`;
}

function describeDecision(route: Route, decision: Decision, user: string | undefined): string[] {
  const { names, weights, shares, layout } = route.split;
  if (decision.source === 'bucket') {
    const name = names[decision.index]!;
    const range =
      layout.kind === 'ranges' ? layout.ranges.find(({ index }) => index === decision.index) : undefined;
    const where = range === undefined ? 'by weighted rendezvous' : `${name} has ${describeRange(range)}`;
    return [
      `bucket ${decision.bucket} of ${BUCKETS}: ${where}`,
      `backend ${name}; a remembered pin would come before the bucket`,
    ];
  }
  const reasons: string[] = [];
  if (route.pin !== undefined && user === undefined) {
    reasons.push(`pin ${route.pin.name}: the request names no user, so the weights decide`);
  }
  if (decision.index !== -1) {
    reasons.push(`backend ${names[decision.index]}: the only one with a weight`);
  } else {
    const total = shares.reduce((sum, share) => sum + share, 0);
    const parts = names.map((name, i) =>
      shares[i] === 0 && weights[i]! > 0
        ? `${name} as a backup`
        : `${name} ${((100 * shares[i]!) / total).toFixed(2)} %`,
    );
    reasons.push(`backend drawn by weight: ${parts.join(', ')}`);
  }
  return reasons;
}

function describePin(route: Route, decision: Decision, user: string | undefined): Explanation['pin'] {
  const { pin, split } = route;
  if (pin === undefined) return null;
  return {
    name: pin.name,
    store: pin.config.store,
    identified: user !== undefined,
    bucket: decision.bucket === -1 ? null : decision.bucket,
    buckets:
      split.layout.kind === 'ranges'
        ? Object.fromEntries(
            split.layout.ranges.map((range) => [split.names[range.index]!, describeRange(range)]),
          )
        : null,
  };
}

function describeRange(range: BucketRange): string {
  return range.from === range.to ? 'none' : `${range.from}–${range.to - 1}`;
}
