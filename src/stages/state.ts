/**
 * `services/NAME/state.yaml`: which build is on which stage. Written by `pointsman stage` alone, and the only state
 * there is besides the history of the repository.
 */

import { stringify } from 'yaml';
import { z } from 'zod';
import type { Pipeline } from './definition.ts';
import { readStrict } from './strict-yaml.ts';

const time = z.string().regex(/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{3})?Z$/, 'is not a time in UTC');

/**
 * - `empty`: the track has never had a build
 * - `stable`: it runs what production runs, and gets no traffic
 * - `running`: a build is on trial
 * - `passed`: its build has been promoted on and stays until a newer one comes
 * - `draining`: its build was rolled back; only users pinned to it still meet it
 */
const slot = z.strictObject({
  status: z.enum(['empty', 'stable', 'running', 'passed', 'draining']),
  image: z.string().optional(),
  /** Index in the stage's plan of weights. */
  step: z.int().min(0),
  since: time,
  stepSince: time,
  by: z.string(),
  approvals: z.array(z.strictObject({ by: z.string(), at: time, reason: z.string().optional() })).default([]),
});

const stateSchema = z.strictObject({
  /** In the order of the pipeline. */
  stages: z.record(z.string(), slot),
  /** Stages that a build under way has been through; a skip counts, with its reason. */
  builds: z.record(
    z.string(),
    z.strictObject({ passed: z.array(z.string()), skipped: z.record(z.string(), z.string()).default({}) }),
  ),
  /** Builds rolled back: they do not come again without force. Newest first. */
  held: z.array(z.strictObject({ image: z.string(), at: time, by: z.string(), reason: z.string() })),
  /** What production ran before, newest first. */
  previous: z.array(z.string()),
});

export type ServiceState = z.output<typeof stateSchema>;
export type Slot = ServiceState['stages'][string];
export type SlotStatus = Slot['status'];

export function stateFile(service: string): string {
  return `services/${service}/state.yaml`;
}

const HEADER = '# Written by `pointsman stage`; change it with its commands, not by hand.\n';

/** Deterministic: equal states give equal bytes. */
export function stateText(state: ServiceState): string {
  return HEADER + stringify(state, { lineWidth: 0, aliasDuplicateObjects: false });
}

/**
 * Stages that the pipeline gained since are empty; a stage that it lost while its build is on trial is an error.
 *
 * @throws InvalidFiles
 */
export function readState(text: string, service: string, pipeline: Pipeline): ServiceState {
  const state = readStrict(stateSchema, text, stateFile(service), {}, ({ stages }, root) =>
    Object.entries(stages).flatMap(([name, { status, image }]) => {
      const path = ['stages', name];
      const offset = root.offset;
      if ((status === 'empty') !== (image === undefined)) {
        return [
          {
            offset,
            path,
            message: `is ${status} and ${image === undefined ? 'has no' : 'has an'} image; restore the file from git`,
          },
        ];
      }
      if (status === 'running' && !pipeline.stages.some((stage) => stage.name === name)) {
        return [
          {
            offset,
            path,
            message: `holds a build on trial, and pipeline.yaml has no such stage; bring it back, or roll the build back first`,
          },
        ];
      }
      return [];
    }),
  );
  const stages: Record<string, Slot> = {};
  for (const { name } of pipeline.stages) {
    const known = state.stages[name];
    const { since, by } = Object.values(state.stages)[0] ?? { since: '1970-01-01T00:00:00Z', by: '' };
    stages[name] = known ?? { status: 'empty', step: 0, since, stepSince: since, by, approvals: [] };
  }
  return { ...state, stages };
}
