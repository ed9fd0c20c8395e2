/** The JSON Schema of the configuration, for editors, messages and the reference table. */
import { z } from 'zod';
import type { KeyPath } from './problems.ts';
import { configSchema } from './schema.ts';

/** The part of JSON Schema (draft 2020-12) that the configuration needs. */
export interface JsonSchema {
  readonly $schema?: string;
  readonly $id?: string;
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, JsonSchema>>;
  readonly title?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean' | 'null';
  readonly format?: string;
  readonly pattern?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly items?: JsonSchema;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly propertyNames?: JsonSchema;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | JsonSchema;
  /** A secret: never shown. */
  readonly writeOnly?: boolean;
  readonly anyOf?: readonly JsonSchema[];
}

const SCHEMA_ID = 'https://pointsman.dev/schema/pointsman.json';

/** The schema that is published: every value may also be, or hold, a reference to the environment. */
export function configJsonSchema(): JsonSchema {
  const { $schema, ...root } = valueSchema();
  return {
    $schema: $schema ?? 'https://json-schema.org/draft/2020-12/schema',
    $id: SCHEMA_ID,
    title: 'Pointsman configuration',
    description: 'Routing table, backends and settings of a Pointsman proxy.',
    ...(allowReferences(root) as JsonSchema),
    $defs: {
      reference: {
        description: 'A value taken from the environment: ${NAME}, or ${NAME:-default}.',
        type: 'string',
        pattern: '\\$\\{[A-Za-z_][A-Za-z0-9_]*(:-[^{}]*)?\\}|\\$\\$',
      },
    },
  };
}

let built: JsonSchema | undefined;

/** The schema of the values themselves, references filled in. Built once: it depends on nothing. */
export function valueSchema(): JsonSchema {
  built ??= z.toJSONSchema(configSchema, { io: 'input', target: 'draft-2020-12' }) as JsonSchema;
  return built;
}

function allowReferences(schema: JsonSchema): JsonSchema {
  if (schema.type === 'object') {
    return {
      ...schema,
      ...(schema.properties === undefined
        ? {}
        : {
            properties: Object.fromEntries(
              Object.entries(schema.properties).map(([key, value]) => [key, allowReferences(value)]),
            ),
          }),
      ...(typeof schema.additionalProperties === 'object'
        ? { additionalProperties: allowReferences(schema.additionalProperties) }
        : {}),
    };
  }
  if (schema.type === 'array') {
    return { ...schema, ...(schema.items === undefined ? {} : { items: allowReferences(schema.items) }) };
  }
  const { description, default: fallback, ...rest } = schema;
  const branches = schema.anyOf ?? [rest];
  const scalar = branches.some((branch) => branch.type !== 'object' && branch.type !== 'array');
  return {
    ...(description === undefined ? {} : { description }),
    ...(fallback === undefined ? {} : { default: fallback }),
    anyOf: [
      ...branches.map((branch) =>
        branch.type === 'object' || branch.type === 'array' ? allowReferences(branch) : branch,
      ),
      ...(scalar ? [{ $ref: '#/$defs/reference' }] : []),
    ],
  };
}

/** Every schema that a value at the path may have: more than one where there is a choice, none where no key fits. */
export function schemasAt(path: KeyPath): readonly JsonSchema[] {
  let schemas: readonly JsonSchema[] = [valueSchema()];
  for (const key of path) schemas = schemas.flatMap(branchesOf).flatMap((schema) => childSchema(schema, key));
  return schemas.flatMap(branchesOf);
}

/** The keys that a map at the path may have, of all its forms; empty where names are free. */
export function knownKeys(path: KeyPath): readonly string[] {
  return [...new Set(schemasAt(path).flatMap(({ properties }) => Object.keys(properties ?? {})))];
}

export function branchesOf(schema: JsonSchema): readonly JsonSchema[] {
  return schema.anyOf === undefined ? [schema] : schema.anyOf.flatMap(branchesOf);
}

/** Of the schema itself, not of its branches. */
export function childSchema(schema: JsonSchema, key: string | number): JsonSchema[] {
  if (typeof key === 'number') return schema.items === undefined ? [] : [schema.items];
  const { properties, additionalProperties } = schema;
  if (properties !== undefined && Object.hasOwn(properties, key)) return [properties[key]!];
  return typeof additionalProperties === 'object' ? [additionalProperties] : [];
}
