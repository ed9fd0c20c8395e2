/** `pipeline.yaml`: the stages a build goes through, what each demands, and when nothing may move. */

import { z } from 'zod';
import type { Environment } from '../config/environment.ts';
import { type LocatedNode, offsetOf } from '../config/located.ts';
import type { Fault, KeyPath } from '../config/problems.ts';
import { duration } from '../config/schema/values.ts';
import { freezeWindow, windowFault } from './freeze.ts';
import { readStrict } from './strict-yaml.ts';

export const PIPELINE_FILE = 'pipeline.yaml';

/** A name that can be a part of a Kubernetes Service's name. */
export const dnsLabel = z
  .string()
  .regex(
    /^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$/,
    'is not a name: small letters, digits and "-", at most 40, starting with a letter',
  );

const httpUrl = z
  .string()
  .max(2_048)
  .regex(/^https?:\/\/\S+$/, 'is not a URL; write http://… or https://…');

const judge = z.strictObject({
  window: duration({ min: 100 }).prefault('1m').describe('Shortest time over which figures are compared.'),
  minRequests: z
    .int()
    .min(1)
    .max(10_000_000)
    .default(300)
    .describe('Requests of the canary below which a window is not judged: hold.'),
  margin: z
    .number()
    .min(0)
    .max(100)
    .default(0.5)
    .describe('Percentage points by which the canary may fail more often.'),
  confidence: z
    .number()
    .min(0.5)
    .max(0.99999)
    .default(0.99)
    .describe('Certainty (one-sided) that a worse error rate is no chance.'),
  latencyRatio: z
    .number()
    .min(1)
    .max(100)
    .default(1.25)
    .describe('p95 of the canary over p95 of production, at most.'),
  latencyMargin: duration({ min: 0 })
    .prefault('10ms')
    .describe('A slower p95 counts only from this difference on.'),
  failures: z
    .int()
    .min(1)
    .max(100)
    .default(2)
    .describe('Failed windows, of the last `of`, that fail the build.'),
  of: z.int().min(1).max(100).default(3).describe('Windows that are looked back.'),
  passes: z.int().min(1).max(100).default(1).describe('Good windows in a row that pass the gate.'),
  maxErrorRate: z
    .number()
    .min(0)
    .max(100)
    .optional()
    .describe('Percent of failed requests that fails a window whatever production does.'),
  maxLatency: duration().optional().describe('p95 that fails a window whatever production does.'),
});

const query = z.strictObject({
  name: dnsLabel.describe('Name in messages.'),
  url: httpUrl.describe('Of the Prometheus server.'),
  query: z
    .string()
    .min(1)
    .max(8_192)
    .describe(
      'PromQL that gives one number; `${service}`, `${namespace}`, `${stage}`, `${track}` and `${image}` are filled in.',
    ),
  max: z.number().optional().describe('A number above this fails.'),
  min: z.number().optional().describe('A number below this fails.'),
});

const gates = z.strictObject({
  minimumTime: duration({ min: 0 }).prefault('0ms').describe('On the stage, before it is left.'),
  stepTime: duration({ min: 0 }).prefault('0ms').describe('On each weight, before the next.'),
  ready: z
    .strictObject({
      endpoints: z
        .int()
        .min(1)
        .max(10_000)
        .default(1)
        .describe('Endpoints of the track that every proxy must see up, and all of them.'),
      deadline: duration().prefault('10m').describe('Not ready for so long after a change: failed.'),
    })
    .optional()
    .describe('Every proxy runs the committed table and sees every endpoint of the track up.'),
  judge: judge
    .optional()
    .describe(
      "Error rate and latency of the canary against production for the same group, from the proxies' own figures.",
    ),
  prometheus: z.array(query).max(32).default([]).describe('Questions to Prometheus.'),
  webhook: z
    .strictObject({
      url: httpUrl.describe('Gets a POST; 2xx is a yes.'),
      timeout: duration({ max: 60_000 }).prefault('5s').describe('For the answer.'),
    })
    .optional()
    .describe('A yes from somewhere else.'),
  approval: z
    .strictObject({
      count: z.int().min(1).max(20).default(1).describe('People who must approve.'),
      by: z
        .array(z.string().min(1).max(256))
        .max(100)
        .default([])
        .describe('E-mail addresses of those who may; empty: everybody.'),
    })
    .optional()
    .describe('`pointsman stage approve` by people.'),
});

const stage = z.strictObject({
  name: dnsLabel.describe('Name of the stage.'),
  track: dnsLabel.describe('Track (Deployment and Service) that the stage runs on.'),
  groups: z
    .array(z.string().min(1).max(128))
    .max(64)
    .default([])
    .describe('Traffic groups of the stage; those of the last stage never meet another track.'),
  weights: z
    .array(z.int().min(1).max(100))
    .min(1)
    .max(20)
    .default([100])
    .describe('Plan of the percentages of the groups that meet the build, such as [5, 10, 25].'),
  replicas: z.int().min(0).max(10_000).default(4).describe('Pods of the track.'),
  gates: gates.prefault({}).describe('What must hold before a build leaves the stage.'),
  promote: z
    .enum(['auto', 'manual'])
    .default('auto')
    .describe('Whether `stage run` takes the next step when the gates pass.'),
  rollback: z
    .enum(['auto', 'manual'])
    .default('auto')
    .describe('Whether `stage run` rolls back when a gate fails.'),
  supersede: z
    .boolean()
    .default(false)
    .describe('A newer build may take the place of one that is still under way here.'),
});

