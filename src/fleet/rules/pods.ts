/** Pods that do not do well. One finding per trouble and Deployment, whatever the number of pods. */

import type { PodFacts, ReplicaSetFacts } from '../facts.ts';
import type { Kind, Severity } from '../finding.ts';
import { counted, type Rule, type RuleContext, some } from './rule.ts';

interface Trouble {
  readonly kind: Kind;
  readonly severity: Severity;
  /** Completes `3 pods …`. */
  readonly what: string;
  readonly since: number;
}

export const pods: Rule = (service, context) => {
  const { fleet, report } = context;
  const sets = new Map<string, ReplicaSetFacts>();
  const deployments = [...service.tracks.flatMap((track) => track.deployments), ...service.proxy.deployments];
  const names = new Map<string, string>();
  for (const deployment of deployments) {
    for (const set of fleet.replicaSetsOf(deployment)) {
      sets.set(set.uid, set);
      names.set(set.uid, deployment.name);
    }
  }
  const all = new Set([...service.tracks.flatMap((track) => track.pods), ...service.proxy.pods]);
  const groups = new Map<string, { trouble: Trouble; object: string; pods: PodFacts[] }>();
  for (const pod of all) {
    const troubles = [troubleOf(pod, context), mismatch(pod, sets.get(pod.owner)), untagged(pod)];
    const owner = names.get(pod.owner);
    const object = owner === undefined ? `Pod/${pod.name}` : `Deployment/${owner}`;
    for (const trouble of troubles) {
      if (trouble === undefined) continue;
      const key = `${trouble.kind}|${object}`;
      const group = groups.get(key);
      if (group === undefined) groups.set(key, { trouble, object, pods: [pod] });
      else group.pods.push(pod);
    }
  }
  for (const { trouble, object, pods: bad } of groups.values()) {
    const { kind, severity, what } = trouble;
    const since = Math.min(...bad.map((pod) => (troubleOf(pod, context) ?? trouble).since));
    report({
      kind,
      severity,
      object,
      since,
      message: `${counted(bad.length, 'pod')} ${bad.length === 1 ? what : plural(what)}: ${some(bad.map(({ name }) => name))}`,
      advice: adviceFor(kind, bad[0]!),
    });
  }
};

function plural(what: string): string {
  return what
    .replace(/^is /, 'are ')
    .replace(/^has /, 'have ')
    .replace(/^was /, 'were ')
    .replace(/^runs /, 'run ')
    .replace(/^does /, 'do ')
    .replace(/^cannot /, 'cannot ')
    .replace(/^crashes /, 'crash ')
    .replace(/^restarted /, 'restarted ')
    .replace(/^failed/, 'failed');
}

const PULL: ReadonlySet<string> = new Set([
  'ImagePullBackOff',
  'ErrImagePull',
  'InvalidImageName',
  'ErrImageNeverPull',
  'ImageInspectError',
  'RegistryUnavailable',
]);
const MAKE: ReadonlySet<string> = new Set([
  'CreateContainerConfigError',
  'CreateContainerError',
  'RunContainerError',
  'PreCreateHookError',
  'PostStartHookError',
]);
/** On top of what the pod itself may take to end. */
const END_GRACE_MS = 10 * 60_000;

