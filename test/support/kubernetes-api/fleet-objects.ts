/** Objects of a fleet as a cluster has them: per service four tracks and a proxy, each with everything that controllers add. */

import { stringify } from 'yaml';
import type { KubernetesObject } from './store.ts';

export interface TrackSpec {
  readonly track: string;
  readonly replicas: number;
  readonly image: string;
}

export interface ServiceSpec {
  readonly name: string;
  readonly namespace?: string;
  readonly tracks?: readonly TrackSpec[];
  readonly proxyReplicas?: number;
  /** Address of each proxy pod, by index; default: 10.1.x.y. */
  readonly proxyAddress?: (index: number) => string;
  readonly adminPort?: number;
  /** Text of the table; default: the four rows with the Services' names. */
  readonly table?: string;
  /** As large as real pods are: some 5 KiB. */
  readonly realistic?: boolean;
  /** When it was deployed; epoch ms. */
  readonly deployedAt?: number;
  /** Old ReplicaSets that are kept for a rollback, with 0 pods. */
  readonly history?: number;
}

export const NOW = Date.parse('2026-11-23T12:00:00Z');
const DAY = 86_400_000;

export const FOUR_TRACKS: readonly TrackSpec[] = [
  { track: 'internal', replicas: 2, image: 'registry.example/app:1.9.0' },
  { track: 'canary', replicas: 4, image: 'registry.example/app:1.8.2' },
  { track: 'paid', replicas: 4, image: 'registry.example/app:1.8.1' },
  { track: 'production', replicas: 10, image: 'registry.example/app:1.8.0' },
];

export const PROXY_IMAGE = 'ghcr.io/pointsman/pointsman:0.1.0';

export function tableText(
  service: string,
  tracks: readonly string[] = FOUR_TRACKS.map(({ track }) => track),
): string {
  const last = tracks.at(-1)!;
  return stringify({
    service,
    backends: Object.fromEntries(tracks.map((track) => [track, { url: `http://${service}-${track}:8080` }])),
    routes: [
      ...tracks
        .filter((track) => track !== last)
        .map((track) => ({
          name: track,
          match: { group: track.toUpperCase() },
          split: { [track]: 5, [last]: 95 },
        })),
      { name: 'rest', split: { [last]: 100 } },
    ],
  });
}

const iso = (at: number) => new Date(at).toISOString().replace(/\.\d+Z$/, 'Z');

let addresses = 0;

/** Every object of one service; nothing is wrong with it. */
export function serviceObjects(spec: ServiceSpec): KubernetesObject[] {
  const {
    name,
    namespace = 'shop',
    tracks = FOUR_TRACKS,
    proxyReplicas = 4,
    adminPort = 9901,
    deployedAt = NOW - 3 * DAY,
    realistic = false,
    history = 1,
  } = spec;
  const table =
    spec.table ??
    tableText(
      name,
      tracks.map(({ track }) => track),
    );
  const context = { namespace, deployedAt, realistic, history };
  const config: KubernetesObject = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      name: `${name}-proxy`,
      namespace,
      creationTimestamp: iso(deployedAt),
      managedFields: [
        {
          manager: 'kubectl',
          operation: 'Update',
          apiVersion: 'v1',
          time: iso(deployedAt),
          fieldsType: 'FieldsV1',
          fieldsV1: {},
        },
      ],
    },
    data: { 'pointsman.yaml': table },
  };
  return [
    config,
    ...tracks.flatMap(({ track, replicas, image }) =>
      stack({
        ...context,
        name: `${name}-${track}`,
        labels: { app: name, track },
        replicas,
        container: { name: 'app', image, ports: [{ name: 'http', containerPort: 8080, protocol: 'TCP' }] },
        volumes: [],
        address: undefined,
      }),
    ),
    ...stack({
      ...context,
      name,
      labels: { app: name, track: 'proxy' },
      replicas: proxyReplicas,
      container: {
        name: 'pointsman',
        image: PROXY_IMAGE,
        args: ['run', '--config', '/etc/pointsman/pointsman.yaml'],
        ports: [
          { name: 'http', containerPort: 8080, protocol: 'TCP' },
          { name: 'admin', containerPort: adminPort, protocol: 'TCP' },
        ],
        volumeMounts: [{ name: 'config', mountPath: '/etc/pointsman' }],
      },
      volumes: [{ name: 'config', configMap: { name: `${name}-proxy` } }],
      address: spec.proxyAddress,
    }),
  ];
}

