/** Does the cluster run what git says? */

import type { ConfigMapFacts, DeploymentFacts, ManifestFacts, RepositoryFacts } from '../facts.ts';
import type { FleetView, ServiceView } from '../model.ts';
import type { Report } from './rule.ts';

export interface GitReport extends Report {
  readonly namespace: string;
  readonly service: string;
}

export function git(
  fleet: FleetView,
  repository: RepositoryFacts,
  report: (report: GitReport) => void,
): void {
  const { manifests, problems, directory } = repository;
  for (const problem of problems) {
    report({
      kind: 'git-unreadable',
      severity: 'warning',
      namespace: '',
      service: '',
      object: `File/${problem.split(':')[0]}`,
      message: problem,
      advice: `correct the manifest in ${directory}`,
    });
  }
  const find = (kind: ManifestFacts['kind'], namespace: string, name: string) => {
    const same = manifests.filter((manifest) => manifest.kind === kind && manifest.name === name);
    return (
      same.find((manifest) => manifest.namespace === namespace) ??
      same.find((manifest) => manifest.namespace === '')
    );
  };
  const met = new Set<ManifestFacts>();
  const meet = (kind: ManifestFacts['kind'], namespace: string, name: string) => {
    const manifest = find(kind, namespace, name);
    if (manifest !== undefined) met.add(manifest);
    return manifest;
  };
  for (const service of fleet.services) {
    const at = { namespace: service.namespace, service: service.name };
    for (const track of service.tracks) meet('Service', service.namespace, track.service.name);
    if (service.proxy.service !== undefined) meet('Service', service.namespace, service.proxy.service.name);
    for (const deployment of deploymentsOf(service)) {
      const manifest = meet('Deployment', deployment.namespace, deployment.name);
      if (manifest === undefined) {
        if (deployment.replicas > 0) {
          report({
            ...at,
            kind: 'git-extra',
            severity: 'warning',
            object: `Deployment/${deployment.name}`,
            since: deployment.createdAt,
            message: `Deployment ${deployment.name} runs, and no manifest in ${directory} has it`,
            advice: 'commit it, or delete it',
          });
        }
        continue;
      }
      differs(deployment, manifest, (found) => report({ ...at, ...found }));
    }
    const map = service.proxy.table?.configMap;
    const manifest = map?.exists === true ? meet('ConfigMap', map.namespace, map.name) : undefined;
    if (map !== undefined && manifest !== undefined)
      config(map, manifest, (found) => report({ ...at, ...found }));
  }
  missing(fleet, manifests, met, report);
}

function deploymentsOf({ tracks, proxy, unrouted }: ServiceView): Set<DeploymentFacts> {
  return new Set([...tracks.flatMap(({ deployments }) => deployments), ...proxy.deployments, ...unrouted]);
}

function differs(
  deployment: DeploymentFacts,
  manifest: ManifestFacts,
  report: (report: Report) => void,
): void {
  const object = `Deployment/${deployment.name}`;
  const wrong = manifest.images.filter((image) => !deployment.images.includes(image));
  if (wrong.length > 0) {
    report({
      kind: 'git-image',
      severity: 'warning',
      object,
      message: `${deployment.name} is ${deployment.images.join(', ') || 'without an image'}, in git ${wrong.join(', ')} (${manifest.file})`,
      advice: `kubectl apply -f ${manifest.file}, or commit what runs; is the sync of git stuck?`,
    });
  }
  if (manifest.replicas !== undefined && manifest.replicas !== deployment.replicas) {
    report({
      kind: 'git-replicas',
      severity: 'warning',
      object,
      message: `${deployment.name} wants ${deployment.replicas} replicas, in git ${manifest.replicas} (${manifest.file})`,
      advice: 'scale by commit; with an autoscaler, leave replicas out of the manifest',
    });
  }
}

function config(map: ConfigMapFacts, manifest: ManifestFacts, report: (report: Report) => void): void {
  const keys = [...new Set([...Object.keys(map.data), ...Object.keys(manifest.data)])]
    .filter((key) => map.data[key] !== manifest.data[key])
    .sort();
  if (keys.length === 0) return;
  report({
    kind: 'git-config',
    severity: 'warning',
    object: `ConfigMap/${map.name}`,
    since: map.changedAt,
    message: `ConfigMap ${map.name} differs from git in ${keys.join(', ')} (${manifest.file})`,
    advice: `kubectl diff -f ${manifest.file}`,
  });
}

/** Of manifests that were not met, those of the services seen: others may belong to another cluster. */
function missing(
  fleet: FleetView,
  manifests: readonly ManifestFacts[],
  met: ReadonlySet<ManifestFacts>,
  report: (report: GitReport) => void,
): void {
  const { survey } = fleet;
  const names = new Map(fleet.services.map((service) => [service.name, service]));
  for (const manifest of manifests) {
    if (met.has(manifest) || manifest.kind === 'ConfigMap') continue;
    const service = names.get(manifest.labels['app'] ?? manifest.labels['app.kubernetes.io/name'] ?? '');
    if (service === undefined || (manifest.namespace !== '' && manifest.namespace !== service.namespace))
      continue;
    if (!fleet.sees(manifest.kind, service.namespace)) continue;
    if (
      manifest.kind === 'Deployment' &&
      survey.deployments.some(
        ({ namespace, name }) => namespace === service.namespace && name === manifest.name,
      )
    )
      continue;
    if (manifest.kind === 'Service' && fleet.sliced.has(`${service.namespace}/${manifest.name}`)) continue;
    report({
      namespace: service.namespace,
      service: service.name,
      kind: 'git-missing',
      severity: 'critical',
      object: `${manifest.kind}/${manifest.name}`,
      message: `${manifest.kind} ${manifest.name} is in git (${manifest.file}) and not in the cluster`,
      advice: `kubectl apply -f ${manifest.file}; is the sync of git stuck?`,
    });
  }
}
