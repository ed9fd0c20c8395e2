/** Are the proxies of a service there, as many as wanted? */

import type { DeploymentFacts } from '../facts.ts';
import { ANNOTATIONS, numberAnnotation } from '../settings.ts';
import { counted, deploymentName, isRollingOut, type Rule, type RuleContext } from './rule.ts';

export const proxies: Rule = (service, context) => {
  const { fleet, settings, report } = context;
  const { namespace, name, proxy, plain } = service;
  if (plain || !fleet.sees('Deployment', namespace)) return;
  if (proxy.deployments.length === 0) {
    report({
      kind: 'proxy-missing',
      severity: 'critical',
      object: proxy.service === undefined ? `Service/${name}` : `Service/${proxy.service.name}`,
      message: `no Deployment runs the proxy of ${name}`,
      advice:
        proxy.service === undefined
          ? `deploy it, or label its Service ${settings.selector} and ${settings.labels.service[0]}: ${name}`
          : `deploy it, or let Service ${proxy.service.name} select its pods`,
    });
    return;
  }
  const wanted =
    [...proxy.deployments, ...(proxy.service === undefined ? [] : [proxy.service])]
      .map(({ annotations }) => numberAnnotation(annotations, ANNOTATIONS.replicas))
      .find((replicas) => replicas !== undefined) ?? settings.proxy.replicas;
  judge(proxy.deployments, wanted, context);
};

function judge(
  deployments: readonly DeploymentFacts[],
  wanted: number,
  { settings, now, report }: RuleContext,
): void {
  if (deployments.some(({ hasStatus }) => !hasStatus)) return;
  const sum = (of: (deployment: DeploymentFacts) => number) =>
    deployments.reduce((total, each) => total + of(each), 0);
  const ready = sum(({ ready: count }) => count);
  const asked = sum(({ replicas }) => replicas);
  const [main] = deployments;
  const object = deploymentName(main!);
  const unavailable = deployments
    .flatMap(({ conditions }) => conditions)
    .find(({ type, status }) => type === 'Available' && status === 'False');
  const since = unavailable?.changedAt ?? 0;
  const scale = `kubectl -n ${main!.namespace} scale deployment ${main!.name} --replicas=${wanted}`;
  const look = `kubectl -n ${main!.namespace} describe deployment ${main!.name}`;
  if (ready === 0 && wanted > 0) {
    report({
      kind: 'proxy-down',
      severity: 'critical',
      object,
      since,
      message: `no proxy is ready (wanted ${wanted}); nothing reaches the service`,
      advice: asked === 0 ? scale : look,
    });
    return;
  }
  if (asked < wanted) {
    report({
      kind: 'proxy-scaled-down',
      severity: 'warning',
      object,
      message: `the proxy is scaled to ${asked}, wanted ${wanted}`,
      advice: `${scale}, or annotate the Deployment with ${ANNOTATIONS.replicas}: "${asked}"`,
    });
  }
  if (unavailable !== undefined) {
    report({
      kind: 'proxy-unavailable',
      severity: 'critical',
      object,
      since,
      message: `the proxy is not available: ${unavailable.message || unavailable.reason} (${ready} of ${wanted} ready)`,
      advice: look,
    });
    return;
  }
  const rolling = deployments.some((deployment) => isRollingOut(deployment, now, settings.grace.rollout));
  const missing = Math.min(asked, wanted) - ready;
  if (missing > 0 && !rolling) {
    report({
      kind: 'proxy-not-ready',
      severity: 'warning',
      object,
      message: `${counted(missing, 'proxy').replace('proxys', 'proxies')} of ${Math.min(asked, wanted)} ${missing === 1 ? 'is' : 'are'} not ready`,
      advice: look,
    });
  }
}
