/**
 * JSON of the API → facts. Tolerant: servers leave out what is empty, and lists and statuses may be null; what is
 * absent becomes the value that Kubernetes documents for it. Only what rules need is kept, so that 20,000 pods fit.
 */

import type {
  Condition,
  ConfigMapFacts,
  ConfigMount,
  ContainerFacts,
  DeploymentFacts,
  Labels,
  PodFacts,
  ReplicaSetFacts,
  ServiceFacts,
  SliceFacts,
} from '../facts.ts';

type Json = Readonly<Record<string, unknown>>;

const EMPTY: Json = {};
const NO_LABELS: Labels = {};

const map = (value: unknown): Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : EMPTY;
const list = (value: unknown): readonly Json[] => (Array.isArray(value) ? value.map(map) : []);
const text = (value: unknown): string => (typeof value === 'string' ? value : '');
const count = (value: unknown, otherwise = 0): number =>
  typeof value === 'number' && Number.isFinite(value) ? value : otherwise;
const time = (value: unknown): number => {
  const at = typeof value === 'string' ? Date.parse(value) : Number.NaN;
  return Number.isNaN(at) ? 0 : at;
};
const words = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : [];

/** Equal label sets and image lists of thousands of pods are one object. */
export class Interner {
  readonly #known = new Map<string, unknown>();

  labels(value: unknown): Labels {
    const source = map(value);
    const entries = Object.entries(source).filter(
      (entry): entry is [string, string] => typeof entry[1] === 'string',
    );
    if (entries.length === 0) return NO_LABELS;
    return this.#one(JSON.stringify(entries), () => Object.fromEntries(entries));
  }

  images(containers: readonly Json[]): readonly string[] {
    const images = containers.map(({ image }) => text(image)).filter((image) => image !== '');
    return this.#one(`i${JSON.stringify(images)}`, () => images);
  }

  #one<T>(key: string, make: () => T): T {
    const known = this.#known.get(key) as T | undefined;
    if (known !== undefined) return known;
    const made = make();
    // A watch may run for months, and rollouts bring new labels: start over rather than grow.
    if (this.#known.size >= 50_000) this.#known.clear();
    this.#known.set(key, made);
    return made;
  }
}

export interface Meta {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly resourceVersion: string;
}

export function metaOf(object: unknown): Meta {
  const meta = map(map(object)['metadata']);
  return {
    uid: text(meta['uid']),
    namespace: text(meta['namespace']),
    name: text(meta['name']),
    resourceVersion: text(meta['resourceVersion']),
  };
}

function base(object: Json) {
  const meta = map(object['metadata']);
  return {
    namespace: text(meta['namespace']),
    name: text(meta['name']),
    createdAt: time(meta['creationTimestamp']),
  };
}

function controllerOf(object: Json): { readonly uid: string; readonly kind: string } {
  const owners = list(map(object['metadata'])['ownerReferences']);
  const owner = owners.find(({ controller }) => controller === true) ?? EMPTY;
  return { uid: text(owner['uid']), kind: text(owner['kind']) };
}

const FLEET_ANNOTATION = 'fleet.pointsman/';

function fleetAnnotations(object: Json): Labels {
  const all = map(map(object['metadata'])['annotations']);
  const own = Object.entries(all).filter(([key]) => key.startsWith(FLEET_ANNOTATION));
  return own.length === 0 ? NO_LABELS : Object.fromEntries(own.map(([key, value]) => [key, text(value)]));
}

export function service(object: unknown, interner: Interner): ServiceFacts {
  const source = map(object);
  const spec = map(source['spec']);
  return {
    ...base(source),
    labels: interner.labels(map(source['metadata'])['labels']),
    annotations: fleetAnnotations(source),
    selector: interner.labels(spec['selector']),
    ports: list(spec['ports']).map((port) => {
      const target = port['targetPort'];
      return {
        name: text(port['name']),
        port: count(port['port']),
        target: typeof target === 'string' || typeof target === 'number' ? target : count(port['port']),
      };
    }),
    external: spec['type'] === 'ExternalName',
    publishesNotReady: spec['publishNotReadyAddresses'] === true,
  };
}

export function slice(object: unknown): SliceFacts {
  const source = map(object);
  const ready: string[] = [];
  const notReady: string[] = [];
  for (const endpoint of list(source['endpoints'])) {
    const who = text(map(endpoint['targetRef'])['uid']) || words(endpoint['addresses'])[0];
    // `ready` unset means unknown, which consumers take for ready (API reference).
    if (who !== undefined) (map(endpoint['conditions'])['ready'] === false ? notReady : ready).push(who);
  }
  return {
    ...base(source),
    service: text(map(map(source['metadata'])['labels'])['kubernetes.io/service-name']),
    ready,
    notReady,
  };
}

function conditions(status: Json): Condition[] {
  return list(status['conditions']).map((condition) => ({
    type: text(condition['type']),
    status: text(condition['status']),
    reason: text(condition['reason']),
    message: text(condition['message']).slice(0, 300),
    changedAt: time(condition['lastTransitionTime']),
    updatedAt: time(condition['lastUpdateTime']),
  }));
}

