/** Every kind of fault that a fleet can have, planted into healthy objects as a cluster would show it. */

import type { Survey } from '../../../src/fleet/facts.ts';
import { NOW } from '../../support/kubernetes-api/fleet-objects.ts';
import type { KubernetesObject } from '../../support/kubernetes-api/store.ts';
import type { live } from './fixtures.ts';

// biome-ignore lint/suspicious/noExplicitAny: objects of the API are changed at will
type Loose = any;

export interface Plant {
  /** The kind that must be found. */
  readonly kind: string;
  /** What else follows from it and may be said, too. */
  readonly also?: readonly string[];
  readonly plant: (objects: KubernetesObject[]) => KubernetesObject[];
  readonly survey?: (survey: Survey) => Partial<Survey>;
}

/** The service that the fault is planted into. */
export const VICTIM = 'service-001';

const iso = (at: number) => new Date(at).toISOString();
const HOUR = 3_600_000;

function change(kind: string, name: string, edit: (object: Loose) => void) {
  return (objects: KubernetesObject[]) =>
    objects.map((object) => {
      if (object.kind !== kind || object.metadata.name !== name) return object;
      const copy = structuredClone(object) as Loose;
      edit(copy);
      return copy as KubernetesObject;
    });
}

function remove(kind: string, name: (name: string) => boolean) {
  return (objects: KubernetesObject[]) =>
    objects.filter((object) => object.kind !== kind || !name(object.metadata.name));
}

const steps =
  (...all: ((objects: KubernetesObject[]) => KubernetesObject[])[]) =>
  (objects: KubernetesObject[]) =>
    all.reduce((now, step) => step(now), objects);

const proxy = VICTIM;
const track = (name: string) => `${VICTIM}-${name}`;
const podsOf = (objects: readonly KubernetesObject[], deployment: string) =>
  objects.filter(({ kind, metadata }) => kind === 'Pod' && metadata.name.startsWith(`${deployment}-r`));

/** Of a Deployment, `count` pods that are not as they should be; its status says so, and its slice. */
function breakPods(deployment: string, count: number, edit: (pod: Loose) => void) {
  return (objects: KubernetesObject[]): KubernetesObject[] => {
    const bad = new Set(
      podsOf(objects, deployment)
        .slice(0, count)
        .map(({ metadata }) => metadata.name),
    );
    const uids = new Set(
      podsOf(objects, deployment)
        .slice(0, count)
        .map(({ metadata }) => metadata.uid),
    );
    return objects.map((object) => {
      const copy = structuredClone(object) as Loose;
      if (object.kind === 'Pod' && bad.has(object.metadata.name)) {
        const ready = copy.status.conditions.find(({ type }: Loose) => type === 'Ready');
        ready.status = 'False';
        ready.lastTransitionTime = iso(NOW - HOUR);
        copy.status.containerStatuses[0].ready = false;
        edit(copy);
      } else if (object.kind === 'Deployment' && object.metadata.name === deployment) {
        copy.status.readyReplicas -= count;
        copy.status.availableReplicas -= count;
      } else if (object.kind === 'EndpointSlice' && object.metadata.name === `${deployment}-a`) {
        for (const endpoint of copy.endpoints)
          if (uids.has(endpoint.targetRef.uid)) endpoint.conditions.ready = false;
      } else return object;
      return copy as KubernetesObject;
    });
  };
}

const waiting =
  (reason: string, message = '') =>
  (pod: Loose) => {
    pod.status.containerStatuses[0].state = { waiting: { reason, message } };
    pod.status.containerStatuses[0].restartCount = 7;
  };

function condition(deployment: string, type: string, status: string, reason: string, message = '') {
  return change('Deployment', deployment, (object) => {
    object.status.conditions = [
      ...object.status.conditions.filter((one: Loose) => one.type !== type),
      { type, status, reason, message, lastUpdateTime: iso(NOW - HOUR), lastTransitionTime: iso(NOW - HOUR) },
    ];
  });
}

