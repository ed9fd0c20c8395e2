/** What a team says of its fleet: one optional YAML file, strict, with defaults for everything. */

import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { readDocument } from '../config/document.ts';
import type { Environment } from '../config/environment.ts';
import {
  isFaulty,
  keyOffsetOf,
  type LocatedNode,
  lineIndex,
  offsetOf,
  plainValue,
} from '../config/located.ts';
import { suggestion } from '../config/nearest.ts';
import { type Fault, formatKeyPath, formatProblem, type KeyPath, quote } from '../config/problems.ts';
import { duration, oneOrMany } from '../config/schema/values.ts';

const words = z.array(z.string().min(1).max(253)).max(64);
const secretText = z.string().min(1).max(4_096);

const proxySchema = z.strictObject({
  replicas: z.int().min(0).max(1_000).default(4).describe('Pods that every proxy must have.'),
  tracks: words
    .default(['proxy', 'pointsman', 'router'])
    .describe('Values of the track label that mean the proxy.'),
  adminPort: z
    .union([z.string(), z.int().min(1).max(65_535)])
    .default('admin')
    .describe('Container port of the admin port, by name or number; 9901 where there is none of that name.'),
  timeout: duration({ max: 60_000 }).prefault('2s').describe('For one answer of one proxy.'),
  concurrency: z.int().min(1).max(256).default(32).describe('Proxies asked at once.'),
});

const graceSchema = z.strictObject({
  rollout: duration()
    .prefault('10m')
    .describe('How long pods may be missing, or an old build may run, after a change.'),
  pod: duration().prefault('5m').describe('How long a pod may be pending or not ready.'),
  config: duration()
    .prefault('150s')
    .describe('How long a ConfigMap may take to reach its proxies (the kubelet needs up to 2 min).'),
  restarts: duration().prefault('1h').describe('How far restarts are looked back.'),
});

const slackSchema = z.strictObject({
  url: secretText.describe('Incoming webhook; a secret, take it from ${NAME}.'),
});

const emailSchema = z.strictObject({
  server: secretText.describe(
    '`smtp://[USER:PASSWORD@]HOST[:PORT]`, or `smtps://` for TLS from the first byte.',
  ),
  tls: z.enum(['required', 'opportunistic', 'off']).default('required').describe('STARTTLS on `smtp://`.'),
  from: z.string().min(3).max(320).describe('Sender.'),
  to: oneOrMany(z.string().min(3).max(320)).describe('Receiver, or a list.'),
});

const alertsSchema = z.strictObject({
  least: z.enum(['warning', 'critical']).default('warning').describe('Least severity that is told of.'),
  after: z
    .int()
    .min(1)
    .max(10)
    .default(2)
    .describe('Surveys in a row that must see a finding; a critical one needs one.'),
  resolveAfter: z.int().min(1).max(10).default(2).describe('Surveys in a row that must not see it any more.'),
  repeat: duration({ min: 60_000 }).prefault('4h').describe('Reminder of what is still broken.'),
  flapping: z
    .int()
    .min(2)
    .max(100)
    .default(4)
    .describe('Changes within an hour after which a finding counts as flapping.'),
  perHour: z
    .int()
    .min(1)
    .max(1_000)
    .default(20)
    .describe('Most messages per hour and channel; what waits is merged.'),
  slack: slackSchema.optional(),
  email: emailSchema.optional(),
});

const ignoreSchema = z.strictObject({
  kind: z.string().max(64).optional().describe('Kind of finding, such as `over-replicated`.'),
  namespace: z.string().max(63).optional().describe('Namespace of the finding.'),
  service: z.string().max(253).optional().describe('Microservice.'),
  object: z.string().max(320).optional().describe('Name of the object it is about.'),
  until: z.iso.date().optional().describe('Last day on which it is ignored, in UTC.'),
  reason: z.string().min(1).max(500).describe('Why; required.'),
});

export const fleetSchema = z.strictObject({
  cluster: z
    .string()
    .min(1)
    .max(63)
    .optional()
    .describe('Name of the cluster; default: that of the kubeconfig context.'),
  namespaces: z
    .array(z.string().min(1).max(63))
    .max(200)
    .default([])
    .describe('Default: that of the context.'),
  selector: z
    .string()
    .max(1_024)
    .default('tier=service')
    .describe(
      'Label selector of the Services; that of a proxy may have other labels, where its Deployment is called `…-pointsman` or has a track label of a proxy.',
    ),
  labels: z
    .strictObject({
      service: words
        .min(1)
        .default(['app', 'app.kubernetes.io/name'])
        .describe('Labels that name the microservice; the first found counts.'),
      track: words.min(1).default(['track']).describe('Labels that name the track.'),
    })
    .prefault({}),
  tracks: words
    .min(1)
    .default(['internal', 'free', 'canary', 'paid', 'production'])
    .describe(
      'Tracks in the order of the pipeline; also read from the end of a Service’s name (`-internal`).',
    ),
  main: z.string().max(63).default('production').describe('The last track.'),
  required: words.default([]).describe('Tracks that every service must have.'),
  endpoints: z.int().min(0).max(1_000).default(2).describe('Ready endpoints that every track must have.'),
  replicas: z
    .record(z.string(), z.int().min(0).max(10_000))
    .default({})
    .describe('Most pods by track; default: no track may have more than the main one.'),
  restarts: z
    .int()
    .min(1)
    .max(1_000)
    .default(3)
    .describe('Restarts of a container from which on they are told of.'),
  proxy: proxySchema.prefault({}),
  grace: graceSchema.prefault({}),
  ignore: z.array(ignoreSchema).max(500).default([]).describe('Findings that are known and accepted.'),
  alerts: alertsSchema.prefault({}),
});

