/** `services/NAME/service.yaml`: what a team says of its service. */

import { z } from 'zod';
import { type LocatedNode, offsetOf } from '../config/located.ts';
import { suggestion } from '../config/nearest.ts';
import type { Fault } from '../config/problems.ts';
import { dnsLabel, type Pipeline, values } from './definition.ts';
import { readStrict } from './strict-yaml.ts';

const serviceSchema = z.strictObject({
  namespace: dnsLabel.optional().describe('Overrides that of the pipeline.'),
  replicas: z
    .record(z.string(), z.int().min(0).max(10_000))
    .default({})
    .describe('Pods by track, where they differ from the pipeline.'),
  proxyReplicas: z.int().min(0).max(1_000).optional().describe('Overrides that of the pipeline.'),
  proxies: z
    .array(
      z
        .string()
        .max(2_048)
        .regex(/^https?:\/\/\S+$/, 'is not a URL; write http://…'),
    )
    .max(256)
    .optional()
    .describe('Overrides that of the pipeline.'),
  values: values.default({}).describe('Placeholders of the templates, over those of the pipeline.'),
});

export type ServiceDefinition = z.output<typeof serviceSchema>;

export function serviceFile(service: string): string {
  return `services/${service}/service.yaml`;
}

/** @throws InvalidFiles */
export function readService(text: string, service: string, pipeline: Pipeline): ServiceDefinition {
  const tracks = pipeline.stages.map(({ track }) => track);
  return readStrict(
    serviceSchema,
    text,
    serviceFile(service),
    {},
    ({ replicas }, root: LocatedNode): Fault[] =>
      Object.keys(replicas)
        .filter((track) => !tracks.includes(track))
        .map((track) => ({
          offset: offsetOf(root, ['replicas', track]),
          path: ['replicas', track],
          message: `there is no track "${track}"${suggestion(track, tracks, 'tracks')}`,
        })),
  );
}

/** Why a service cannot have that name; undefined when it can. */
export function serviceNameFault(service: string): string | undefined {
  const parsed = dnsLabel.safeParse(service);
  return parsed.success ? undefined : `"${service}" ${parsed.error.issues[0]!.message}`;
}

/** What `init` writes. */
export function serviceText(namespace: string | undefined): string {
  return `# What is particular to this service; everything else comes from pipeline.yaml and templates/.
# Files in templates/ beside this one replace those of the same path in the common templates.
${namespace === undefined ? '# namespace: shop' : `namespace: ${namespace}`}
# replicas: { production: 20 }
values: {}
`;
}