function troubleOf(pod: PodFacts, { settings, now }: RuleContext): Trouble | undefined {
  const { grace } = settings;
  const make = (kind: Kind, severity: Severity, what: string, since: number): Trouble => ({
    kind,
    severity,
    what,
    since,
  });
  if (pod.deletedAt !== 0) {
    // deletionTimestamp is when the grace period ends, not when it was asked for.
    return now - pod.deletedAt > END_GRACE_MS
      ? make('pod-terminating', 'warning', 'does not end', pod.deletedAt)
      : undefined;
  }
  if (pod.phase === 'Failed')
    return make(
      'pod-failed',
      'warning',
      `failed${pod.reason === '' ? '' : ` (${pod.reason})`} and lies about`,
      pod.readyChangedAt || pod.createdAt,
    );
  const waiting = pod.containers.find(
    (container) =>
      container.waiting !== '' &&
      container.waiting !== 'ContainerCreating' &&
      container.waiting !== 'PodInitializing',
  );
  if (waiting !== undefined) {
    const { name, waiting: reason, waitingMessage, restarts } = waiting;
    const detail = waitingMessage === '' ? '' : `, ${waitingMessage}`;
    if (reason === 'CrashLoopBackOff') {
      const memory = waiting.ended === 'OOMKilled';
      return memory
        ? make(
            'pod-memory',
            'warning',
            `was ended for want of memory (container ${name}, ${counted(restarts, 'restart')})`,
            waiting.endedAt,
          )
        : make(
            'pod-crashing',
            'warning',
            `crashes again and again (container ${name}, ${counted(restarts, 'restart')})`,
            pod.readyChangedAt || pod.createdAt,
          );
    }
    if (PULL.has(reason))
      return make('pod-image', 'warning', `cannot pull the image (${reason}${detail})`, pod.createdAt);
    if (MAKE.has(reason))
      return make('pod-config', 'warning', `cannot be made (${reason}${detail})`, pod.createdAt);
  }
  const waitedSince = pod.createdAt;
  if (pod.phase === 'Pending' && now - waitedSince > grace.pod) {
    return pod.unscheduled !== ''
      ? make('pod-unschedulable', 'warning', `is not scheduled (${pod.unscheduled})`, waitedSince)
      : make('pod-pending', 'warning', 'is pending', waitedSince);
  }
  const lately = pod.containers.filter(({ endedAt }) => endedAt !== 0 && now - endedAt < grace.restarts);
  const killed = lately.find(({ ended }) => ended === 'OOMKilled');
  if (killed !== undefined)
    return make(
      'pod-memory',
      'warning',
      `was ended for want of memory (container ${killed.name})`,
      killed.endedAt,
    );
  const restarted = lately.find(({ restarts }) => restarts >= settings.restarts);
  if (restarted !== undefined) {
    return make(
      'pod-restarts',
      'warning',
      `restarted lately (container ${restarted.name}, ${restarted.restarts} times in all)`,
      restarted.endedAt,
    );
  }
  if (
    pod.phase === 'Running' &&
    !pod.ready &&
    pod.readyChangedAt !== 0 &&
    now - pod.readyChangedAt > grace.pod
  ) {
    return make('pod-not-ready', 'warning', 'runs without being ready', pod.readyChangedAt);
  }
  return undefined;
}

function mismatch(pod: PodFacts, set: ReplicaSetFacts | undefined): Trouble | undefined {
  if (set === undefined || pod.deletedAt !== 0 || set.images.length === 0) return undefined;
  // Sidecars that admission adds are no mismatch; what the ReplicaSet asks for must be there.
  const wrong = set.images.find((image) => !pod.images.includes(image));
  if (wrong === undefined) return undefined;
  return {
    kind: 'image-mismatch',
    severity: 'warning',
    what: `runs ${pod.images.join(', ') || 'no image'} instead of ${wrong}`,
    since: pod.createdAt,
  };
}

function untagged(pod: PodFacts): Trouble | undefined {
  const bad = pod.images.find((image) => !isVersioned(image));
  return bad === undefined
    ? undefined
    : {
        kind: 'image-untagged',
        severity: 'warning',
        what: `runs ${bad}, which names no version`,
        since: pod.createdAt,
      };
}

/** A digest, or a tag that is not `latest`; a colon before a slash is the port of a registry. */
export function isVersioned(image: string): boolean {
  if (image.includes('@')) return true;
  const name = image.slice(image.lastIndexOf('/') + 1);
  const tag = name.includes(':') ? name.slice(name.indexOf(':') + 1) : '';
  return tag !== '' && tag !== 'latest';
}

function adviceFor(kind: Kind, { namespace, name, containers }: PodFacts): string {
  switch (kind) {
    case 'pod-crashing':
      return `kubectl -n ${namespace} logs ${name} --previous`;
    case 'pod-memory':
      return `raise the memory limit, or find the leak; kubectl -n ${namespace} logs ${name}${containers.length > 0 ? ' --previous' : ''}`;
    case 'pod-failed':
      return `kubectl -n ${namespace} delete pod ${name}`;
    case 'pod-terminating':
      return `kubectl -n ${namespace} describe pod ${name}; is its node still there, does a finalizer hold it?`;
    case 'image-mismatch':
      return `delete the pod; its controller makes a right one: kubectl -n ${namespace} delete pod ${name}`;
    case 'image-untagged':
      return 'name the build by tag or digest, or nobody can tell what runs';
    default:
      return `kubectl -n ${namespace} describe pod ${name}`;
  }
}
