/** The kinds that are surveyed, and where the API has them. */

export interface Resource {
  readonly kind: string;
  /** As in roles. */
  readonly group: string;
  readonly plural: string;
  readonly path: string;
}

export type WatchedKind = 'Service' | 'EndpointSlice' | 'Deployment' | 'ReplicaSet' | 'Pod';

const resource = (kind: string, group: string, version: string, plural: string): Resource => ({
  kind,
  group,
  plural,
  path: group === '' ? `/api/${version}` : `/apis/${group}/${version}`,
});

export const WATCHED: Readonly<Record<WatchedKind, Resource>> = {
  Service: resource('Service', '', 'v1', 'services'),
  EndpointSlice: resource('EndpointSlice', 'discovery.k8s.io', 'v1', 'endpointslices'),
  Deployment: resource('Deployment', 'apps', 'v1', 'deployments'),
  ReplicaSet: resource('ReplicaSet', 'apps', 'v1', 'replicasets'),
  Pod: resource('Pod', '', 'v1', 'pods'),
};

/** Fetched one by one, as Deployments of proxies name them: a role that may list ConfigMaps could read them all at once. */
export const CONFIG_MAP = resource('ConfigMap', '', 'v1', 'configmaps');

/** @param namespace '' for all */
export function pathOf({ path, plural }: Resource, namespace: string, name?: string): string {
  const scope = namespace === '' ? path : `${path}/namespaces/${encodeURIComponent(namespace)}`;
  return name === undefined ? `${scope}/${plural}` : `${scope}/${plural}/${encodeURIComponent(name)}`;
}
