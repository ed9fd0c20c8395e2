/** What a table must keep, whatever the templates say: who may meet which track. Pure. */

import { type Config, formatUrl, type RouteConfig, serversOf } from '../config/schema.ts';
import type { Pipeline, Stage } from './definition.ts';

/** Rows that share the traffic between the track of a stage and the main one; the judge compares within them. */
export function rowsOf(config: Config, stage: Stage): RouteConfig[] {
  return config.routes.filter(({ split }) => split[stage.track] !== undefined);
}

/**
 * What is wrong, in words. A backend is a track when it has the track's name. The groups of the last stage must meet
 * its track only, in every row that they could match.
 */
export function tableFaults(config: Config, pipeline: Pipeline): string[] {
  const faults: string[] = [];
  const main = pipeline.stages.at(-1)!;
  for (const { name, track } of pipeline.stages) {
    if (config.backends[track] === undefined)
      faults.push(`has no backend "${track}", the track of the stage ${name}; add it under backends`);
    else if (rowsOf(config, { track } as Stage).length === 0)
      faults.push(`has no route to "${track}", the track of the stage ${name}`);
  }
  for (const [name, backend] of Object.entries(config.backends)) {
    const urls = serversOf(backend).map(({ url }) => formatUrl(url));
    const twin = Object.entries(config.backends).find(
      ([other, rival]) =>
        other < name && other !== name && serversOf(rival).some(({ url }) => urls.includes(formatUrl(url))),
    );
    if (twin !== undefined && isTrack(pipeline, name) && isTrack(pipeline, twin[0])) {
      faults.push(`sends the tracks "${twin[0]}" and "${name}" to the same address ${urls.join(', ')}`);
    }
  }
  for (const group of main.groups) {
    const wanted = group.trim().toLowerCase();
    for (const route of config.routes) {
      const groups = groupsOf(route);
      if (groups !== undefined && !groups.includes(wanted)) continue;
      const strangers = Object.keys(route.split).filter((backend) => backend !== main.track);
      if (strangers.length > 0) {
        faults.push(
          `lets the group ${group} reach ${strangers.join(' and ')} by the route "${route.name}"; put a route for ${group} to ${main.track} alone before it`,
        );
        break;
      }
      if (takesAll(route, wanted)) break;
    }
  }
  return faults;
}

function isTrack(pipeline: Pipeline, backend: string): boolean {
  return pipeline.stages.some(({ track }) => track === backend);
}

/** The row's conditions, of which one is enough. */
function conditionsOf(route: RouteConfig): readonly Readonly<Record<string, unknown>>[] {
  const match: unknown = route.match;
  if (match === undefined) return [{}];
  return (Array.isArray(match) ? match : [match]) as Readonly<Record<string, unknown>>[];
}

/** Groups in small letters that the row asks for; undefined when it may match any. */
function groupsOf(route: RouteConfig): string[] | undefined {
  const groups: string[] = [];
  for (const { group } of conditionsOf(route)) {
    if (group === undefined) return undefined;
    for (const one of Array.isArray(group) ? group : [group]) groups.push(String(one).trim().toLowerCase());
  }
  return groups;
}

/** True when the group alone decides in one of the conditions, so that no request of the group goes past the row. */
function takesAll(route: RouteConfig, wanted: string): boolean {
  return conditionsOf(route).some(
    ({ group, ...others }) =>
      Object.values(others).every((value) => value === undefined) &&
      (group === undefined ||
        (Array.isArray(group) ? group : [group]).some((one) => String(one).trim().toLowerCase() === wanted)),
  );
}
