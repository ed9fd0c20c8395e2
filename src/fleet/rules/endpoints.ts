/** Is there enough behind every track, and nothing that must not be? */

import type { PodFacts } from '../facts.ts';
import type { ServiceView, TrackView } from '../model.ts';
import { ANNOTATIONS, numberAnnotation } from '../settings.ts';
import { tableHosts } from '../table-hosts.ts';
import { counted, type Rule, type RuleContext, serviceName, some } from './rule.ts';

export const endpoints: Rule = (service, context) => {
  for (const track of service.tracks) {
    backed(track, context);
    ports(track, context);
    enough(service, track, context);
  }
  overlaps(service, context);
  required(service, context);
};

export function leastEndpoints({ service }: TrackView, settings: RuleContext['settings']): number {
  return numberAnnotation(service.annotations, ANNOTATIONS.endpoints) ?? settings.endpoints;
}

/** Ready endpoints, by pods where the slices list those that are not ready, too. */
export function readyBehind({ service, readyEndpoints, pods }: TrackView): number {
  if (!service.publishesNotReady) return readyEndpoints;
  return pods.filter(({ ready, deletedAt }) => ready && deletedAt === 0).length;
}

/** It selects by itself, and nothing that exists fits. */
export function isUnbacked(
  { service, deployments, pods, endpoints: known }: TrackView,
  { fleet }: RuleContext,
): boolean {
  if (service.external || Object.keys(service.selector).length === 0) return false;
  if (!fleet.sees('Deployment', service.namespace) || !fleet.sees('Pod', service.namespace)) return false;
  return deployments.length === 0 && pods.length === 0 && known === 0;
}

function backed(track: TrackView, context: RuleContext): void {
  if (!isUnbacked(track, context)) return;
  const { selector } = track.service;
  const pairs = Object.entries(selector).map(([key, value]) => `${key}=${value}`);
  context.report({
    kind: 'track-unbacked',
    severity: 'critical',
    object: serviceName(track.service),
    message: `nothing has the labels that Service ${track.service.name} selects (${pairs.join(', ')})`,
    advice: 'deploy the track, correct the selector, or delete the Service',
  });
}

function enough(view: ServiceView, track: TrackView, context: RuleContext): void {
  const { fleet, settings, report } = context;
  const { service } = track;
  const seen = service.publishesNotReady ? 'Pod' : 'EndpointSlice';
  if (service.external || !fleet.sees(seen, service.namespace) || isUnbacked(track, context)) return;
  const ready = readyBehind(track);
  const least = leastEndpoints(track, settings);
  if (ready >= least) return;
  const label = track.track === '' ? `Service ${service.name}` : `track ${track.track}`;
  const advice = `kubectl -n ${service.namespace} get pods -l ${
    Object.entries(service.selector)
      .map(([key, value]) => `${key}=${value}`)
      .join(',') || 'app'
  }`;
  if (ready === 0) {
    const idle = hasNoTraffic(view, track);
    report({
      kind: 'endpoints-none',
      severity: idle ? 'warning' : 'critical',
      object: serviceName(service),
      message: `${label} has no ready endpoint (of ${track.endpoints})${idle ? '; the table sends nothing there' : ''}`,
      advice,
    });
  } else {
    report({
      kind: 'endpoints-few',
      severity: 'warning',
      object: serviceName(service),
      message: `${label} has ${counted(ready, 'ready endpoint')}, needs ${least}${whyNot(track.pods)}`,
      advice,
    });
  }
}

/** True only when the table is known and says so. */
function hasNoTraffic({ proxy, namespace }: ServiceView, { service }: TrackView): boolean {
  const config = proxy.table?.config;
  if (config === undefined) return false;
  const leading = Object.keys(config.backends).filter((name) =>
    tableHosts(config.backends[name]!, namespace).some(
      (host) => host === `${service.namespace}/${service.name}`,
    ),
  );
  return config.routes.every(({ split }) => leading.every((name) => (split[name] ?? 0) === 0));
}

function whyNot(pods: readonly PodFacts[]): string {
  const bad = pods.find(({ ready, deletedAt }) => !ready && deletedAt === 0);
  if (bad === undefined) return '';
  const reason =
    bad.containers.find(({ waiting }) => waiting !== '')?.waiting ??
    (bad.unscheduled !== '' ? 'unschedulable' : bad.phase);
  return ` (pod ${bad.name} ${reason})`;
}

/** A name that no container has makes slices without ports: endpoints that look ready, and nobody reaches. */
function ports({ service, deployments }: TrackView, { report }: RuleContext): void {
  const named = service.ports.filter(
    (port): port is typeof port & { target: string } => typeof port.target === 'string',
  );
  for (const { target } of named) {
    const lacking = deployments.filter(
      ({ ports: has, replicas }) => replicas > 0 && !has.some(({ name }) => name === target),
    );
    if (lacking.length === 0) continue;
    report({
      kind: 'port-unknown',
      severity: 'critical',
      object: serviceName(service),
      message: `Service ${service.name} points at port "${target}", which no container of ${some(lacking.map(({ name }) => name))} has`,
      advice: 'name the container port so, or give targetPort by number',
    });
  }
}

function overlaps({ tracks, proxy }: ServiceView, { report }: RuleContext): void {
  const owners = new Map<string, string>();
  const told = new Set<string>();
  const behind = [
    ...tracks.map(({ service, pods }) => ({ name: service.name, pods })),
    ...(proxy.service === undefined ? [] : [{ name: proxy.service.name, pods: proxy.pods }]),
  ];
  for (const { name, pods } of behind) {
    for (const pod of pods) {
      const other = owners.get(pod.uid);
      owners.set(pod.uid, name);
      if (other === undefined || other === name) continue;
      const pair = [other, name].sort().join(' and ');
      if (told.has(pair)) continue;
      told.add(pair);
      report({
        kind: 'selector-overlap',
        severity: 'critical',
        object: `Service/${name}`,
        message: `pod ${pod.name} is behind both ${pair}: groups meet a build that is not theirs`,
        advice: 'let both selectors name their track, as in { app: …, track: … }',
      });
    }
  }
}

function required({ name, plain, tracks }: ServiceView, { settings, report }: RuleContext): void {
  if (plain) return;
  for (const track of settings.required) {
    if (tracks.some((view) => view.track === track)) continue;
    report({
      kind: 'track-missing',
      severity: 'critical',
      object: `Service/${name}-${track}`,
      message: `${name} has no Service for the track ${track}`,
      advice: `create it with the label ${settings.labels.track[0]}: ${track}, or take the track off \`required\``,
    });
  }
}