const editTable = (edit: (text: string) => string) =>
  change('ConfigMap', `${proxy}-proxy`, (object) => {
    object.data['pointsman.yaml'] = edit(object.data['pointsman.yaml']);
  });

const proxiesOf = (survey: Survey) => survey.proxies.filter(({ pod }) => pod.startsWith(`${proxy}-r`));
const changeProxies = (
  survey: Survey,
  edit: (facts: ReturnType<typeof live>) => Partial<ReturnType<typeof live>>,
): Partial<Survey> => {
  const [first] = proxiesOf(survey);
  return { proxies: survey.proxies.map((facts) => (facts === first ? { ...facts, ...edit(facts) } : facts)) };
};

export const PLANTS: readonly Plant[] = [
  {
    kind: 'proxy-missing',
    plant: steps(
      remove('Deployment', (name) => name === proxy),
      remove('Pod', (name) => name.startsWith(`${proxy}-r`)),
      remove('ReplicaSet', (name) => name.startsWith(`${proxy}-r`)),
    ),
  },
  { kind: 'proxy-down', plant: breakPods(proxy, 4, () => {}), also: ['pod-not-ready'] },
  {
    kind: 'proxy-unavailable',
    plant: steps(
      breakPods(proxy, 2, () => {}),
      condition(proxy, 'Available', 'False', 'MinimumReplicasUnavailable'),
    ),
    also: ['pod-not-ready'],
  },
  {
    kind: 'proxy-scaled-down',
    plant: change('Deployment', proxy, (object) => {
      object.spec.replicas = 2;
    }),
  },
  { kind: 'proxy-not-ready', plant: breakPods(proxy, 1, () => {}), also: ['pod-not-ready'] },
  {
    kind: 'track-unbacked',
    plant: steps(
      remove('Deployment', (name) => name === track('canary')),
      remove('ReplicaSet', (name) => name.startsWith(`${track('canary')}-r`)),
      remove('Pod', (name) => name.startsWith(`${track('canary')}-r`)),
      change('EndpointSlice', `${track('canary')}-a`, (object) => {
        object.endpoints = null;
      }),
    ),
  },
  { kind: 'endpoints-none', plant: breakPods(track('paid'), 4, () => {}), also: ['pod-not-ready'] },
  { kind: 'endpoints-few', plant: breakPods(track('canary'), 3, () => {}), also: ['pod-not-ready'] },
  {
    kind: 'port-unknown',
    plant: change('Service', track('internal'), (object) => {
      object.spec.ports[0].targetPort = 'web';
    }),
  },
  {
    kind: 'selector-overlap',
    plant: change('Service', track('canary'), (object) => {
      object.spec.selector = { app: VICTIM };
    }),
    also: ['over-replicated', 'two-deployments', 'port-unknown'],
  },
  {
    kind: 'rollout-stuck',
    plant: condition(track('canary'), 'Progressing', 'False', 'ProgressDeadlineExceeded'),
  },
  {
    kind: 'rollout-paused',
    plant: change('Deployment', track('paid'), (object) => {
      object.spec.paused = true;
    }),
  },
  {
    kind: 'rollout-unseen',
    plant: change('Deployment', track('paid'), (object) => {
      object.metadata.generation = 9;
    }),
  },
  {
    kind: 'replica-failure',
    plant: condition(track('production'), 'ReplicaFailure', 'True', 'FailedCreate', 'exceeded quota: pods'),
  },
  { kind: 'pods-missing', plant: breakPods(track('production'), 3, () => {}), also: ['pod-not-ready'] },
  {
    kind: 'old-build',
    plant: change('ReplicaSet', `${track('production')}-r1`, (object) => {
      object.spec.replicas = 2;
      object.status.replicas = 2;
    }),
  },
  {
    kind: 'two-deployments',
    plant: (objects) => {
      const blue = structuredClone(
        objects.find(({ kind, metadata }) => kind === 'Deployment' && metadata.name === track('production')),
      ) as Loose;
      blue.metadata = { ...blue.metadata, name: `${track('production')}-blue`, uid: 'blue' };
      return [...objects, blue as KubernetesObject];
    },
    also: ['over-replicated'],
  },
  {
    kind: 'unrouted-deployment',
    plant: (objects) => {
      const old = structuredClone(
        objects.find(({ kind, metadata }) => kind === 'Deployment' && metadata.name === track('production')),
      ) as Loose;
      old.metadata = {
        ...old.metadata,
        name: `${VICTIM}-green`,
        uid: 'green',
        labels: { app: VICTIM, track: 'green' },
      };
      old.spec.template.metadata.labels = { app: VICTIM, track: 'green' };
      return [...objects, old as KubernetesObject];
    },
  },
  {
    kind: 'orphan-replicaset',
    plant: change('ReplicaSet', `${track('production')}-r2`, (object) => {
      object.metadata.ownerReferences = undefined;
    }),
  },
  { kind: 'orphan-replicaset', plant: remove('Deployment', (name) => name === track('paid')) },
  {
    kind: 'orphan-pod',
    plant: (objects) =>
      change('Pod', podsOf(objects, track('internal'))[0]!.metadata.name, (object) => {
        object.metadata.ownerReferences = [];
      })(objects),
  },
  {
    kind: 'over-replicated',
    plant: change('Deployment', track('canary'), (object) => {
      object.spec.replicas = 40;
      for (const key of ['replicas', 'updatedReplicas', 'readyReplicas', 'availableReplicas'])
        object.status[key] = 40;
    }),
  },
  {
    kind: 'pod-crashing',
    plant: breakPods(track('production'), 1, waiting('CrashLoopBackOff')),
    also: ['pods-missing'],
  },
  {
    kind: 'pod-image',
    plant: breakPods(track('production'), 1, waiting('ImagePullBackOff', 'Back-off pulling image')),
    also: ['pods-missing'],
  },
  {
    kind: 'pod-config',
    plant: breakPods(track('production'), 1, waiting('CreateContainerConfigError', 'secret "db" not found')),
    also: ['pods-missing'],
  },
  {
    kind: 'pod-unschedulable',
    plant: breakPods(track('production'), 1, (pod) => {
      pod.status.phase = 'Pending';
      pod.status.containerStatuses = null;
      pod.status.conditions = [
        {
          type: 'PodScheduled',
          status: 'False',
          reason: 'Unschedulable',
          message: '0/40 nodes are available: insufficient cpu',
          lastTransitionTime: iso(NOW - HOUR),
        },
      ];
    }),
    also: ['pods-missing'],
  },
  {
    kind: 'pod-pending',
    plant: breakPods(track('production'), 1, (pod) => {
      pod.status.phase = 'Pending';
      pod.status.containerStatuses[0].state = { waiting: { reason: 'ContainerCreating' } };
    }),
    also: ['pods-missing'],
  },
  { kind: 'pod-not-ready', plant: breakPods(track('production'), 1, () => {}), also: ['pods-missing'] },
  {
    kind: 'pod-restarts',
    plant: (objects) =>
      change('Pod', podsOf(objects, track('paid'))[1]!.metadata.name, (object) => {
        object.status.containerStatuses[0].restartCount = 5;
        object.status.containerStatuses[0].lastState = {
          terminated: { reason: 'Error', exitCode: 1, finishedAt: iso(NOW - 600_000) },
        };
      })(objects),
  },
  {
    kind: 'pod-memory',
    plant: (objects) =>
      change('Pod', podsOf(objects, track('paid'))[1]!.metadata.name, (object) => {
        object.status.containerStatuses[0].restartCount = 1;
        object.status.containerStatuses[0].lastState = {
          terminated: { reason: 'OOMKilled', exitCode: 137, finishedAt: iso(NOW - 600_000) },
        };
      })(objects),
  },
  {
    kind: 'pod-failed',
    plant: (objects) => {
      const pod = structuredClone(podsOf(objects, track('paid'))[0]) as Loose;
      pod.metadata = { ...pod.metadata, name: `${pod.metadata.name}-evicted`, uid: 'evicted' };
      pod.status = { phase: 'Failed', reason: 'Evicted', message: 'The node was low on resource: memory.' };
      return [...objects, pod as KubernetesObject];
    },
  },
  {
    kind: 'pod-terminating',
    plant: (objects) => {
      const pod = structuredClone(podsOf(objects, track('paid'))[0]) as Loose;
      pod.metadata = {
        ...pod.metadata,
        name: `${pod.metadata.name}-ending`,
        uid: 'ending',
        deletionTimestamp: iso(NOW - HOUR),
      };
      return [...objects, pod as KubernetesObject];
    },
  },
  {
    kind: 'image-mismatch',
    plant: (objects) =>
      change('Pod', podsOf(objects, track('production'))[4]!.metadata.name, (object) => {
        object.spec.containers[0].image = 'registry.example/app:0.0.1-hotfix';
      })(objects),
  },
  {
    kind: 'image-untagged',
    plant: (objects) => {
      const names = ['Deployment', 'ReplicaSet', 'Pod'];
      return objects.map((object) => {
        if (!names.includes(object.kind) || !object.metadata.name.startsWith(track('internal')))
          return object;
        const copy = structuredClone(object) as Loose;
        (copy.spec.template?.spec ?? copy.spec).containers[0].image = 'registry.example:5000/app:latest';
        return copy as KubernetesObject;
      });
    },
  },
  {
    kind: 'config-missing',
    plant: remove('ConfigMap', (name) => name === `${proxy}-proxy`),
    survey: ({ configMaps }) => ({
      configMaps: [
        ...configMaps,
        { namespace: 'shop', name: `${proxy}-proxy`, exists: false, changedAt: 0, data: {} },
      ],
    }),
  },
  { kind: 'table-invalid', plant: editTable((text) => `${text}\nnonsense: 1\n`) },
  {
    kind: 'table-stale',
    plant: (objects) => objects,
    survey: (survey) => changeProxies(survey, () => ({ hash: 'f'.repeat(64) })),
  },
  {
    kind: 'table-refused',
    plant: (objects) => objects,
    survey: (survey) =>
      changeProxies(survey, () => ({
        hash: 'f'.repeat(64),
        refused: 'routes[0].split: the weights add up to 0',
        refusedAt: NOW - 1_000,
      })),
  },
  {
    kind: 'table-restart',
    plant: (objects) => objects,
    survey: (survey) => changeProxies(survey, () => ({ restartNeeded: ['listen'] })),
  },
  {
    kind: 'set-by-hand',
    plant: (objects) => objects,
    survey: (survey) =>
      changeProxies(survey, () => ({
        held: [
          {
            text: 'split of free: canary 0',
            by: 'canary guard',
            reason: 'canary braked: 12 of 100 requests failed',
            createdAt: NOW - 1_000,
            until: NOW + 60_000,
          },
        ],
      })),
  },
  {
    kind: 'proxy-silent',
    plant: (objects) => objects,
    survey: (survey) => changeProxies(survey, () => ({ failure: 'no answer in time', hash: '' })),
  },
  {
    kind: 'table-backend-unknown',
    plant: editTable((text) => text.replace(`http://${track('canary')}:`, `http://${track('canray')}:`)),
    also: ['track-unrouted'],
  },
  {
    kind: 'track-unrouted',
    plant: editTable((text) =>
      text.replace(/ {2}paid:\n {4}url: .*\n/, '').replace(/ {2}- name: paid\n(?: {4}.*\n)+/, ''),
    ),
  },
];
