/** A service's manifests from templates and state: the same input gives the same bytes. */

import { createHash } from 'node:crypto';
import { parse } from 'yaml';
import { parseConfig } from '../config/load.ts';
import type { Problem } from '../config/problems.ts';
import type { Config } from '../config/schema.ts';
import type { Pipeline, Stage } from './definition.ts';
import { versionOf } from './image.ts';
import { weightOf } from './machine.ts';
import { tableFaults } from './promises.ts';
import type { ServiceDefinition } from './service.ts';
import type { ServiceState } from './state.ts';
import { InvalidFiles } from './strict-yaml.ts';
import { fillTemplate, type Placeholders, placeholdersOf } from './template.ts';

/** Paths from the root of the repository, with `/`, and contents. */
export type Files = ReadonlyMap<string, string>;

export interface Rendered {
  /** Everything that belongs into the service's folder of manifests. */
  readonly files: Files;
  /** The table that the proxies run. */
  readonly table: RenderedTable;
}

export interface RenderedTable {
  /** SHA-256 of the file as a proxy reads it, in hex. */
  readonly hash: string;
  readonly text: string;
  readonly config: Config;
}

export interface RenderInput {
  readonly service: string;
  readonly pipeline: Pipeline;
  readonly definition: ServiceDefinition;
  readonly state: ServiceState;
  /** All files under `templates/` and `services/NAME/templates/`. */
  readonly files: Files;
}

const TABLE_KEY = 'pointsman.yaml';
/** All weights of a row that drains: below half a bucket of 10 000, so that no user is drawn to it anew. */
const DRAIN_TOTAL = 1_000_000;

export function manifestsFolder(service: string): string {
  return `manifests/${service}/`;
}

/** @throws InvalidFiles */
export function renderService(input: RenderInput): Rendered {
  const { service, pipeline, state } = input;
  const folder = manifestsFolder(service);
  const output = new Map<string, string>();
  const shared = sharedPlaceholders(input);
  const tracks = templatesIn(input, 'track');
  for (const stage of pipeline.stages) {
    const slot = state.stages[stage.name]!;
    const own = trackPlaceholders(input, stage);
    for (const [name, template] of tracks) {
      const needsBuild = placeholdersOf(template.text).some((used) => used === 'image' || used === 'version');
      if (needsBuild && slot.image === undefined) continue;
      output.set(
        `${folder}${stage.track}/${name}`,
        generated(template, fillTemplate(template.text, template.path, { ...shared, ...own })),
      );
    }
  }
  let table: { value: RenderedTable; path: string } | undefined;
  for (const [name, template] of templatesIn(input, 'pointsman')) {
    const text = generated(
      template,
      fillTemplate(template.text, template.path, { ...shared, ...tablePlaceholders(pipeline, state) }),
    );
    output.set(`${folder}pointsman/${name}`, text);
    const found = tableIn(text, template.path);
    if (found === undefined) continue;
    if (table !== undefined)
      throw fault(
        template.path,
        `is the second ConfigMap with the key ${TABLE_KEY}; the first is ${table.path}`,
      );
    table = { value: checkTable(found, template.path, pipeline), path: template.path };
  }
  if (table === undefined)
    throw fault(
      'templates/pointsman',
      `has no ConfigMap with the key ${TABLE_KEY}, the table of the proxies`,
    );
  const resources = [...output.keys()].map((path) => path.slice(folder.length)).sort();
  output.set(
    `${folder}kustomization.yaml`,
    `${GENERATED}apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n${resources.map((path) => `  - ${path}\n`).join('')}`,
  );
  return { files: output, table: table.value };
}

const GENERATED = '# Written by `pointsman stage`; change the template, not this file.\n';

interface Template {
  readonly path: string;
  readonly text: string;
}

function generated({ path }: Template, text: string): string {
  return `${GENERATED}# From ${path}\n${text.endsWith('\n') ? text : `${text}\n`}`;
}

