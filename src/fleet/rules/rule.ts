/** What a family of rules is given and gives. */

import type { DeploymentFacts, ServiceFacts } from '../facts.ts';
import type { Finding, Kind, Severity } from '../finding.ts';
import type { FleetView, ServiceView } from '../model.ts';
import type { FleetSettings } from '../settings.ts';

export interface Report {
  readonly kind: Kind;
  readonly severity: Severity;
  readonly object: string;
  readonly message: string;
  readonly advice: string;
  readonly since?: number;
}

export interface RuleContext {
  readonly fleet: FleetView;
  readonly settings: FleetSettings;
  readonly now: number;
  readonly report: (report: Report) => void;
}

/** Looks at one microservice. */
export type Rule = (service: ServiceView, context: RuleContext) => void;

export function finding(report: Report, namespace: string, service: string): Finding {
  return { ...report, namespace, service, since: report.since ?? 0 };
}

/** Pods may be fewer or mixed now without anything being wrong: the Deployment changes, and has time left. */
export function isRollingOut(deployment: DeploymentFacts, now: number, grace: number): boolean {
  if (!deployment.hasStatus) return true;
  const progress = deployment.conditions.find(({ type }) => type === 'Progressing');
  if (progress?.status === 'False') return false;
  if (deployment.observedGeneration < deployment.generation) return true;
  if (
    deployment.updated >= deployment.replicas &&
    deployment.running <= deployment.replicas &&
    deployment.available >= deployment.replicas
  )
    return false;
  const changed = Math.max(progress?.updatedAt ?? 0, progress?.changedAt ?? 0, deployment.createdAt);
  return now - changed < grace;
}

export function deploymentName({ name }: DeploymentFacts): string {
  return `Deployment/${name}`;
}

export function serviceName({ name }: ServiceFacts): string {
  return `Service/${name}`;
}

/** `3 pods`, `1 pod`. */
export function counted(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`;
}

/** The first few, and how many more. */
export function some(names: readonly string[], most = 3): string {
  const rest = names.length - most;
  return rest > 0 ? `${names.slice(0, most).join(', ')} and ${rest} more` : names.join(', ');
}
