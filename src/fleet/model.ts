/** The survey joined as traffic flows: microservice → tracks and proxy → Deployments, endpoints, pods. Pure. */

import { parseConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import type {
  ConfigMapFacts,
  DeploymentFacts,
  Labels,
  PodFacts,
  ProxyFacts,
  ReplicaSetFacts,
  ServiceFacts,
  Survey,
} from './facts.ts';
import { nameDeployment, nameService, selects } from './naming.ts';
import type { FleetSettings } from './settings.ts';

/** One Service, and what stands behind it. */
export interface TrackView {
  readonly track: string;
  readonly service: ServiceFacts;
  readonly readyEndpoints: number;
  readonly endpoints: number;
  readonly deployments: readonly DeploymentFacts[];
  /** Pods that the Service selects, those that have ended left out. */
  readonly pods: readonly PodFacts[];
}

/** The file that a proxy Deployment mounts. */
export interface TableView {
  readonly name: string;
  /** Undefined when it could not be read: nothing is known. */
  readonly configMap: ConfigMapFacts | undefined;
  /** Key of the ConfigMap that is the table; '' when there is none. */
  readonly key: string;
  readonly text: string;
  /** Undefined when it is no valid configuration. */
  readonly config: Config | undefined;
  /** Why not. */
  readonly problem: string;
}

export interface ProxyView {
  readonly service: ServiceFacts | undefined;
  readonly deployments: readonly DeploymentFacts[];
  readonly pods: readonly PodFacts[];
  readonly readyEndpoints: number;
  readonly table: TableView | undefined;
  readonly live: readonly ProxyFacts[];
}

export interface ServiceView {
  readonly namespace: string;
  readonly name: string;
  /** It has neither tracks nor a proxy: one Service with pods behind it. */
  readonly plain: boolean;
  /** In the order of the pipeline. */
  readonly tracks: readonly TrackView[];
  readonly proxy: ProxyView;
  /** Deployments of this service that no Service selects. */
  readonly unrouted: readonly DeploymentFacts[];
}

export interface FleetView {
  readonly survey: Survey;
  readonly services: readonly ServiceView[];
  readonly replicaSetsOf: (deployment: DeploymentFacts) => readonly ReplicaSetFacts[];
  /** Those that run and that no Deployment owns. */
  readonly orphanReplicaSets: readonly ReplicaSetFacts[];
  /** Whether a kind could be listed everywhere in a namespace. */
  readonly sees: (kind: string, namespace: string) => boolean;
  /** Every Service that was seen, by `namespace/name`. */
  readonly serviceNames: ReadonlySet<string>;
  /** Services that have EndpointSlices, with or without the label. */
  readonly sliced: ReadonlySet<string>;
  /** Namespaces in which anything was seen. */
  readonly namespaces: ReadonlySet<string>;
}

/** Objects by their labels, found by one pair of a selector, so that 500 Services do not look at all 20,000 pods. */
class LabelIndex<T> {
  readonly #sets = new Map<Labels, { readonly labels: Labels; readonly members: T[] }>();
  readonly #byPair = new Map<string, Set<{ readonly labels: Labels; readonly members: T[] }>>();

  add(labels: Labels, member: T): void {
    let set = this.#sets.get(labels);
    if (set === undefined) {
      set = { labels, members: [] };
      this.#sets.set(labels, set);
      for (const [key, value] of Object.entries(labels)) {
        const pair = `${key}=${value}`;
        const sets = this.#byPair.get(pair);
        if (sets === undefined) this.#byPair.set(pair, new Set([set]));
        else sets.add(set);
      }
    }
    set.members.push(member);
  }

  select(selector: Labels): T[] {
    let fewest: ReadonlySet<{ readonly labels: Labels; readonly members: T[] }> | undefined;
    for (const [key, value] of Object.entries(selector)) {
      const sets = this.#byPair.get(`${key}=${value}`);
      if (sets === undefined) return [];
      if (fewest === undefined || sets.size < fewest.size) fewest = sets;
    }
    const found: T[] = [];
    for (const { labels, members } of fewest ?? []) if (selects(selector, labels)) found.push(...members);
    return found;
  }
}

function indexes<T extends { readonly namespace: string }>(
  items: readonly T[],
  labelsOf: (item: T) => Labels,
) {
  const byNamespace = new Map<string, LabelIndex<T>>();
  for (const item of items) {
    let index = byNamespace.get(item.namespace);
    if (index === undefined) {
      index = new LabelIndex();
      byNamespace.set(item.namespace, index);
    }
    index.add(labelsOf(item), item);
  }
  return (namespace: string, selector: Labels): T[] => byNamespace.get(namespace)?.select(selector) ?? [];
}

function grouped<T>(items: Iterable<T>, keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}

export function buildFleet(survey: Survey, settings: FleetSettings): FleetView {
  const pods = indexes(
    survey.pods.filter(({ phase }) => phase !== 'Succeeded'),
    ({ labels }) => labels,
  );
  const deployments = indexes(survey.deployments, ({ podLabels }) => podLabels);
  const slices = grouped(survey.slices, ({ namespace, service }) => `${namespace}/${service}`);
  const replicaSets = grouped(survey.replicaSets, ({ owner }) => owner);
  const configMaps = new Map(survey.configMaps.map((map) => [`${map.namespace}/${map.name}`, map]));
  const live = grouped(survey.proxies, ({ namespace, pod }) => `${namespace}/${pod}`);
  const named = grouped(
    survey.services,
    (service) => `${service.namespace}/${nameService(service, settings).service}`,
  );

  const routed = new Set<DeploymentFacts>();
  const trackViews = new Map<ServiceFacts, TrackView>();
  for (const service of survey.services) {
    const behind = deployments(service.namespace, service.selector);
    for (const deployment of behind) routed.add(deployment);
    trackViews.set(service, {
      track: nameService(service, settings).track,
      service,
      ...endpointsOf(slices.get(`${service.namespace}/${service.name}`) ?? []),
      deployments: behind,
      pods: pods(service.namespace, service.selector),
    });
  }
  const homeless = grouped(
    survey.deployments.filter((deployment) => !routed.has(deployment)),
    (deployment) => `${deployment.namespace}/${nameDeployment(deployment, settings).service}`,
  );

  const services = [...named].map(([key, members]): ServiceView => {
    const [namespace = ''] = key.split('/', 1);
    const name = key.slice(namespace.length + 1);
    const isProxy = (service: ServiceFacts) => nameService(service, settings).proxy;
    const order = (track: string) => {
      const at = settings.tracks.indexOf(track);
      return at === -1 ? settings.tracks.length : at;
    };
    // A Service without tracks is nobody's canary: it is looked at by itself, and needs no proxy.
    const plain = members.every((service) => isProxy(service) && nameService(service, settings).track === '');
    const tracks = members
      .filter((service) => plain || !isProxy(service))
      .map((service) => trackViews.get(service)!)
      .sort((a, b) => order(a.track) - order(b.track) || compare(a.service.name, b.service.name));
    // A Service that selects the pods of a track is a second way to them, not the proxy.
    const fronts = plain ? [] : members.filter(isProxy);
    const front = fronts.find((service) => service.name === name) ?? fronts[0];
    const left = homeless.get(key) ?? [];
    const own = front === undefined ? undefined : trackViews.get(front);
    const proxyDeployments =
      own !== undefined && own.deployments.length > 0
        ? own.deployments
        : left.filter((deployment) => {
            const { track } = nameDeployment(deployment, settings);
            return settings.proxy.tracks.includes(track);
          });
    const proxyPods =
      own !== undefined && own.deployments.length > 0
        ? own.pods
        : proxyDeployments.flatMap(({ namespace: at, podLabels }) => pods(at, podLabels));
    return {
      namespace,
      name,
      plain,
      tracks,
      proxy: {
        service: front,
        deployments: proxyDeployments,
        pods: proxyPods,
        readyEndpoints: own?.readyEndpoints ?? 0,
        table: proxyDeployments[0] === undefined ? undefined : tableOf(proxyDeployments[0], configMaps),
        live: proxyPods.flatMap((pod) => live.get(`${pod.namespace}/${pod.name}`) ?? []),
      },
      unrouted: left.filter(
        (deployment) =>
          !proxyDeployments.includes(deployment) && nameDeployment(deployment, settings).track !== '',
      ),
    };
  });
  services.sort((a, b) => compare(a.namespace, b.namespace) || compare(a.name, b.name));
  const deploymentUids = new Set(survey.deployments.map(({ uid }) => uid));
  const sees = (kind: string, namespace: string) =>
    !survey.gaps.some((gap) => gap.kind === kind && (gap.namespace === '' || gap.namespace === namespace));
  return {
    survey,
    services,
    replicaSetsOf: ({ uid }) => replicaSets.get(uid) ?? [],
    orphanReplicaSets: survey.replicaSets.filter(
      ({ owner, running, namespace }) =>
        running > 0 && (owner === '' || (!deploymentUids.has(owner) && sees('Deployment', namespace))),
    ),
    sees,
    serviceNames: new Set(survey.services.map(({ namespace, name }) => `${namespace}/${name}`)),
    sliced: new Set(slices.keys()),
    namespaces: new Set([...survey.services, ...survey.slices].map(({ namespace }) => namespace)),
  };
}

export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** An endpoint in two slices (one per family, or while it moves) counts once, and as ready if one says so. */
function endpointsOf(slices: Survey['slices']): { readyEndpoints: number; endpoints: number } {
  if (slices.length === 1 && slices[0] !== undefined) {
    const ready = new Set(slices[0].ready).size;
    return { readyEndpoints: ready, endpoints: ready + slices[0].notReady.length };
  }
  const ready = new Set(slices.flatMap((slice) => slice.ready));
  const all = new Set([...ready, ...slices.flatMap((slice) => slice.notReady)]);
  return { readyEndpoints: ready.size, endpoints: all.size };
}

/** Where the proxy reads its file, by its arguments, else by default. */
function configFile(deployment: DeploymentFacts): string {
  const { arguments: words } = deployment;
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if ((word === '--config' || word === '-c') && words[i + 1] !== undefined) return words[i + 1]!;
    if (word.startsWith('--config=')) return word.slice('--config='.length);
  }
  return '/etc/pointsman/pointsman.yaml';
}

