/** Do Deployments get where they want? */

import type { DeploymentFacts } from '../facts.ts';
import { leastEndpoints, readyBehind } from './endpoints.ts';
import { counted, deploymentName, isRollingOut, type Rule, type RuleContext } from './rule.ts';

export const rollouts: Rule = (service, context) => {
  const seen = new Set<DeploymentFacts>();
  for (const deployment of [
    ...service.tracks.flatMap(({ deployments }) => deployments),
    ...service.proxy.deployments,
  ]) {
    if (seen.has(deployment)) continue;
    seen.add(deployment);
    judge(deployment, context);
  }
  for (const track of service.tracks) {
    // Too few endpoints is the same news, and worse.
    if (readyBehind(track) < leastEndpoints(track, context.settings)) continue;
    for (const deployment of track.deployments) missing(deployment, context);
  }
};

function stuck({ conditions }: DeploymentFacts) {
  return conditions.find(({ type, status }) => type === 'Progressing' && status === 'False');
}

function judge(deployment: DeploymentFacts, { report }: RuleContext): void {
  const { namespace, name, conditions } = deployment;
  const object = deploymentName(deployment);
  const failed = stuck(deployment);
  if (failed !== undefined) {
    report({
      kind: 'rollout-stuck',
      severity: 'critical',
      object,
      since: failed.changedAt,
      message: `the rollout of ${name} is stuck: ${failed.reason}${failed.message === '' ? '' : `, ${failed.message}`}`,
      advice: `kubectl -n ${namespace} rollout undo deployment ${name}, or repair the build`,
    });
  }
  const failure = conditions.find(({ type, status }) => type === 'ReplicaFailure' && status === 'True');
  if (failure !== undefined) {
    report({
      kind: 'replica-failure',
      severity: 'critical',
      object,
      since: failure.changedAt,
      message: `pods of ${name} cannot be created: ${failure.message || failure.reason}`,
      advice: `kubectl -n ${namespace} describe deployment ${name}; quotas and admission are the usual reasons`,
    });
  }
  if (deployment.paused) {
    report({
      kind: 'rollout-paused',
      severity: 'warning',
      object,
      message: `the rollout of ${name} is paused; changes are not taken up`,
      advice: `kubectl -n ${namespace} rollout resume deployment ${name}`,
    });
  } else if (deployment.hasStatus && deployment.observedGeneration < deployment.generation) {
    report({
      kind: 'rollout-unseen',
      severity: 'warning',
      object,
      message: `the controller has seen generation ${deployment.observedGeneration} of ${name}, the newest is ${deployment.generation}`,
      advice: 'if it lasts: is the controller manager running?',
    });
  }
}

function missing(deployment: DeploymentFacts, { settings, now, report }: RuleContext): void {
  const { namespace, name, replicas, available, hasStatus } = deployment;
  if (!hasStatus || available >= replicas || stuck(deployment) !== undefined) return;
  if (isRollingOut(deployment, now, settings.grace.rollout)) return;
  const condition = deployment.conditions.find(({ type }) => type === 'Available');
  report({
    kind: 'pods-missing',
    severity: 'warning',
    object: deploymentName(deployment),
    since: condition?.status === 'False' ? condition.changedAt : 0,
    message: `${name} has ${available} of ${counted(replicas, 'pod')} available`,
    advice: `kubectl -n ${namespace} describe deployment ${name}`,
  });
}