export type FleetSettings = z.output<typeof fleetSchema>;
export type Ignore = z.output<typeof ignoreSchema>;

/** A settings file that cannot be used; the message has one line per problem. */
export class SettingsError extends Error {}

/** @throws SettingsError */
export function parseSettings(text: string, file: string, environment: Environment): FleetSettings {
  const { root, faults } = readDocument(text, environment);
  if (root === undefined && faults.length === 0) return fleetSchema.parse({});
  const all: Fault[] = [...faults];
  if (root !== undefined) {
    const parsed = fleetSchema.safeParse(plainValue(root));
    if (parsed.success && all.length === 0) return parsed.data;
    if (root.kind === 'scalar' || root.kind === 'list') {
      all.push({ offset: root.offset, path: [], message: 'expected a map of keys and values' });
    } else if (!isFaulty(root, [])) {
      all.push(...faultsOf(parsed.error?.issues ?? [], root));
    }
  }
  const positionOf = lineIndex(text);
  const lines = all.slice(0, 50).map(({ offset, path, message }) =>
    formatProblem({
      file,
      ...positionOf(offset),
      keyPath: formatKeyPath(path),
      message,
      severity: 'error',
    }),
  );
  throw new SettingsError(lines.join('\n'));
}

interface JsonNode {
  readonly properties?: Readonly<Record<string, JsonNode>>;
  readonly items?: JsonNode;
}

/** Never shows a value: some are secrets. */
function faultsOf(issues: readonly z.core.$ZodIssue[], root: LocatedNode): Fault[] {
  const whole = z.toJSONSchema(fleetSchema, { io: 'input', unrepresentable: 'any' }) as JsonNode;
  return issues.flatMap((issue): Fault[] => {
    const path = issue.path as KeyPath;
    if (issue.code === 'unrecognized_keys') {
      const at = path.reduce<JsonNode | undefined>(
        (node, key) => (typeof key === 'number' ? node?.items : node?.properties?.[key]),
        whole,
      );
      const known = Object.keys(at?.properties ?? {});
      return issue.keys.map((key) => ({
        offset: keyOffsetOf(root, [...path, key]),
        path: [...path, key],
        message: `unknown key ${quote(key)}${suggestion(key, known, 'known keys here')}`,
      }));
    }
    return isFaulty(root, path) ? [] : [{ offset: offsetOf(root, path), path, message: wordsOf(issue) }];
  });
}

function wordsOf(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${KIND_WORDS[issue.expected] ?? issue.expected}`;
    case 'invalid_value':
      return `must be ${issue.values.map(String).join(' or ')}`;
    case 'invalid_union':
      return 'has none of the forms that are allowed here';
    default:
      return issue.message.charAt(0).toLowerCase() + issue.message.slice(1);
  }
}

const KIND_WORDS: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  object: 'a map',
  record: 'a map',
  array: 'a list',
};

/** Without a file, the defaults. @throws SettingsError */
export async function readSettings(
  file: string | undefined,
  environment: Environment,
): Promise<FleetSettings> {
  if (file === undefined) return fleetSchema.parse({});
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new SettingsError(
      `${file}: ${code === 'ENOENT' ? 'there is no such file' : `cannot be read (${code})`}`,
    );
  }
  return parseSettings(text, file, environment);
}

/** Annotations on Services and Deployments that override settings for one of them. */
export const ANNOTATIONS = {
  /** Wanted pods of a proxy, or most pods of a track. */
  replicas: 'fleet.pointsman/replicas',
  /** Ready endpoints that a track must have. */
  endpoints: 'fleet.pointsman/endpoints',
  /** Comma-separated kinds of findings that are not made of it, or `all`. */
  ignore: 'fleet.pointsman/ignore',
} as const;

export function numberAnnotation(
  annotations: Readonly<Record<string, string>>,
  name: string,
): number | undefined {
  const text = annotations[name];
  return text !== undefined && /^\d{1,5}$/.test(text) ? Number(text) : undefined;
}