const TABLES = new WeakMap<ConfigMapFacts, Map<string, TableView>>();

/** @returns undefined when the Deployment mounts no ConfigMap */
export function tableOf(
  deployment: DeploymentFacts,
  configMaps: ReadonlyMap<string, ConfigMapFacts>,
): TableView | undefined {
  const file = configFile(deployment);
  const mounts = deployment.configMaps.filter(({ path }) => path !== '');
  const mount = mounts.find(({ path }) => file.startsWith(`${path.replace(/\/$/, '')}/`) || file === path);
  if (mount === undefined) return undefined;
  const relative =
    file === mount.path
      ? file.slice(file.lastIndexOf('/') + 1)
      : file.slice(mount.path.replace(/\/$/, '').length + 1);
  const key = mount.files[relative] ?? relative;
  const configMap = configMaps.get(`${deployment.namespace}/${mount.configMap}`);
  const none = { name: mount.configMap, configMap, key, text: '', config: undefined, problem: '' };
  if (configMap === undefined || !configMap.exists) return none;
  // A watch judges again and again; the file has changed only when the object has.
  const known = TABLES.get(configMap)?.get(key);
  if (known !== undefined) return known;
  const view = readTable(none, configMap, key);
  const views = TABLES.get(configMap) ?? new Map<string, TableView>();
  TABLES.set(configMap, views.set(key, view));
  return view;
}

function readTable(none: TableView, configMap: ConfigMapFacts, key: string): TableView {
  const text = configMap.data[key];
  if (text === undefined) {
    const keys = Object.keys(configMap.data);
    return { ...none, problem: `it has no key ${key}; it has ${keys.join(', ') || 'none'}` };
  }
  const { config, problems } = parseConfig(text, { file: key, environment: {} });
  const errors = problems.filter(({ severity }) => severity === 'error');
  // A value from the pod's own environment cannot be known here; what looks wrong because of it is not judged.
  const unknowable = config === undefined && /\$\{/.test(text);
  const first = errors[0];
  const problem =
    config !== undefined || unknowable || first === undefined
      ? ''
      : `${key}:${first.line}:${first.column} ${first.keyPath === '' ? '' : `${first.keyPath}: `}${first.message}`;
  return { ...none, text, config, problem };
}
