/**
 * Which Services, Deployments and pods belong together. By labels first (`app`, `track`), by the end of the name
 * (`account-service-internal`) where there is no track label. Everything else follows selectors, as traffic does.
 */

import type { DeploymentFacts, Labels, ServiceFacts } from './facts.ts';
import type { FleetSettings } from './settings.ts';

export interface Naming {
  readonly service: string;
  /** '' when neither label nor name says one: the Service of the proxy, which clients call. */
  readonly track: string;
  readonly proxy: boolean;
}

type NamingSettings = Pick<FleetSettings, 'labels' | 'tracks' | 'main'> & {
  readonly proxy: Pick<FleetSettings['proxy'], 'tracks'>;
};

function first(labels: Labels, names: readonly string[]): string {
  for (const name of names) {
    const value = labels[name];
    if (value !== undefined && value !== '') return value;
  }
  return '';
}

/** Labels of pods may say the track where those of the object do not. */
export function nameOf(name: string, labels: Labels, podLabels: Labels, settings: NamingSettings): Naming {
  const { labels: names, tracks, main, proxy } = settings;
  const known = [...new Set([...tracks, main, ...proxy.tracks])];
  const suffix = known.find((track) => name.endsWith(`-${track}`)) ?? '';
  const track = first(labels, names.track) || first(podLabels, names.track) || suffix;
  const stem = track !== '' && name.endsWith(`-${track}`) ? name.slice(0, -track.length - 1) : name;
  const service = first(labels, names.service) || first(podLabels, names.service) || stem;
  return { service, track, proxy: track === '' || proxy.tracks.includes(track) };
}

export function nameService(service: ServiceFacts, settings: NamingSettings): Naming {
  return nameOf(service.name, service.labels, service.selector, settings);
}

export function nameDeployment(deployment: DeploymentFacts, settings: NamingSettings): Naming {
  return nameOf(deployment.name, deployment.labels, deployment.podLabels, settings);
}

/** As a Service selects: all pairs must be there; an empty selector selects nothing. */
export function selects(selector: Labels, labels: Labels): boolean {
  let any = false;
  for (const key in selector) {
    if (labels[key] !== selector[key]) return false;
    any = true;
  }
  return any;
}
