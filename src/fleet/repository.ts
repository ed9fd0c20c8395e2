/** Reads rendered manifests, as `kubectl apply -R -f DIR` would find them. */

import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';
import type { ManifestFacts, RepositoryFacts } from './facts.ts';

const MAX_FILES = 20_000;
const MAX_SIZE = 4 * 1024 ** 2;
const SKIPPED: ReadonlySet<string> = new Set(['node_modules', 'templates']);

/** @param target  a directory, or one file such as the output of `kubectl kustomize`. @throws Error in plain words */
export async function readRepository(target: string): Promise<RepositoryFacts> {
  const manifests: ManifestFacts[] = [];
  const problems: string[] = [];
  let files: string[];
  try {
    files = (await stat(target)).isDirectory() ? await filesIn(target) : [target];
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new Error(
      `--repo ${target}: ${code === 'ENOENT' ? 'there is no such file or directory' : message}`,
    );
  }
  for (const file of files) {
    const text = await readFile(file, 'utf8');
    if (text.length > MAX_SIZE) problems.push(`${file}: is larger than 4 MiB`);
    else read(text, file, manifests, problems);
  }
  if (manifests.length === 0)
    throw new Error(`--repo ${target}: holds no Deployment, Service or ConfigMap; is it rendered?`);
  return { directory: target, manifests, problems };
}

async function filesIn(root: string): Promise<string[]> {
  const files: string[] = [];
  const directories = [root];
  for (let directory = directories.pop(); directory !== undefined; directory = directories.pop()) {
    for (const entry of await readdir(directory, { withFileTypes: true })) {
      if (entry.name.startsWith('.') || SKIPPED.has(entry.name)) continue;
      const full = path.join(directory, entry.name);
      if (entry.isDirectory()) directories.push(full);
      else if (entry.isFile() && /\.(ya?ml|json)$/.test(entry.name)) files.push(full);
      if (files.length > MAX_FILES)
        throw new Error(`has over ${MAX_FILES} manifests; name a directory further down`);
    }
  }
  return files.sort();
}

function read(text: string, file: string, manifests: ManifestFacts[], problems: string[]): void {
  if (!/\bkind["']?\s*:/.test(text)) return;
  for (const document of parseAllDocuments(text)) {
    if ('errors' in document && document.errors.length > 0) {
      const [error] = document.errors;
      const at = error?.linePos?.[0];
      problems.push(`${file}:${at?.line ?? 1}:${at?.col ?? 1}: ${error?.message.split('\n')[0]}`);
      continue;
    }
    let value: unknown;
    try {
      value = document.toJS({ maxAliasCount: 1_000 });
    } catch (error) {
      problems.push(`${file}: ${(error as Error).message}`);
      continue;
    }
    for (const object of flatten(value)) {
      const manifest = manifestOf(object, file);
      if (manifest !== undefined) manifests.push(manifest);
    }
  }
}

type Json = Readonly<Record<string, unknown>>;
const isMap = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const map = (value: unknown): Json => (isMap(value) ? value : {});
const texts = (value: unknown): Record<string, string> =>
  Object.fromEntries(
    Object.entries(map(value)).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );

function flatten(value: unknown): Json[] {
  if (!isMap(value)) return [];
  const items = value['items'];
  return value['kind'] === 'List' && Array.isArray(items) ? items.filter(isMap) : [value];
}

function manifestOf(object: Json, file: string): ManifestFacts | undefined {
  const kind = object['kind'];
  if (kind !== 'Deployment' && kind !== 'Service' && kind !== 'ConfigMap') return undefined;
  const meta = map(object['metadata']);
  const name = meta['name'];
  // A template that is still to be rendered names nothing.
  if (typeof name !== 'string' || name.includes('$') || name.includes('{')) return undefined;
  const spec = map(object['spec']);
  const containers = map(map(spec['template'])['spec'])['containers'];
  const replicas = spec['replicas'];
  return {
    kind,
    name,
    file,
    namespace: typeof meta['namespace'] === 'string' ? meta['namespace'] : '',
    images: (Array.isArray(containers) ? containers : [])
      .map((one) => map(one)['image'])
      .filter((image): image is string => typeof image === 'string'),
    replicas: kind === 'Deployment' && typeof replicas === 'number' ? replicas : undefined,
    data: texts(object['data']),
    labels: texts(meta['labels']),
  };
}