/** By file name, in order; a service's own replaces the common one of the same name. */
function templatesIn({ service, files }: RenderInput, kind: 'track' | 'pointsman'): [string, Template][] {
  const found = new Map<string, Template>();
  for (const root of [`templates/${kind}/`, `services/${service}/templates/${kind}/`]) {
    for (const [path, text] of files) {
      if (!path.startsWith(root) || !/\.ya?ml$/.test(path)) continue;
      const name = path.slice(root.length);
      if (!name.includes('/')) found.set(name, { path, text });
    }
  }
  if (found.size === 0)
    throw fault(`templates/${kind}`, 'holds no template; `pointsman stage init` lays the common ones down');
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1));
}

function sharedPlaceholders({ service, pipeline, definition }: RenderInput): Placeholders {
  return {
    ...pipeline.values,
    ...definition.values,
    service,
    namespace: definition.namespace ?? pipeline.namespace,
    proxy_replicas: definition.proxyReplicas ?? pipeline.proxyReplicas,
  };
}

function trackPlaceholders({ definition, state }: RenderInput, stage: Stage): Placeholders {
  const { image } = state.stages[stage.name]!;
  return {
    track: stage.track,
    stage: stage.name,
    replicas: definition.replicas[stage.track] ?? stage.replicas,
    ...(image === undefined ? {} : { image, version: versionOf(image) }),
  };
}

/**
 * `weight_TRACK` and `rest_TRACK`, "-" in the track's name as "_"; together 100, or a million while draining. And
 * `build_TRACK`, the version on the track, by which proxies count the users of each build.
 */
export function tablePlaceholders(pipeline: Pipeline, state: ServiceState): Placeholders {
  const placeholders: Record<string, string | number> = {};
  for (const { name, track } of pipeline.stages) {
    const { image } = state.stages[name]!;
    placeholders[`build_${track.replaceAll('-', '_')}`] = image === undefined ? 'none' : versionOf(image);
  }
  for (const stage of pipeline.stages.slice(0, -1)) {
    const weight = weightOf(stage, state.stages[stage.name]!);
    const track = stage.track.replaceAll('-', '_');
    placeholders[`weight_${track}`] = weight === 'drain' ? 1 : weight;
    placeholders[`rest_${track}`] = weight === 'drain' ? DRAIN_TOTAL - 1 : 100 - weight;
  }
  return placeholders;
}

function tableIn(text: string, path: string): string | undefined {
  let manifest: unknown;
  try {
    manifest = parse(text);
  } catch (error) {
    throw fault(path, `is not valid YAML once filled in: ${(error as Error).message.split('\n')[0]}`);
  }
  if (manifest === null || typeof manifest !== 'object') return undefined;
  const { kind, data } = manifest as { kind?: unknown; data?: Record<string, unknown> };
  const table = kind === 'ConfigMap' ? data?.[TABLE_KEY] : undefined;
  return typeof table === 'string' ? table : undefined;
}

/** Held to what `pointsman check` demands, with every reference to the environment taken for set. */
function checkTable(text: string, path: string, pipeline: Pipeline): RenderedTable {
  const file = `${path} (${TABLE_KEY})`;
  const { config, problems } = parseConfig(text, { file, environment: anyEnvironment(text) });
  if (config === undefined) throw new InvalidFiles(problems.filter(({ severity }) => severity === 'error'));
  const faults = tableFaults(config, pipeline);
  if (faults.length > 0) throw new InvalidFiles(faults.map((message) => problem(file, message)));
  return { hash: createHash('sha256').update(text).digest('hex'), text, config };
}

/** The values are the cluster's; here only the form counts. URLs of Redis are the one kind that has one. */
function anyEnvironment(text: string): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const [, name] of text.matchAll(/\$\{([A-Za-z_][A-Za-z0-9_]{0,127})\}/g)) {
    environment[name!] = /URL/i.test(name!) ? 'redis://redis.invalid:6379' : '1';
  }
  return environment;
}

function fault(file: string, message: string): InvalidFiles {
  return new InvalidFiles([problem(file, message)]);
}

function problem(file: string, message: string): Problem {
  return { file, line: 0, column: 0, keyPath: '', message, severity: 'error' };
}
