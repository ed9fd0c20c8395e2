/** Do proxies route by the table that their ConfigMap holds, and does that table fit the cluster? */

import { createHash } from 'node:crypto';
import type { ProxyFacts } from '../facts.ts';
import type { ServiceView, TableView } from '../model.ts';
import { tableHosts } from '../table-hosts.ts';
import { counted, deploymentName, type Rule, type RuleContext, serviceName, some } from './rule.ts';

export const tables: Rule = (service, context) => {
  const { proxy } = service;
  const [deployment] = proxy.deployments;
  if (deployment === undefined) return;
  const object = deploymentName(deployment);
  silent(service, object, context);
  held(service, object, context);
  const { table } = proxy;
  if (table?.configMap === undefined) return;
  if (!table.configMap.exists) {
    context.report({
      kind: 'config-missing',
      severity: 'critical',
      object,
      message: `ConfigMap ${table.name}, which the proxy mounts, does not exist; no new proxy starts`,
      advice: `apply it, or correct the volume of ${deployment.name}`,
    });
    return;
  }
  if (table.problem !== '') {
    context.report({
      kind: 'table-invalid',
      severity: 'critical',
      object: `ConfigMap/${table.name}`,
      since: table.configMap.changedAt,
      message: `the table in ConfigMap ${table.name} is not valid: ${table.problem}`,
      advice: 'proxies keep their old table, and new ones do not start; run pointsman check on it',
    });
  }
  live(service, table, object, context);
  routes(service, table, context);
};

/** Who sets overrides when it is no person. */
const GUARD = 'canary guard';

/** As `/status` has it. */
export function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function silent({ proxy }: ServiceView, object: string, { report }: RuleContext): void {
  const mute = proxy.live.filter(({ failure }) => failure !== '');
  if (mute.length === 0) return;
  report({
    kind: 'proxy-silent',
    severity: 'unknown',
    object,
    message: `${mute.length} of ${counted(proxy.live.length, 'proxy').replace('proxys', 'proxies')} did not say which table ${mute.length === 1 ? 'it has' : 'they have'}: ${some(
      mute.map(({ pod, failure }) => `${pod} (${failure})`),
      2,
    )}`,
    advice:
      'is the admin port reachable from here, and does a NetworkPolicy admit it? --proxies off leaves this out',
  });
}

/** Replicas share it, so it is one thing however many say it. */
function held({ proxy }: ServiceView, object: string, { report }: RuleContext): void {
  const found = new Map(
    proxy.live.flatMap(({ held: facts = [] }) => facts.map((one) => [`${one.text} ${one.createdAt}`, one])),
  );
  for (const { text, by, reason, createdAt, until } of found.values()) {
    const isBrake = by === GUARD;
    report({
      kind: 'set-by-hand',
      severity: isBrake ? 'warning' : 'info',
      object: `${object} ${text.split(':')[0]!}`,
      since: createdAt,
      message: `${text}, until ${new Date(until).toISOString().slice(0, 16).replace('T', ' ')} UTC; ${by}: ${reason}`,
      advice: isBrake
        ? 'the canary was found worse than production; roll its build back, or end the override with pointsman ctl end'
        : 'it ends by itself; what is to stay belongs into the table',
    });
  }
}

function live(
  { proxy }: ServiceView,
  table: TableView,
  object: string,
  { settings, now, report }: RuleContext,
): void {
  const answered = proxy.live.filter(({ failure }) => failure === '');
  const refused = answered.filter(({ refused: why }) => why !== '');
  if (refused.length > 0) {
    report({
      kind: 'table-refused',
      severity: 'critical',
      object,
      since: Math.min(...refused.map(({ refusedAt }) => refusedAt)),
      message: `${names(refused)} refused the table and ${refused.length === 1 ? 'keeps' : 'keep'} the old one: ${refused[0]!.refused}`,
      advice: `correct ConfigMap ${table.name}; pointsman check shows every error`,
    });
  }
  const hash = table.text === '' ? undefined : hashOf(table.text);
  const { changedAt } = table.configMap!;
  const waiting = changedAt !== 0 && now - changedAt < settings.grace.config;
  const stale = answered.filter((facts) => hash !== undefined && facts.hash !== hash && facts.refused === '');
  if (stale.length > 0 && !waiting) {
    report({
      kind: 'table-stale',
      severity: 'critical',
      object,
      since: changedAt,
      message: `${names(stale)} of ${proxy.live.length} ${stale.length === 1 ? 'routes' : 'route'} by another table than ConfigMap ${table.name} holds`,
      advice: `is it mounted as a directory, not by subPath? kubectl -n ${proxy.deployments[0]!.namespace} rollout restart deployment ${proxy.deployments[0]!.name}`,
    });
  }
  const restart = answered.filter(({ restartNeeded }) => restartNeeded.length > 0);
  if (restart.length > 0) {
    const keys = [...new Set(restart.flatMap(({ restartNeeded }) => restartNeeded))].sort();
    report({
      kind: 'table-restart',
      severity: 'warning',
      object,
      message: `${names(restart)} ${restart.length === 1 ? 'waits' : 'wait'} for a restart to take over ${keys.join(', ')}`,
      advice: `kubectl -n ${proxy.deployments[0]!.namespace} rollout restart deployment ${proxy.deployments[0]!.name}`,
    });
  }
}

function names(facts: readonly ProxyFacts[]): string {
  return `${facts.length === 1 ? 'proxy' : 'proxies'} ${some(facts.map(({ pod }) => pod))}`;
}

function routes(service: ServiceView, table: TableView, { fleet, report }: RuleContext): void {
  const { config } = table;
  const { survey } = fleet;
  if (config === undefined) return;
  const known = (namespace: string) =>
    (survey.namespaces.length === 0 || survey.namespaces.includes(namespace)) &&
    fleet.sees('Service', namespace) &&
    fleet.sees('EndpointSlice', namespace);
  const routed = new Set<string>();
  let foreign = false;
  for (const [name, backend] of Object.entries(config.backends)) {
    for (const host of tableHosts(backend, service.namespace)) {
      if (host === undefined) {
        foreign = true;
        continue;
      }
      routed.add(host);
      const [namespace = '', target] = host.split('/');
      // A Service without the label is not listed; its slices are.
      if (
        !known(namespace) ||
        fleet.serviceNames.has(host) ||
        fleet.sliced.has(host) ||
        !fleet.namespaces.has(namespace)
      )
        continue;
      report({
        kind: 'table-backend-unknown',
        severity: 'critical',
        object: `ConfigMap/${table.name}`,
        message: `backend ${name} of the table is Service ${target}${namespace === service.namespace ? '' : ` in namespace ${namespace}`}, which does not exist`,
        advice: `create the Service, or correct backends.${name}.url`,
      });
    }
  }
  if (foreign) return;
  for (const { track, service: to, deployments } of service.tracks) {
    if (
      track === '' ||
      routed.has(`${to.namespace}/${to.name}`) ||
      !deployments.some(({ replicas }) => replicas > 0)
    )
      continue;
    report({
      kind: 'track-unrouted',
      severity: 'warning',
      object: serviceName(to),
      message: `track ${track} runs, and no backend of the table leads to Service ${to.name}`,
      advice: 'add it to the backends, or scale the track to 0',
    });
  }
}
