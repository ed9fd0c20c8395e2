/** A pipeline for tests of decisions. */

import { readFileSync } from 'node:fs';
import { type Pipeline, readPipeline } from '../../../src/stages/definition.ts';
import { InvalidFiles } from '../../../src/stages/strict-yaml.ts';

export const PIPELINE_TEXT = `
stages:
  - { name: internal, track: internal, groups: [INTERNAL], replicas: 2 }
  - { name: free, track: canary, groups: [FREE], weights: [5, 10, 25] }
  - { name: paid, track: paid, weights: [5, 25], gates: { approval: { count: 2 } } }
  - { name: production, track: production, groups: [ENTERPRISE], replicas: 10 }
values: { port: 8080, proxy_image: example/pointsman:1 }
`;

export const pipeline: Pipeline = readPipeline(PIPELINE_TEXT, {});

export function image(version: string | number): string {
  return `registry.example:5000/shop/account:${version}`;
}

export function actor(at = 0, who = 'Ann <ann@example.org>') {
  return { by: who, at: new Date(Date.UTC(2026, 10, 23) + at * 1_000).toISOString() };
}

/** The templates that ship, as files of a repository. */
export function shippedTemplates(): Map<string, string> {
  const files = new Map<string, string>();
  for (const name of [
    'track/service',
    'track/deployment',
    'pointsman/configmap',
    'pointsman/deployment',
    'pointsman/service',
    'pointsman/service-admin',
  ]) {
    files.set(
      `templates/${name}.yaml`,
      readFileSync(new URL(`../../../deploy/templates/${name}.yaml`, import.meta.url), 'utf8'),
    );
  }
  return files;
}

/** The lines of the message of `task`, which must throw `InvalidFiles`. */
export function problemsOf(task: () => unknown): string[] {
  try {
    task();
  } catch (error) {
    if (error instanceof InvalidFiles) return error.message.split('\n');
    throw error;
  }
  throw new Error('nothing was wrong');
}
