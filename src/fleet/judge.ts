/** Survey → findings: the whole judgement, pure, so that the command, the page, alerts and tests share it. */

import type { DeploymentFacts, ServiceFacts, Survey } from './facts.ts';
import { compareFindings, type Finding } from './finding.ts';
import { buildFleet, type FleetView, type ServiceView } from './model.ts';
import { endpoints } from './rules/endpoints.ts';
import { git } from './rules/git.ts';
import { leftovers } from './rules/leftovers.ts';
import { pods } from './rules/pods.ts';
import { proxies } from './rules/proxies.ts';
import { rollouts } from './rules/rollouts.ts';
import { finding, type Rule } from './rules/rule.ts';
import { tables } from './rules/tables.ts';
import { ANNOTATIONS, type FleetSettings, type Ignore } from './settings.ts';

const RULES: readonly Rule[] = [proxies, endpoints, rollouts, leftovers, pods, tables];

export interface Judgement {
  readonly fleet: FleetView;
  /** Worst first. */
  readonly findings: readonly Finding[];
  /** Findings that settings or annotations accept. */
  readonly ignored: number;
}

export function judge(survey: Survey, settings: FleetSettings): Judgement {
  const fleet = buildFleet(survey, settings);
  const all: Finding[] = [];
  const kept: Finding[] = [];
  for (const service of fleet.services) {
    const found: Finding[] = [];
    const context = {
      fleet,
      settings,
      now: survey.at,
      report: (report: Parameters<typeof finding>[0]) =>
        void found.push(finding(report, service.namespace, service.name)),
    };
    for (const rule of RULES) rule(service, context);
    all.push(...found);
    kept.push(...found.filter((one) => !isAccepted(one, service, settings, survey.at)));
  }
  const whole: Finding[] = [];
  if (survey.repository !== undefined) {
    git(
      fleet,
      survey.repository,
      ({ namespace, service, ...report }) => void whole.push(finding(report, namespace, service)),
    );
  }
  whole.push(...coverage(survey));
  all.push(...whole);
  kept.push(...whole.filter((one) => !settings.ignore.some((ignore) => matches(ignore, one, survey.at))));
  return { fleet, findings: kept.sort(compareFindings), ignored: all.length - kept.length };
}

/** What could not be looked at is never fine. */
function coverage({ gaps, services, namespaces }: Survey): Finding[] {
  const found = gaps.map(
    ({ kind, namespace, message }): Finding => ({
      kind: 'not-seen',
      severity: 'unknown',
      namespace,
      service: '',
      object: `Kind/${kind}`,
      message,
      since: 0,
      advice: `what depends on ${kind} is unknown; everything else below holds`,
    }),
  );
  if (services.length > 0 || gaps.some(({ kind }) => kind === 'Service')) return found;
  const where = namespaces.length === 0 ? 'any namespace' : `namespace ${namespaces.join(', ')}`;
  found.push({
    kind: 'no-services',
    severity: 'unknown',
    namespace: namespaces[0] ?? '',
    service: '',
    object: 'Kind/Service',
    message: `no Service in ${where} has the label that is looked for`,
    since: 0,
    advice: 'label the Services tier: service, or look elsewhere with --namespace or --selector',
  });
  return found;
}

function matches(ignore: Ignore, one: Finding, now: number): boolean {
  if (ignore.until !== undefined && now >= Date.parse(`${ignore.until}T24:00:00Z`)) return false;
  return (
    (ignore.kind === undefined || ignore.kind === one.kind) &&
    (ignore.namespace === undefined || ignore.namespace === one.namespace) &&
    (ignore.service === undefined || ignore.service === one.service) &&
    (ignore.object === undefined || ignore.object === one.object || one.object.endsWith(`/${ignore.object}`))
  );
}

function isAccepted(one: Finding, service: ServiceView, settings: FleetSettings, now: number): boolean {
  if (settings.ignore.some((ignore) => matches(ignore, one, now))) return true;
  const name = one.object.slice(one.object.indexOf('/') + 1);
  const annotated: readonly (ServiceFacts | DeploymentFacts)[] = [
    ...service.tracks.map((track) => track.service),
    ...service.tracks.flatMap(({ deployments }) => deployments),
    ...service.proxy.deployments,
    ...service.unrouted,
    ...(service.proxy.service === undefined ? [] : [service.proxy.service]),
  ];
  return annotated.some((object) => {
    const ignore = object.annotations[ANNOTATIONS.ignore];
    if (ignore === undefined || object.name !== name) return false;
    const kinds = ignore.split(',').map((kind) => kind.trim());
    return kinds.includes('all') || kinds.includes(one.kind);
  });
}
