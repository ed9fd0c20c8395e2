/** Rules between keys of the resolver, which no schema can say. */
import { childOf, type LocatedNode, type LocatedScalar } from './located.ts';
import { type Fault, quote } from './problems.ts';
import { parseDuration } from './units.ts';

const DEFAULT_CLUSTER_DOMAIN = 'cluster.local';

export function resolverRuleFaults(root: LocatedNode): Fault[] {
  const resolver = childOf(root, 'resolver');
  return resolver === undefined ? [] : [...timeToLiveFaults(resolver), ...stubDomainFaults(resolver)];
}

function timeToLiveFaults(resolver: LocatedNode): Fault[] {
  const min = textOf(childOf(resolver, 'minTtl'));
  const max = textOf(childOf(resolver, 'maxTtl'));
  const at = max ?? min;
  const least = parseDuration(min?.value ?? '1s');
  const most = parseDuration(max?.value ?? '30s');
  if (at === undefined || least === undefined || most === undefined || least <= most) return [];
  const path = ['resolver', max === undefined ? 'minTtl' : 'maxTtl'];
  return [{ offset: at.offset, path, message: 'minTtl is longer than maxTtl; make maxTtl at least as long' }];
}

/** Two lists of servers for one domain: only one of them could ever be asked. */
function stubDomainFaults(resolver: LocatedNode): Fault[] {
  const stubs = childOf(resolver, 'stubDomains');
  if (stubs?.kind !== 'map') return [];
  const faults: Fault[] = [];
  const cluster = textOf(childOf(resolver, 'clusterDomain'))?.value ?? DEFAULT_CLUSTER_DOMAIN;
  const spelling = new Map<string, string>();
  for (const [domain, { keyOffset }] of stubs.entries) {
    const key = plain(domain);
    const path = ['resolver', 'stubDomains', domain];
    const first = spelling.get(key);
    if (key === plain(cluster)) {
      const message =
        "is the cluster domain, whose names go to the cluster's own servers; list those under nameservers, or name the domain of the cluster in clusterDomain";
      faults.push({ offset: keyOffset, path, message });
    } else if (first !== undefined) {
      const message = `is the same domain as ${quote(first)} above; keep one of them`;
      faults.push({ offset: keyOffset, path, message });
    } else {
      spelling.set(key, domain);
    }
  }
  return faults;
}

function plain(domain: string): string {
  return domain.toLowerCase().replace(/\.$/, '');
}

function textOf(node: LocatedNode | undefined): (LocatedScalar & { readonly value: string }) | undefined {
  return node?.kind === 'scalar' && typeof node.value === 'string'
    ? (node as LocatedScalar & { readonly value: string })
    : undefined;
}
