/** What should have gone after a promotion, and still runs. */

import type { DeploymentFacts } from '../facts.ts';
import type { ServiceView, TrackView } from '../model.ts';
import { ANNOTATIONS, numberAnnotation } from '../settings.ts';
import {
  counted,
  deploymentName,
  isRollingOut,
  type Rule,
  type RuleContext,
  serviceName,
  some,
} from './rule.ts';

export const leftovers: Rule = (service, context) => {
  const all = new Set([
    ...service.tracks.flatMap(({ deployments }) => deployments),
    ...service.proxy.deployments,
  ]);
  for (const deployment of all) oldBuild(deployment, context);
  for (const track of service.tracks) {
    twoDeployments(track, context);
    tooMany(service, track, context);
    orphans(track, context);
  }
  for (const deployment of service.unrouted) unrouted(deployment, context);
};

function buildOf(images: readonly string[]): string {
  const [image = 'no image'] = images;
  return image.slice(image.lastIndexOf('/') + 1);
}

function oldBuild(deployment: DeploymentFacts, { fleet, settings, now, report }: RuleContext): void {
  const sets = fleet.replicaSetsOf(deployment);
  if (sets.length < 2 || deployment.paused || !fleet.sees('ReplicaSet', deployment.namespace)) return;
  if (deployment.conditions.some(({ type, status }) => type === 'Progressing' && status === 'False')) return;
  const newest = sets.reduce((a, b) =>
    b.revision > a.revision || (b.revision === a.revision && b.createdAt > a.createdAt) ? b : a,
  );
  if (
    isRollingOut(deployment, now, settings.grace.rollout) ||
    now - newest.createdAt < settings.grace.rollout
  )
    return;
  const old = sets.filter((set) => set !== newest && (set.running > 0 || set.replicas > 0));
  if (old.length === 0) return;
  const [first] = old;
  report({
    kind: 'old-build',
    severity: 'warning',
    object: deploymentName(deployment),
    since: newest.createdAt,
    message: `${counted(
      old.reduce((sum, set) => sum + Math.max(set.running, set.replicas), 0),
      'pod',
    )} of an old build still ${old.length === 1 && first!.running === 1 ? 'runs' : 'run'} beside ${buildOf(newest.images)}: ${some(old.map(({ name, images }) => `${name} (${buildOf(images)})`))}`,
    advice: `kubectl -n ${deployment.namespace} scale replicaset ${first!.name} --replicas=0`,
  });
}

function running({ running: pods, replicas }: DeploymentFacts): number {
  return Math.max(pods, replicas);
}

function twoDeployments(
  { track, service, deployments }: TrackView,
  { settings, now, report }: RuleContext,
): void {
  const up = deployments.filter((deployment) => running(deployment) > 0);
  if (up.length < 2) return;
  const newest = Math.max(...up.map(({ createdAt }) => createdAt));
  // Blue and green at once is how some teams change over.
  if (now - newest < settings.grace.rollout) return;
  const oldest = up.reduce((a, b) => (b.createdAt < a.createdAt ? b : a));
  report({
    kind: 'two-deployments',
    severity: 'warning',
    object: serviceName(service),
    since: newest,
    message: `${up.length} Deployments run behind ${track === '' ? service.name : `track ${track}`}: ${some(up.map((one) => `${one.name} (${buildOf(one.images)}, ${counted(running(one), 'pod')})`))}`,
    advice: `kubectl -n ${oldest.namespace} scale deployment ${oldest.name} --replicas=0, when the change is done`,
  });
}

function tooMany(service: ServiceView, view: TrackView, { settings, report }: RuleContext): void {
  const { track } = view;
  const wanted = (of: TrackView) => of.deployments.reduce((sum, { replicas }) => sum + replicas, 0);
  const main = service.tracks.find((other) => other.track === settings.main);
  const said = [view.service, ...view.deployments]
    .map(({ annotations }) => numberAnnotation(annotations, ANNOTATIONS.replicas))
    .find((replicas) => replicas !== undefined);
  const byMain = track !== settings.main && main !== undefined && wanted(main) > 0 ? wanted(main) : undefined;
  const most = said ?? settings.replicas[track] ?? byMain;
  if (most === undefined || wanted(view) <= most) return;
  const promoted =
    main !== undefined &&
    main !== view &&
    main.deployments[0] !== undefined &&
    view.deployments[0]?.images[0] === main.deployments[0].images[0];
  const [deployment] = view.deployments;
  report({
    kind: 'over-replicated',
    severity: 'warning',
    object: serviceName(view.service),
    message: `track ${track} runs ${counted(wanted(view), 'pod')}, at most ${most} ${most === 1 ? 'is' : 'are'} wanted${promoted ? `; its build is in ${settings.main} already` : ''}`,
    advice: `kubectl -n ${view.service.namespace} scale deployment ${deployment?.name ?? track} --replicas=${most}`,
  });
}

function orphans({ track, service, pods }: TrackView, { fleet, report }: RuleContext): void {
  const label = track === '' ? service.name : `track ${track}`;
  const naked = pods.filter(({ owner, deletedAt }) => owner === '' && deletedAt === 0);
  if (naked.length > 0) {
    report({
      kind: 'orphan-pod',
      severity: 'warning',
      object: serviceName(service),
      since: Math.min(...naked.map(({ createdAt }) => createdAt)),
      message: `${counted(naked.length, 'pod')} without a controller ${naked.length === 1 ? 'is' : 'are'} behind ${label}: ${some(naked.map(({ name }) => name))}`,
      advice: `kubectl -n ${service.namespace} delete pod ${naked[0]!.name}; nothing would replace it, nor update it`,
    });
  }
  const owners = new Set(
    pods.filter(({ ownerKind }) => ownerKind === 'ReplicaSet').map(({ owner }) => owner),
  );
  const lost = fleet.orphanReplicaSets.filter(({ uid }) => owners.has(uid));
  for (const set of lost) {
    report({
      kind: 'orphan-replicaset',
      severity: 'warning',
      object: `ReplicaSet/${set.name}`,
      since: set.createdAt,
      message: `ReplicaSet ${set.name} (${buildOf(set.images)}) runs behind ${label}, and no Deployment owns it`,
      advice: `kubectl -n ${set.namespace} delete replicaset ${set.name}`,
    });
  }
}

function unrouted(deployment: DeploymentFacts, { settings, now, report }: RuleContext): void {
  if (running(deployment) === 0 || now - deployment.createdAt < settings.grace.rollout) return;
  report({
    kind: 'unrouted-deployment',
    severity: 'warning',
    object: deploymentName(deployment),
    since: deployment.createdAt,
    message: `${deployment.name} (${buildOf(deployment.images)}) runs ${counted(running(deployment), 'pod')}, and no Service selects ${running(deployment) === 1 ? 'it' : 'them'}`,
    advice: `kubectl -n ${deployment.namespace} scale deployment ${deployment.name} --replicas=0, or delete it`,
  });
}
