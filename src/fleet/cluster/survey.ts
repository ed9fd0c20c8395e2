/** Takes one survey: lists of five kinds, the ConfigMaps of proxies one by one, and the proxies themselves. */

import { askProxies, proxyTargets } from '../ask-proxies.ts';
import { mapBounded } from '../bounded.ts';
import type { ConfigMapFacts, Gap, ProxyFacts, RepositoryFacts, Survey } from '../facts.ts';
import { buildFleet, type FleetView } from '../model.ts';
import type { FleetSettings } from '../settings.ts';
import { ClusterFailure } from './failure.ts';
import { listAll, type Reader } from './list.ts';
import { configMap, deployment, Interner, pod, replicaSet, service, slice } from './project.ts';
import { CONFIG_MAP, pathOf, WATCHED, type WatchedKind } from './resources.ts';

/** `direct`: at the addresses of the pods; `off`: not at all. */
export type ProxyAccess = 'direct' | 'off';

export interface SurveyOptions {
  readonly cluster: string;
  /** Empty: all. */
  readonly namespaces: readonly string[];
  readonly settings: FleetSettings;
  readonly proxies: ProxyAccess;
  readonly repository: RepositoryFacts | undefined;
  readonly now: () => number;
  readonly signal: AbortSignal;
}

export const PROJECTIONS = {
  Service: service,
  EndpointSlice: (object: unknown) => slice(object),
  Deployment: deployment,
  ReplicaSet: replicaSet,
  Pod: pod,
} as const;

export type Facts<K extends WatchedKind> = ReturnType<(typeof PROJECTIONS)[K]>;

export type Lists = { readonly [K in WatchedKind]: Facts<K>[] };

export function selectorFor(kind: WatchedKind, settings: FleetSettings): string | undefined {
  return kind === 'Service' ? settings.selector : undefined;
}

/** Lists of one server at a time: pages of 500 pods are some MiB each. */
const LISTS_AT_ONCE = 2;
const GETS_AT_ONCE = 16;

/** @throws ClusterFailure when not even Services could be listed anywhere */
export async function takeSurvey(reader: Reader, options: SurveyOptions): Promise<Survey> {
  const { settings, signal } = options;
  const lists: Lists = { Service: [], EndpointSlice: [], Deployment: [], ReplicaSet: [], Pod: [] };
  const gaps: Gap[] = [];
  const failures: ClusterFailure[] = [];
  const scopes = options.namespaces.length === 0 ? [''] : options.namespaces;
  const interner = new Interner();
  const list = async ({ namespace, kind }: { readonly namespace: string; readonly kind: WatchedKind }) => {
    try {
      const request = { resource: WATCHED[kind], namespace, selector: selectorFor(kind, settings) };
      const { items } = await listAll<unknown>(reader, request, signal, (item) =>
        PROJECTIONS[kind](item, interner),
      );
      for (const item of items) (lists[kind] as unknown[]).push(item);
    } catch (error) {
      if (!(error instanceof ClusterFailure)) throw error;
      failures.push(error);
      gaps.push({ kind, namespace, message: error.message });
    }
  };
  // Services first: where not even they can be listed, to ask for the rest would only take as long again.
  await mapBounded(
    scopes.map((namespace) => ({ namespace, kind: 'Service' as const })),
    LISTS_AT_ONCE,
    list,
  );
  if (gaps.length === scopes.length) throw worst(failures);
  const others = (Object.keys(WATCHED) as WatchedKind[]).filter((kind) => kind !== 'Service');
  await mapBounded(
    scopes.flatMap((namespace) => others.map((kind) => ({ namespace, kind }))),
    LISTS_AT_ONCE,
    list,
  );
  return await completeSurvey(reader, lists, gaps, options);
}

/** Credentials and reachability explain all the rest. */
function worst(failures: readonly ClusterFailure[]): ClusterFailure {
  return (
    failures.find(({ status }) => status === 401) ??
    failures.find(({ status }) => status === 0) ??
    failures[0]!
  );
}

/** Adds what is looked up one by one: ConfigMaps and live tables. */
export async function completeSurvey(
  reader: Reader,
  lists: Lists,
  gaps: readonly Gap[],
  options: SurveyOptions,
): Promise<Survey> {
  const { settings, signal } = options;
  const bare = surveyOf(lists, gaps, [], [], options);
  const fleet = buildFleet(bare, settings);
  const wanted = configMapNames(fleet);
  const [maps, proxies] = await Promise.all([
    getConfigMaps(reader, wanted, signal),
    options.proxies === 'direct' ? askProxies(proxyTargets(fleet, settings), settings.proxy, signal) : [],
  ]);
  return surveyOf(lists, [...gaps, ...maps.gaps], maps.found, proxies, options);
}

export function surveyOf(
  lists: Lists,
  gaps: readonly Gap[],
  configMaps: readonly ConfigMapFacts[],
  proxies: readonly ProxyFacts[],
  options: Pick<SurveyOptions, 'cluster' | 'namespaces' | 'proxies' | 'repository' | 'now'>,
): Survey {
  return {
    cluster: options.cluster,
    at: options.now(),
    namespaces: options.namespaces,
    services: lists.Service,
    slices: lists.EndpointSlice,
    deployments: lists.Deployment,
    replicaSets: lists.ReplicaSet,
    pods: lists.Pod,
    configMaps,
    proxies,
    proxiesSkipped: options.proxies === 'off' ? 'proxies were not asked for their live tables' : '',
    gaps,
    repository: options.repository,
  };
}

/** `namespace/name` of the ConfigMaps that proxies mount. */
export function configMapNames(fleet: FleetView): string[] {
  const names = new Set<string>();
  for (const { proxy } of fleet.services) {
    const [deployment] = proxy.deployments;
    if (deployment !== undefined && proxy.table !== undefined)
      names.add(`${deployment.namespace}/${proxy.table.name}`);
  }
  return [...names];
}

export async function getConfigMaps(
  reader: Reader,
  names: readonly string[],
  signal: AbortSignal,
): Promise<{ readonly found: ConfigMapFacts[]; readonly gaps: Gap[] }> {
  const found: ConfigMapFacts[] = [];
  const gaps = new Map<string, Gap>();
  await mapBounded(names, GETS_AT_ONCE, async (id) => {
    const [namespace = '', name = ''] = id.split('/');
    // One refusal is enough; the others would be the same.
    if (gaps.has(namespace)) return;
    try {
      const body = await reader.get(
        `get configmap "${name}" in namespace "${namespace}"`,
        pathOf(CONFIG_MAP, namespace, name),
        {},
        signal,
      );
      found.push(configMap(body));
    } catch (error) {
      if (!(error instanceof ClusterFailure)) throw error;
      if (error.status === 404) found.push({ namespace, name, exists: false, changedAt: 0, data: {} });
      else gaps.set(namespace, { kind: 'ConfigMap', namespace, message: error.message });
    }
  });
  return { found, gaps: [...gaps.values()] };
}
