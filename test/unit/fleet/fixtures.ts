/** Objects → survey → findings, without a server, through the projections that the real survey uses. */

import {
  configMap,
  deployment,
  Interner,
  pod,
  replicaSet,
  service,
  slice,
} from '../../../src/fleet/cluster/project.ts';
import type { Survey } from '../../../src/fleet/facts.ts';
import type { Finding } from '../../../src/fleet/finding.ts';
import { judge } from '../../../src/fleet/judge.ts';
import { hashOf } from '../../../src/fleet/rules/tables.ts';
import { type FleetSettings, fleetSchema } from '../../../src/fleet/settings.ts';
import { NOW } from '../../support/kubernetes-api/fleet-objects.ts';
import type { KubernetesObject } from '../../support/kubernetes-api/store.ts';

export function surveyOf(objects: readonly KubernetesObject[], extra: Partial<Survey> = {}): Survey {
  const interner = new Interner();
  const of = <T>(kind: string, project: (object: unknown, interner: Interner) => T) =>
    objects.filter((object) => object.kind === kind).map((object) => project(object, interner));
  const pods = of('Pod', pod);
  const configMaps = of('ConfigMap', configMap);
  return {
    cluster: 'test',
    at: NOW,
    namespaces: [],
    services: of('Service', service).filter(({ labels }) => labels['tier'] === 'service'),
    slices: of('EndpointSlice', slice),
    deployments: of('Deployment', deployment),
    replicaSets: of('ReplicaSet', replicaSet),
    pods,
    configMaps,
    // Every proxy has the table of its ConfigMap.
    proxies: pods
      .filter(({ labels }) => labels['track'] === 'proxy')
      .flatMap(({ namespace, name, labels }) => {
        const text = configMaps.find(
          (map) => map.namespace === namespace && map.name === `${labels['app']}-proxy`,
        )?.data['pointsman.yaml'];
        return text === undefined ? [] : [live(namespace, name, hashOf(text))];
      }),
    proxiesSkipped: '',
    gaps: [],
    repository: undefined,
    ...extra,
  };
}

export function live(namespace: string, pod: string, hash: string): Survey['proxies'][number] {
  return {
    namespace,
    pod,
    failure: '',
    version: '0.1.0',
    file: '/etc/pointsman/pointsman.yaml',
    hash,
    loadedAt: NOW,
    refused: '',
    refusedAt: 0,
    restartNeeded: [],
  };
}

export const DEFAULTS: FleetSettings = fleetSchema.parse({});

export function findingsOf(
  objects: readonly KubernetesObject[],
  extra: Partial<Survey> = {},
  settings = DEFAULTS,
): readonly Finding[] {
  return judge(surveyOf(objects, extra), settings).findings;
}