const value = z.union([z.string().max(4_096), z.number(), z.boolean()]);
export const values = z.record(
  z
    .string()
    .regex(
      /^[a-z][a-z0-9_]{0,62}$/,
      'is not a placeholder name: small letters, digits and "_", starting with a letter',
    ),
  value,
);

export const pipelineSchema = z.strictObject({
  stages: z
    .array(stage)
    .min(2)
    .max(20)
    .describe('From the first to production; the track of the last is the main one.'),
  freeze: z
    .strictObject({
      deny: z.array(freezeWindow).max(100).default([]).describe('When nothing moves on.'),
      allow: z
        .array(freezeWindow)
        .max(100)
        .default([])
        .describe('When given, nothing moves on outside of these.'),
    })
    .prefault({})
    .describe('Windows; deny wins, and a rollback is always allowed.'),
  proxies: z
    .array(httpUrl)
    .max(256)
    .default(['http://${service}-pointsman:9901'])
    .describe('Admin addresses of the proxies; every address that the name resolves to is asked.'),
  proxyReplicas: z.int().min(0).max(1_000).default(4).describe('Pods of the proxy.'),
  namespace: dnsLabel.default('default').describe('Namespace of the manifests.'),
  values: values.default({}).describe('Further placeholders of the templates.'),
  git: z
    .strictObject({
      remote: z
        .string()
        .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'is not the name of a remote')
        .default('origin')
        .describe('Where `--push` pushes.'),
      push: z.boolean().default(false).describe('Push every change without being asked.'),
    })
    .prefault({})
    .describe('The repository.'),
  run: z
    .strictObject({
      interval: duration({ min: 50 }).prefault('15s').describe('Between two rounds of `stage run`.'),
      lease: duration({ min: 1_000 })
        .prefault('2m')
        .describe('How long a run that has died keeps others waiting.'),
    })
    .prefault({})
    .describe('`stage run`.'),
});

export type Pipeline = z.output<typeof pipelineSchema>;
export type Stage = Pipeline['stages'][number];
export type Judge = z.output<typeof judge>;
export type PrometheusQuery = z.output<typeof query>;

/** Placeholders that stay in the text, to be filled in for a service later. */
const LATER = ['service', 'namespace', 'stage', 'track', 'image'] as const;

/** @throws InvalidFiles */
export function readPipeline(text: string, environment: Environment, file = PIPELINE_FILE): Pipeline {
  const kept = Object.fromEntries(LATER.map((name) => [name, `\${${name}}`]));
  return readStrict(pipelineSchema, text, file, { ...environment, ...kept }, pipelineFaults);
}

function pipelineFaults(pipeline: Pipeline, root: LocatedNode): Fault[] {
  const faults: Fault[] = [];
  const fault = (path: KeyPath, message: string) =>
    faults.push({ offset: offsetOf(root, path), path, message });
  const names = new Map<string, number>();
  const tracks = new Map<string, number>();
  const groups = new Map<string, string>();
  for (const [index, { name, track, weights, groups: own, gates }] of pipeline.stages.entries()) {
    const path = ['stages', index];
    if (names.has(name))
      fault([...path, 'name'], `stages[${names.get(name)}] has the same name; give each stage its own`);
    if (tracks.has(track))
      fault(
        [...path, 'track'],
        `stages[${tracks.get(track)}] has the same track; builds under way at once need tracks of their own`,
      );
    if (track === 'pointsman') fault([...path, 'track'], 'is the name of the proxy itself; choose another');
    names.set(name, index);
    tracks.set(track, index);
    for (const [step, weight] of weights.entries()) {
      if (step > 0 && weight <= weights[step - 1]!)
        fault([...path, 'weights', step], 'must be above the weight before it; a plan only grows');
    }
    if (index === pipeline.stages.length - 1 && (weights.length > 1 || weights[0] !== 100)) {
      fault([...path, 'weights'], 'the last stage takes what the others leave; remove the plan');
    }
    for (const [i, group] of own.entries()) {
      const key = group.trim().toLowerCase();
      if (groups.has(key))
        fault([...path, 'groups', i], `is a group of the stage ${groups.get(key)} already`);
      groups.set(key, name);
    }
    if (gates.judge !== undefined && gates.judge.failures > gates.judge.of) {
      fault([...path, 'gates', 'judge', 'failures'], 'is more than the windows that are looked back (`of`)');
    }
    for (const [i, { min, max }] of gates.prometheus.entries()) {
      if (min === undefined && max === undefined)
        fault([...path, 'gates', 'prometheus', i], 'has neither min nor max; give at least one');
    }
  }
  for (const kind of ['deny', 'allow'] as const) {
    for (const [index, window] of pipeline.freeze[kind].entries()) {
      const message = windowFault(window) ?? unknownStage(window.stages, names);
      if (message !== undefined) fault(['freeze', kind, index], message);
    }
  }
  return faults;
}

function unknownStage(stages: readonly string[], names: ReadonlyMap<string, number>): string | undefined {
  const unknown = stages.find((name) => !names.has(name));
  return unknown === undefined
    ? undefined
    : `there is no stage "${unknown}"; stages: ${[...names.keys()].join(', ')}`;
}

/** The stage of that name. */
export function stageIndex(pipeline: Pipeline, name: string): number {
  return pipeline.stages.findIndex((stage) => stage.name === name);
}