export function deployment(object: unknown, interner: Interner): DeploymentFacts {
  const source = map(object);
  const meta = map(source['metadata']);
  const spec = map(source['spec']);
  const template = map(spec['template']);
  const pod = map(template['spec']);
  const containers = list(pod['containers']);
  const status = map(source['status']);
  return {
    ...base(source),
    uid: text(meta['uid']),
    labels: interner.labels(meta['labels']),
    annotations: fleetAnnotations(source),
    podLabels: interner.labels(map(template['metadata'])['labels']),
    images: interner.images(containers),
    ports: containers.flatMap((container) =>
      list(container['ports']).map((port) => ({
        name: text(port['name']),
        port: count(port['containerPort']),
      })),
    ),
    arguments: containers.flatMap((container) => [
      ...words(container['command']),
      ...words(container['args']),
    ]),
    configMaps: configMounts(pod, containers),
    paused: spec['paused'] === true,
    generation: count(meta['generation']),
    observedGeneration: count(status['observedGeneration']),
    replicas: count(spec['replicas'], 1),
    updated: count(status['updatedReplicas']),
    ready: count(status['readyReplicas']),
    available: count(status['availableReplicas']),
    running: count(status['replicas']),
    hasStatus:
      status['observedGeneration'] !== undefined ||
      status['replicas'] !== undefined ||
      status['conditions'] !== undefined,
    conditions: conditions(status),
  };
}

function configMounts(pod: Json, containers: readonly Json[]): ConfigMount[] {
  return list(pod['volumes']).flatMap((volume) => {
    const source = map(volume['configMap']);
    const configMap = text(source['name']);
    if (configMap === '') return [];
    const mounts = containers.flatMap((container) => list(container['volumeMounts']));
    const mount = mounts.find(({ name }) => name === volume['name']);
    return [
      {
        configMap,
        path: text(mount?.['mountPath']),
        files: Object.fromEntries(
          list(source['items']).map((item) => [text(item['path']), text(item['key'])]),
        ),
      },
    ];
  });
}

const REVISION = 'deployment.kubernetes.io/revision';

export function replicaSet(object: unknown, interner: Interner): ReplicaSetFacts {
  const source = map(object);
  const meta = map(source['metadata']);
  const spec = map(source['spec']);
  const template = map(spec['template']);
  const owner = controllerOf(source);
  return {
    ...base(source),
    uid: text(meta['uid']),
    owner: owner.kind === 'Deployment' ? owner.uid : '',
    podLabels: interner.labels(map(template['metadata'])['labels']),
    images: interner.images(list(map(template['spec'])['containers'])),
    revision: Number(text(map(meta['annotations'])[REVISION])) || 0,
    replicas: count(spec['replicas'], 1),
    running: count(map(source['status'])['replicas']),
  };
}

/** Most pods have nothing to say about their containers. */
const QUIET: readonly ContainerFacts[] = [];

function containers(status: Json): readonly ContainerFacts[] {
  const all = [...list(status['initContainerStatuses']), ...list(status['containerStatuses'])].map(
    (container) => {
      const waiting = map(map(container['state'])['waiting']);
      const now = map(map(container['state'])['terminated']);
      const last = map(map(container['lastState'])['terminated']);
      const ended = text(now['reason']) !== '' ? now : last;
      return {
        name: text(container['name']),
        restarts: count(container['restartCount']),
        waiting: text(waiting['reason']),
        waitingMessage: text(waiting['message']).slice(0, 300),
        ended: text(ended['reason']),
        endedAt: time(ended['finishedAt']),
      };
    },
  );
  const telling = all.filter(
    ({ restarts, waiting, ended }) => restarts > 0 || waiting !== '' || ended !== '',
  );
  return telling.length === 0 ? QUIET : telling;
}

export function pod(object: unknown, interner: Interner): PodFacts {
  const source = map(object);
  const meta = map(source['metadata']);
  const status = map(source['status']);
  const states = conditions(status);
  const ready = states.find(({ type }) => type === 'Ready');
  const scheduled = states.find(({ type }) => type === 'PodScheduled');
  const owner = controllerOf(source);
  return {
    ...base(source),
    uid: text(meta['uid']),
    owner: owner.uid,
    ownerKind: owner.kind,
    labels: interner.labels(meta['labels']),
    phase: text(status['phase']) || 'Unknown',
    reason: text(status['reason']),
    ready: ready?.status === 'True',
    readyChangedAt: ready?.changedAt ?? 0,
    unscheduled: scheduled?.status === 'False' ? scheduled.message || scheduled.reason : '',
    deletedAt: time(meta['deletionTimestamp']),
    ip: text(status['podIP']),
    images: interner.images(list(map(source['spec'])['containers'])),
    containers: containers(status),
  };
}

export function configMap(object: unknown): ConfigMapFacts {
  const source = map(object);
  const { namespace, name } = base(source);
  const managed = list(map(source['metadata'])['managedFields']).map(({ time: at }) => time(at));
  const data = Object.entries(map(source['data'])).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  );
  return {
    namespace,
    name,
    exists: true,
    changedAt: Math.max(0, ...managed),
    data: Object.fromEntries(data),
  };
}
