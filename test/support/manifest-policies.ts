/** What manifests must keep besides being valid: the restricted Pod Security Standard, and rules of our own. */

import { parseConfig } from '../../src/config/load.ts';
import type { Manifest } from './manifest-faults.ts';

// biome-ignore lint/suspicious/noExplicitAny: read by key, as manifests are
type Loose = any;

interface Pod {
  readonly owner: Manifest;
  readonly where: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly spec: Loose;
}

/** One line for each rule that is broken. */
export function brokenPolicies(manifests: readonly Manifest[]): string[] {
  const pods = manifests.flatMap(podOf);
  return [
    ...pods.flatMap(podSecurity),
    ...pods.flatMap((pod) => podRules(pod, manifests)),
    ...manifests.flatMap((manifest) => references(manifest, manifests, pods)),
  ];
}

function podOf(owner: Manifest): Pod[] {
  const template: Loose =
    owner.kind === 'CronJob' ? owner['spec'].jobTemplate.spec.template : owner['spec']?.template;
  if (template?.spec === undefined) return [];
  const where = `${owner.kind}/${owner.metadata.name}`;
  return [{ owner, where, labels: template.metadata?.labels ?? {}, spec: template.spec }];
}

function containersOf({ spec }: Pod): Loose[] {
  return [...(spec.initContainers ?? []), ...spec.containers];
}

const isSidecar = (container: Loose) => container.restartPolicy === 'Always';

/** https://kubernetes.io/docs/concepts/security/pod-security-standards/, level restricted. */
function podSecurity(pod: Pod): string[] {
  const { spec, where } = pod;
  const own: Loose = spec.securityContext ?? {};
  const faults: string[] = [];
  const demand = (ok: boolean, what: string) => void (ok || faults.push(`${where}: ${what}`));
  for (const key of ['hostNetwork', 'hostPID', 'hostIPC']) demand(spec[key] !== true, key);
  for (const volume of spec.volumes ?? []) {
    const kinds = Object.keys(volume).filter((key) => key !== 'name');
    const allowed = [
      'configMap',
      'csi',
      'downwardAPI',
      'emptyDir',
      'persistentVolumeClaim',
      'projected',
      'secret',
    ];
    demand(
      kinds.every((kind) => allowed.includes(kind)),
      `volume ${volume.name} is a ${kinds}`,
    );
  }
  for (const container of containersOf(pod)) {
    const context: Loose = container.securityContext ?? {};
    const either = (key: string) => context[key] ?? own[key];
    const told = (what: string) => `${container.name}: ${what}`;
    demand(either('runAsNonRoot') === true, told('runAsNonRoot'));
    demand(Number(either('runAsUser')) >= 10_000, told('runAsUser is no high number'));
    demand(either('seccompProfile')?.type === 'RuntimeDefault', told('seccompProfile'));
    demand(context.allowPrivilegeEscalation === false, told('allowPrivilegeEscalation'));
    demand(context.privileged !== true, told('privileged'));
    demand(String(context.capabilities?.drop) === 'ALL', told('capabilities.drop'));
    demand(context.capabilities?.add === undefined, told('capabilities.add'));
    for (const port of container.ports ?? []) demand(port.hostPort === undefined, told('hostPort'));
    // Beyond restricted.
    demand(context.readOnlyRootFilesystem === true, told('readOnlyRootFilesystem'));
  }
  return faults;
}

function podRules(pod: Pod, manifests: readonly Manifest[]): string[] {
  const { spec, where, owner } = pod;
  const faults: string[] = [];
  const demand = (ok: boolean, what: string) => void (ok || faults.push(`${where}: ${what}`));
  const asksApi = pod.labels['app.kubernetes.io/name']?.startsWith('pointsman-fleet') === true;
  demand(spec.automountServiceAccountToken === asksApi, 'automountServiceAccountToken');
  demand(spec.enableServiceLinks === false, 'enableServiceLinks');
  const lasting = owner.kind === 'Deployment';
  for (const container of containersOf(pod)) {
    const told = (what: string) => `${container.name}: ${what}`;
    demand(/:[^/:@]+(@sha256:[0-9a-f]{64})?$/.test(container.image), told('the image has no tag'));
    demand(!/:latest(@|$)/.test(container.image), told('the tag is latest'));
    const { requests = {}, limits = {} } = container.resources ?? {};
    demand(requests.cpu !== undefined && requests.memory !== undefined, told('requests'));
    demand(limits.memory !== undefined, told('limits.memory'));
    demand(limits.cpu === undefined, told('limits.cpu throttles'));
    for (const mount of container.volumeMounts ?? []) demand(mount.subPath === undefined, told('subPath'));
    if (!lasting || (container.ports ?? []).length === 0) continue;
    if (isSidecar(container)) demand(container.startupProbe !== undefined, told('startupProbe'));
    else demand(container.readinessProbe !== undefined, told('readinessProbe'));
    demand(container.livenessProbe !== undefined, told('livenessProbe'));
    const paths = [container.readinessProbe, container.livenessProbe].map((probe) => probe?.httpGet?.path);
    demand(paths[0] === undefined || paths[0] !== paths[1], told('liveness asks what readiness asks'));
  }
  if (lasting) {
    const rolling = owner['spec'].strategy?.rollingUpdate;
    const scaledDown = owner['spec'].replicas === 1;
    demand(scaledDown || rolling?.maxUnavailable === 0, 'maxUnavailable is not 0');
    demand(owner['spec'].replicas === undefined ? scaled(owner, manifests) : true, 'no replicas');
    demand(
      !(owner['spec'].replicas !== undefined && scaled(owner, manifests)),
      'replicas beside an autoscaler',
    );
  }
  for (const container of containersOf(pod)) faults.push(...tableRules(pod, container, manifests));
  return faults;
}

