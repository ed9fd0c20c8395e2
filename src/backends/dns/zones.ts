/** Which servers are asked for a name, as with the stub domains of kube-dns and CoreDNS; pure. */

import type { ResolverConfig } from '../../config/schema.ts';
import { type NameServer, parseNameServer } from '../resolv-conf.ts';

export interface Zones {
  /** Of the domain of the cluster, and of whatever no other list is for. */
  readonly cluster: readonly NameServer[];
  /** Of names outside of the cluster domain and of the stub domains; undefined: those of the cluster. */
  readonly upstream: readonly NameServer[] | undefined;
  readonly clusterDomain: string;
  /** By domain in lower case, without the trailing dot. */
  readonly stubs: ReadonlyMap<string, readonly NameServer[]>;
}

type ZoneConfig = Pick<
  ResolverConfig,
  'nameservers' | 'stubDomains' | 'upstreamNameservers' | 'clusterDomain'
>;

/** @param fallback the servers of resolv.conf */
export function zonesOf(config: ZoneConfig, fallback: readonly NameServer[]): Zones {
  const stubs = Object.entries(config.stubDomains).map(
    ([domain, servers]) => [plain(domain), parsed(servers)] as const,
  );
  return {
    cluster: config.nameservers === undefined ? fallback : parsed(config.nameservers),
    upstream: config.upstreamNameservers === undefined ? undefined : parsed(config.upstreamNameservers),
    clusterDomain: plain(config.clusterDomain),
    stubs: new Map(stubs),
  };
}

/** The most specific domain that the name is in decides; `notcorp.example` is not in `corp.example`. */
export function serversFor(
  name: string,
  { cluster, upstream, clusterDomain, stubs }: Zones,
): readonly NameServer[] {
  for (let domain = plain(name); domain !== ''; domain = parentOf(domain)) {
    if (domain === clusterDomain) return cluster;
    const servers = stubs.get(domain);
    if (servers !== undefined) return servers;
  }
  return upstream ?? cluster;
}

function parentOf(domain: string): string {
  const dot = domain.indexOf('.');
  return dot === -1 ? '' : domain.slice(dot + 1);
}

function plain(domain: string): string {
  return domain.toLowerCase().replace(/\.$/, '');
}

function parsed(servers: readonly string[]): NameServer[] {
  return servers.map(parseNameServer).filter((server) => server !== undefined);
}