interface Container {
  readonly name: string;
  readonly image: string;
  readonly [key: string]: unknown;
}

interface Stack {
  readonly name: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly replicas: number;
  readonly container: Container;
  readonly volumes: readonly unknown[];
  readonly address: ((index: number) => string) | undefined;
  readonly deployedAt: number;
  readonly realistic: boolean;
  readonly history: number;
}

/** Service, slice, Deployment, ReplicaSets and pods. */
export function stack(of: Stack): KubernetesObject[] {
  const { name, namespace, labels, replicas, container, volumes, deployedAt, history } = of;
  const created = iso(deployedAt - 30 * DAY);
  const uid = (kind: string, id = '') => `${kind}-${namespace}-${name}${id}`;
  const podSpec = {
    containers: [
      { ...container, terminationMessagePath: '/dev/termination-log', imagePullPolicy: 'IfNotPresent' },
    ],
    volumes: [...volumes],
    restartPolicy: 'Always',
  };
  const setOf = (revision: number, count: number, image: string): KubernetesObject => ({
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: {
      name: `${name}-r${revision}`,
      namespace,
      uid: uid('rs', `-r${revision}`),
      labels: { ...labels, 'pod-template-hash': `r${revision}` },
      annotations: { 'deployment.kubernetes.io/revision': String(revision) },
      creationTimestamp: iso(deployedAt - (history + 1 - revision) * DAY),
      ownerReferences: [owner('apps/v1', 'Deployment', name, uid('deployment'))],
    },
    spec: {
      replicas: count,
      selector: { matchLabels: { ...labels, 'pod-template-hash': `r${revision}` } },
      template: {
        metadata: { labels: { ...labels, 'pod-template-hash': `r${revision}` } },
        spec: { ...podSpec, containers: [{ ...podSpec.containers[0]!, image }] },
      },
    },
    status: {
      replicas: count,
      fullyLabeledReplicas: count,
      readyReplicas: count,
      availableReplicas: count,
      observedGeneration: 1,
    },
  });
  const revision = history + 1;
  const current = setOf(revision, replicas, container.image);
  const pods = Array.from({ length: replicas }, (_, index) => podOf(of, current, podSpec, index));
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: {
        name,
        namespace,
        uid: uid('service'),
        labels: { ...labels, tier: 'service' },
        creationTimestamp: created,
      },
      spec: {
        type: 'ClusterIP',
        clusterIP: '10.96.0.1',
        clusterIPs: ['10.96.0.1'],
        selector: { ...labels },
        ports: [{ name: 'http', port: 8080, targetPort: 'http', protocol: 'TCP' }],
      },
      status: { loadBalancer: {} },
    },
    sliceOf(name, namespace, pods),
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: {
        name,
        namespace,
        uid: uid('deployment'),
        generation: 3,
        labels: { ...labels },
        creationTimestamp: created,
      },
      spec: {
        replicas,
        selector: { matchLabels: { ...labels } },
        template: { metadata: { labels: { ...labels } }, spec: podSpec },
        strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%', maxUnavailable: '25%' } },
      },
      status: {
        observedGeneration: 3,
        replicas,
        updatedReplicas: replicas,
        readyReplicas: replicas,
        availableReplicas: replicas,
        conditions: [
          {
            type: 'Available',
            status: 'True',
            reason: 'MinimumReplicasAvailable',
            message: 'Deployment has minimum availability.',
            lastUpdateTime: iso(deployedAt),
            lastTransitionTime: iso(deployedAt),
          },
          {
            type: 'Progressing',
            status: 'True',
            reason: 'NewReplicaSetAvailable',
            message: `ReplicaSet "${name}-r${revision}" has successfully progressed.`,
            lastUpdateTime: iso(deployedAt),
            lastTransitionTime: created,
          },
        ],
      },
    },
    ...Array.from({ length: history }, (_, index) =>
      setOf(index + 1, 0, `${container.image.split(':')[0]}:0.${index}.0`),
    ),
    current,
    ...pods,
  ];
}

function owner(apiVersion: string, kind: string, name: string, uid: string) {
  return { apiVersion, kind, name, uid, controller: true, blockOwnerDeletion: true };
}