/** The table that the container mounts is good, and the pod waits for its `shutdown`. */
function tableRules({ spec, where }: Pod, container: Loose, manifests: readonly Manifest[]): string[] {
  if (container.args?.[0] !== 'run') return [];
  const mount = container.volumeMounts?.find((one: Loose) => one.mountPath === '/etc/pointsman');
  const volume = spec.volumes?.find((one: Loose) => one.name === mount?.name);
  const name = volume?.configMap?.name;
  const map = manifests.find((one) => one.kind === 'ConfigMap' && one.metadata.name === name);
  if (map === undefined) return [`${where}: the ConfigMap ${name} is missing`];
  const environment = Object.fromEntries(
    (container.env ?? []).map((e: Loose) => [e.name, e.value ?? 'from elsewhere']),
  );
  const file = `ConfigMap/${name}`;
  const { config, problems } = parseConfig(map['data']['pointsman.yaml'], { file, environment });
  const faults = problems.map((problem) => `${file}: ${problem.message}`);
  if (config === undefined) return faults;
  const needed = (config.shutdown.delay + config.shutdown.timeout) / 1_000;
  const grace = spec.terminationGracePeriodSeconds ?? 30;
  const preStop = container.lifecycle?.preStop?.sleep?.seconds ?? 0;
  if (grace < needed + preStop + 5) faults.push(`${where}: ${grace} s of grace for ${needed} s of shutdown`);
  const { readinessProbe } = container;
  if (readinessProbe !== undefined) {
    // Endpoints must be gone before the listener is.
    const noticed = readinessProbe.periodSeconds * readinessProbe.failureThreshold;
    if (noticed >= config.shutdown.delay / 1_000) faults.push(`${where}: unready only after ${noticed} s`);
  }
  for (const { name: port, containerPort } of container.ports ?? []) {
    const address = port.endsWith('admin') ? config.admin : config.listen;
    if (address.port !== containerPort) faults.push(`${where}: port ${port} is ${address.port} in the table`);
  }
  return faults;
}

function scaled(owner: Manifest, manifests: readonly Manifest[]): boolean {
  return manifests.some(
    ({ kind, ...rest }) =>
      kind === 'HorizontalPodAutoscaler' && (rest as Loose).spec.scaleTargetRef.name === owner.metadata.name,
  );
}

/** What names or selects something finds it. */
function references(manifest: Manifest, manifests: readonly Manifest[], pods: readonly Pod[]): string[] {
  const { kind, metadata } = manifest;
  const spec: Loose = manifest['spec'];
  const where = `${kind}/${metadata.name}`;
  const has = (wanted: string, name: string) =>
    manifests.some((one) => one.kind === wanted && one.metadata.name === name);
  const selected = (labels: Readonly<Record<string, string>>) =>
    pods.filter((pod) => covers(labels, pod.labels));
  switch (kind) {
    case 'Service': {
      const found = selected(spec.selector);
      if (found.length !== 1) return [`${where}: selects ${found.length} kinds of pods`];
      const ports = containersOf(found[0]!).flatMap((container) => container.ports ?? []);
      return spec.ports
        .filter(({ targetPort }: Loose) => !ports.some((port: Loose) => port.name === targetPort))
        .map(({ targetPort }: Loose) => `${where}: no pod has the port ${targetPort}`);
    }
    case 'PodDisruptionBudget':
    case 'PodMonitor':
      return selected(spec.selector.matchLabels).length === 1 ? [] : [`${where}: selects no or several pods`];
    case 'NetworkPolicy': {
      if (selected(spec.podSelector.matchLabels).length !== 1)
        return [`${where}: selects no or several pods`];
      // Whoever reaches the admin port sees everything there.
      const open = spec.ingress.filter(
        ({ ports = [], from = [] }: Loose) =>
          from.length === 0 && (ports.length === 0 || ports.some(({ port }: Loose) => port !== 'http')),
      );
      if (open.length > 0) return [`${where}: lets everybody to more than the port of traffic`];
      // Where the tracks are at hand, traffic gets to them.
      const tracks = pods.filter(({ labels }) => labels['tier'] === 'service');
      const out: Loose[] = spec.egress.flatMap((rule: Loose) => rule.to ?? []);
      return tracks
        .filter(
          (track) => !out.some((to) => to.podSelector && covers(to.podSelector.matchLabels, track.labels)),
        )
        .map((track) => `${where}: lets nothing out to ${track.where}`);
    }
    case 'HorizontalPodAutoscaler':
      return has(spec.scaleTargetRef.kind, spec.scaleTargetRef.name) ? [] : [`${where}: scales nothing`];
    case 'Deployment': {
      const template = spec.template;
      const faults: string[] = [];
      if (!covers(spec.selector.matchLabels, template.metadata.labels))
        faults.push(`${where}: selects no own pod`);
      const account = template.spec.serviceAccountName;
      if (account !== undefined && !has('ServiceAccount', account))
        faults.push(`${where}: no account ${account}`);
      const spread = [
        ...(template.spec.topologySpreadConstraints ?? []),
        ...(
          template.spec.affinity?.podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []
        ).map((one: Loose) => one.podAffinityTerm),
      ];
      for (const { labelSelector } of spread) {
        if (!covers(labelSelector.matchLabels, template.metadata.labels))
          faults.push(`${where}: spreads others`);
      }
      return faults;
    }
    default:
      return [];
  }
}

function covers(wanted: Readonly<Record<string, string>>, labels: Readonly<Record<string, string>>): boolean {
  return Object.entries(wanted).every(([key, value]) => labels[key] === value);
}
