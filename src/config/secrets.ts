/** Values that are never shown: those that the schema marks so (`secret` in `schema/values.ts`), with all that is in them. */
import { branchesOf, childSchema, type JsonSchema, valueSchema } from './json-schema.ts';
import type { KeyPath } from './problems.ts';

/** Stands in their place. */
export const HIDDEN = '(hidden)';

/** True of a secret, and of what is a part of one. */
export function isSecret(path: KeyPath): boolean {
  return schemasOrSecret(path) === 'secret';
}

/** True also where secrets stand further in: one that was put there by mistake is not shown either. */
export function mayHoldSecrets(path: KeyPath): boolean {
  const schemas = schemasOrSecret(path);
  return schemas === 'secret' || schemas.some(leadsToSecrets);
}

/** The value at the path with every secret in it replaced. */
export function withoutSecrets(path: KeyPath, value: unknown): unknown {
  if (value === undefined) return undefined;
  const schemas = schemasOrSecret(path);
  return schemas === 'secret' ? HIDDEN : shown(schemas, value);
}

/** What keys look like that may stand beside a secret. */
const PLAIN_KEY = /^[A-Za-z0-9_.-]{1,64}$/;

/**
 * The path with `…` for what is no plain key beside secrets, or looks like a URL: with a blank or a quote too few, as in
 * `{ password:geheim }`, the secret is a part of the key.
 */
export function shownPath(path: KeyPath): KeyPath {
  return path.map((key, depth) => {
    if (typeof key === 'number' || PLAIN_KEY.test(key)) return key;
    const schemas = schemasOrSecret(path.slice(0, depth));
    const isBeside = schemas === 'secret' || schemas.flatMap(branchesOf).some(hasSecrets);
    return isBeside || key.includes('://') ? '…' : key;
  });
}

/** As the reference writes them: `redis.password`, `pins.<name>.issueCookie.keys[]`. */
export function secretKeys(): readonly string[] {
  const found = new Set<string>();
  const visit = (schema: JsonSchema, key: string): void => {
    if (schema.writeOnly === true) {
      found.add(key);
      return;
    }
    for (const branch of schema.anyOf ?? []) visit(branch, key);
    for (const [name, inner] of Object.entries(schema.properties ?? {})) {
      visit(inner, key === '' ? name : `${key}.${name}`);
    }
    if (typeof schema.additionalProperties === 'object') visit(schema.additionalProperties, `${key}.<name>`);
    if (schema.items !== undefined) visit(schema.items, `${key}[]`);
  };
  visit(valueSchema(), '');
  return [...found];
}

function schemasOrSecret(path: KeyPath): readonly JsonSchema[] | 'secret' {
  let schemas: readonly JsonSchema[] = [valueSchema()];
  for (const key of path) {
    schemas = childrenOf(schemas, key);
    if (schemas.some(isMarked)) return 'secret';
  }
  return schemas;
}

function shown(schemas: readonly JsonSchema[], value: unknown): unknown {
  if (schemas.some(isMarked)) return HIDDEN;
  if (typeof value !== 'object' || value === null || !schemas.some(leadsToSecrets)) return value;
  if (Array.isArray(value)) {
    const items = childrenOf(schemas, 0);
    return value.map((item) => shown(items, item));
  }
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key,
      inner === undefined ? undefined : shown(childrenOf(schemas, key), inner),
    ]),
  );
}

function childrenOf(schemas: readonly JsonSchema[], key: string | number): readonly JsonSchema[] {
  return schemas.flatMap(branchesOf).flatMap((schema) => childSchema(schema, key));
}

function isMarked(schema: JsonSchema): boolean {
  return schema.writeOnly === true || (schema.anyOf ?? []).some(isMarked);
}

/** Its own values are secrets, or lists of them. */
function hasSecrets({ properties, additionalProperties }: JsonSchema): boolean {
  return [...Object.values(properties ?? {}), additionalProperties].some(
    (value) => typeof value === 'object' && (isMarked(value) || value.items?.writeOnly === true),
  );
}

const leading = new WeakMap<JsonSchema, boolean>();

function leadsToSecrets(schema: JsonSchema): boolean {
  let leads = leading.get(schema);
  if (leads === undefined) {
    const { properties, additionalProperties, items, anyOf } = schema;
    leads =
      schema.writeOnly === true ||
      [
        ...Object.values(properties ?? {}),
        ...(typeof additionalProperties === 'object' ? [additionalProperties] : []),
        ...(items === undefined ? [] : [items]),
        ...(anyOf ?? []),
      ].some(leadsToSecrets);
    leading.set(schema, leads);
  }
  return leads;
}
