/** Everything that a commit holds of the pipeline and its services, and what a new state makes of the files. */

import type { Environment } from '../config/environment.ts';
import { suggestion } from '../config/nearest.ts';
import { PIPELINE_FILE, type Pipeline, readPipeline } from './definition.ts';
import type { Snapshot } from './git/repository.ts';
import { brokenPromise, Refused } from './machine.ts';
import { manifestsFolder, type Rendered, renderService } from './render.ts';
import { readService, type ServiceDefinition, serviceFile } from './service.ts';
import { readState, type ServiceState, stateFile, stateText } from './state.ts';

export interface Service {
  readonly name: string;
  readonly pipeline: Pipeline;
  readonly definition: ServiceDefinition;
  readonly state: ServiceState;
  readonly files: ReadonlyMap<string, string>;
}

/** @throws InvalidFiles, Refused */
export function pipelineOf({ files }: Snapshot, environment: Environment): Pipeline {
  const text = files.get(PIPELINE_FILE);
  if (text === undefined)
    throw new Refused(
      `there is no ${PIPELINE_FILE} in this repository; pointsman stage init SERVICE begins with one`,
    );
  return readPipeline(text, environment);
}

export function servicesIn({ files }: Snapshot): string[] {
  const names = new Set<string>();
  for (const path of files.keys()) {
    const match = /^services\/([^/]+)\/state\.yaml$/.exec(path);
    if (match !== null) names.add(match[1]!);
  }
  return [...names].sort();
}

/** @throws InvalidFiles, Refused when there is no such service */
export function serviceOf(
  snapshot: Snapshot,
  name: string,
  environment: Environment,
  pipeline = pipelineOf(snapshot, environment),
): Service {
  const { files } = snapshot;
  const state = files.get(stateFile(name));
  if (state === undefined) {
    const known = servicesIn(snapshot);
    throw new Refused(
      `there is no service "${name}"${suggestion(name, known, 'services')}${known.length === 0 ? '; pointsman stage init lays one down' : ''}`,
    );
  }
  return {
    name,
    pipeline,
    definition: readService(files.get(serviceFile(name)) ?? 'values: {}\n', name, pipeline),
    state: readState(state, name, pipeline),
    files,
  };
}

export function rendered(service: Service, state = service.state): Rendered {
  return renderService({
    service: service.name,
    pipeline: service.pipeline,
    definition: service.definition,
    state,
    files: service.files,
  });
}

/** The files that differ once the service has this state. @throws InvalidFiles, Refused */
export function editsFor(service: Service, state: ServiceState): Map<string, string | undefined> {
  const broken = brokenPromise(service.pipeline, state);
  if (broken !== undefined) throw new Refused(broken);
  const edits = new Map<string, string | undefined>();
  const folder = manifestsFolder(service.name);
  const { files } = rendered(service, state);
  for (const path of service.files.keys())
    if (path.startsWith(folder) && !files.has(path)) edits.set(path, undefined);
  for (const [path, text] of files) if (service.files.get(path) !== text) edits.set(path, text);
  const text = stateText(state);
  if (service.files.get(stateFile(service.name)) !== text) edits.set(stateFile(service.name), text);
  return edits;
}