export function sliceOf(
  service: string,
  namespace: string,
  pods: readonly KubernetesObject[],
  id = 'a',
): KubernetesObject {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${service}-${id}`,
      namespace,
      labels: {
        'kubernetes.io/service-name': service,
        'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
      },
      creationTimestamp: iso(NOW - 30 * DAY),
    },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: pods.map((pod) => ({
      addresses: [(pod['status'] as { podIP: string }).podIP],
      conditions: { ready: true, serving: true, terminating: false },
      targetRef: { kind: 'Pod', name: pod.metadata.name, namespace, uid: pod.metadata.uid! },
      nodeName: 'node-1',
      zone: 'eu-1a',
    })),
  };
}

function podOf(
  of: Stack,
  set: KubernetesObject,
  podSpec: { readonly containers: readonly Container[] },
  index: number,
): KubernetesObject {
  const { namespace, deployedAt, realistic } = of;
  const at = iso(deployedAt);
  const number = addresses++;
  const ip = of.address?.(index) ?? `10.${1 + ((number >> 16) & 63)}.${(number >> 8) & 255}.${number & 255}`;
  const [container] = podSpec.containers;
  const name = `${set.metadata.name}-${index.toString(36).padStart(5, 'x')}`;
  const condition = (type: string) => ({ type, status: 'True', lastProbeTime: null, lastTransitionTime: at });
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace,
      uid: `pod-${namespace}-${name}`,
      generateName: `${set.metadata.name}-`,
      labels: { ...(set.metadata.labels ?? {}) },
      creationTimestamp: at,
      ownerReferences: [owner('apps/v1', 'ReplicaSet', set.metadata.name, set.metadata.uid!)],
      ...(realistic ? { annotations: ANNOTATIONS, managedFields: MANAGED } : {}),
    },
    spec: { ...podSpec, nodeName: `node-${number % 40}`, ...(realistic ? LONG_SPEC : {}) },
    status: {
      phase: 'Running',
      podIP: ip,
      podIPs: [{ ip }],
      hostIP: '10.0.0.1',
      startTime: at,
      qosClass: 'Burstable',
      conditions: [
        condition('PodReadyToStartContainers'),
        condition('Initialized'),
        condition('Ready'),
        condition('ContainersReady'),
        condition('PodScheduled'),
      ],
      containerStatuses: [
        {
          name: container!.name,
          image: container!.image,
          imageID: `registry.example/app@sha256:${'0'.repeat(64)}`,
          containerID: `containerd://${'1'.repeat(64)}`,
          ready: true,
          started: true,
          restartCount: 0,
          state: { running: { startedAt: at } },
          lastState: {},
        },
      ],
    },
  };
}

const ANNOTATIONS = {
  'prometheus.io/scrape': 'true',
  'prometheus.io/port': '9901',
  'checksum/config': 'a'.repeat(64),
  'kubectl.kubernetes.io/restartedAt': '2026-11-20T12:00:00Z',
};

const MANAGED = ['kube-controller-manager', 'kubelet'].map((manager) => ({
  manager,
  operation: 'Update',
  apiVersion: 'v1',
  time: '2026-11-20T12:00:00Z',
  fieldsType: 'FieldsV1',
  fieldsV1: Object.fromEntries(
    Array.from({ length: 24 }, (_, i) => [
      `f:field${i}`,
      { '.': {}, [`k:{"name":"${i}"}`]: { 'f:value': {} } },
    ]),
  ),
}));

const LONG_SPEC = {
  serviceAccountName: 'default',
  dnsPolicy: 'ClusterFirst',
  schedulerName: 'default-scheduler',
  terminationGracePeriodSeconds: 60,
  tolerations: ['not-ready', 'unreachable'].map((key) => ({
    key: `node.kubernetes.io/${key}`,
    operator: 'Exists',
    effect: 'NoExecute',
    tolerationSeconds: 300,
  })),
  affinity: {
    podAntiAffinity: {
      preferredDuringSchedulingIgnoredDuringExecution: [
        { weight: 100, podAffinityTerm: { topologyKey: 'kubernetes.io/hostname' } },
      ],
    },
  },
  initContainers: [
    {
      name: 'prepare',
      image: 'registry.example/prepare:1.0.0',
      env: Array.from({ length: 20 }, (_, i) => ({ name: `SETTING_${i}`, value: `value of setting ${i}` })),
    },
  ],
};

/** A healthy fleet of `count` services. */
export function fleetObjects(count: number, spec: Partial<ServiceSpec> = {}): KubernetesObject[] {
  return Array.from({ length: count }, (_, index) =>
    serviceObjects({ ...spec, name: `service-${String(index).padStart(3, '0')}` }),
  ).flat();
}
