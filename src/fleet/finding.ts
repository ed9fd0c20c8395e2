/** One thing that is wrong. */

export type Severity = 'info' | 'warning' | 'unknown' | 'critical';

/** From harmless to worst. What is unknown may hide anything, so it outranks a warning. */
export const SEVERITIES: readonly Severity[] = ['info', 'warning', 'unknown', 'critical'];

export interface Finding {
  /** One of `KINDS`. */
  readonly kind: string;
  readonly severity: Severity;
  readonly namespace: string;
  /** Microservice; '' when it is about none. */
  readonly service: string;
  /** `Kind/name` of what it is about. With kind and namespace it tells findings apart, so counts stay out of it. */
  readonly object: string;
  readonly message: string;
  /** Epoch ms; 0 when nothing tells. */
  readonly since: number;
  /** What to do. */
  readonly advice: string;
}

export function rankOf(severity: Severity): number {
  return SEVERITIES.indexOf(severity);
}

/** Worst first, then by place. */
export function compareFindings(a: Finding, b: Finding): number {
  return (
    rankOf(b.severity) - rankOf(a.severity) ||
    order(a.namespace, b.namespace) ||
    order(a.service, b.service) ||
    order(a.kind, b.kind) ||
    order(a.object, b.object)
  );
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function worstOf(findings: readonly Finding[]): Severity | undefined {
  let worst: Severity | undefined;
  for (const { severity } of findings) {
    if (worst === undefined || rankOf(severity) > rankOf(worst)) worst = severity;
  }
  return worst;
}

/** Exit codes as monitoring plugins have them: 0 fine, 1 warning, 2 critical, 3 something could not be looked at. */
export function exitCodeOf(findings: readonly Finding[]): number {
  const codes: Readonly<Record<Severity, number>> = { info: 0, warning: 1, critical: 2, unknown: 3 };
  const worst = worstOf(findings);
  return worst === undefined ? 0 : codes[worst];
}

/** What stays the same while a finding lasts. */
export function identityOf(cluster: string, finding: Finding): string {
  return [cluster, finding.namespace, finding.service, finding.kind, finding.object].join('|');
}

/** Every kind there is, and what it means. */
export const KINDS = {
  'proxy-missing': 'no Deployment runs the proxy',
  'proxy-down': 'no pod of the proxy is ready',
  'proxy-unavailable': 'the Deployment of the proxy says that it is not available',
  'proxy-scaled-down': 'the proxy is scaled below its wanted replicas',
  'proxy-not-ready': 'fewer pods of the proxy are ready than wanted',
  'track-missing': 'a required track has no Service',
  'track-unbacked': 'a Service selects nothing that exists',
  'endpoints-none': 'a track has no ready endpoint',
  'endpoints-few': 'a track has fewer ready endpoints than it must have',
  'port-unknown': 'a Service points at a named port that no container has',
  'selector-overlap': 'one pod is behind two tracks',
  'rollout-stuck': 'a rollout passed its deadline',
  'rollout-paused': 'a rollout is paused',
  'rollout-unseen': 'the controller has not looked at the newest Deployment',
  'replica-failure': 'pods cannot be created, for instance over a quota',
  'pods-missing': 'a track runs fewer pods than its Deployment wants',
  'old-build': 'an old ReplicaSet still runs after its rollout',
  'two-deployments': 'two Deployments run behind one track',
  'unrouted-deployment': 'a Deployment of a track runs, and no Service selects it',
  'orphan-replicaset': 'a ReplicaSet without a Deployment runs behind a track',
  'orphan-pod': 'a pod without a controller runs behind a track',
  'over-replicated': 'a track runs more pods than it should',
  'pod-crashing': 'a container crashes again and again',
  'pod-image': 'an image cannot be pulled',
  'pod-config': 'a container cannot be made, for instance for want of a Secret',
  'pod-unschedulable': 'no node takes a pod',
  'pod-pending': 'a pod does not start',
  'pod-not-ready': 'a pod runs without being ready',
  'pod-restarts': 'containers restarted lately',
  'pod-memory': 'a container was ended for want of memory',
  'pod-failed': 'a pod failed or was evicted and lies about',
  'pod-terminating': 'a pod does not end',
  'image-mismatch': 'a pod runs another image than its ReplicaSet says',
  'image-untagged': 'an image is named by no version',
  'config-missing': 'the ConfigMap of a proxy does not exist',
  'table-invalid': 'the table in the ConfigMap is no valid configuration',
  'table-stale': 'a proxy routes by another table than its ConfigMap holds',
  'table-refused': 'a proxy refused its table and keeps the old one',
  'table-restart': 'a change of the table waits for a restart',
  'set-by-hand': 'something is set by hand at a proxy, or braked by a guard',
  'table-backend-unknown': 'the table names a Service that does not exist',
  'track-unrouted': 'no backend of the table leads to a track',
  'proxy-silent': 'a proxy does not say which table it has',
  'git-image': 'the cluster runs another image than git says',
  'git-replicas': 'the cluster wants other replicas than git says',
  'git-config': 'the ConfigMap differs from git',
  'git-missing': 'git has an object that the cluster has not',
  'git-extra': 'the cluster has a track that git has not',
  'git-unreadable': 'a manifest of the repository cannot be read',
  'no-services': 'no Service has the label',
  'not-seen': 'something could not be looked at',
  'agent-silent': 'an agent has not reported for too long',
} as const satisfies Readonly<Record<string, string>>;

export type Kind = keyof typeof KINDS;
