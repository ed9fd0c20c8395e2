/**
 * What is wrong with rendered manifests, without a cluster: types, enumerations and required keys by the models
 * generated from Kubernetes' OpenAPI; unknown keys by the types of the official client, which the models let pass.
 */

import * as client from '@kubernetes/client-node';
import * as prometheus from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1';
import * as apps from 'kubernetes-models/apps/v1';
import * as autoscaling from 'kubernetes-models/autoscaling/v2';
import * as batch from 'kubernetes-models/batch/v1';
import * as networking from 'kubernetes-models/networking.k8s.io/v1';
import * as policy from 'kubernetes-models/policy/v1';
import * as rbac from 'kubernetes-models/rbac.authorization.k8s.io/v1';
import * as core from 'kubernetes-models/v1';
import { parseAllDocuments } from 'yaml';

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  // biome-ignore lint/suspicious/noExplicitAny: what it holds is what is judged
  readonly [key: string]: any;
}

const MODELS: Readonly<Record<string, object>> = {
  v1: core,
  'apps/v1': apps,
  'autoscaling/v2': autoscaling,
  'batch/v1': batch,
  'networking.k8s.io/v1': networking,
  'policy/v1': policy,
  'rbac.authorization.k8s.io/v1': rbac,
  'monitoring.coreos.com/v1': prometheus,
};

/** @throws Error at what is no YAML */
export function parseManifests(text: string): Manifest[] {
  return parseAllDocuments(text, { uniqueKeys: true }).flatMap((document) => {
    if (document.errors.length > 0) throw document.errors[0]!;
    const value = document.toJS() as Manifest | null;
    return value === null ? [] : [value];
  });
}

/** One line each; none: an API server would take it. */
export function faultsOf(manifest: Manifest): string[] {
  const { apiVersion, kind, metadata } = manifest;
  const where = `${kind}/${metadata?.name}`;
  const Model = (MODELS[apiVersion] as Record<string, new (o: object) => { validate(): void }> | undefined)?.[
    kind
  ];
  if (Model === undefined) return [`${where}: ${apiVersion} is not known here`];
  const faults: string[] = [];
  try {
    new Model(manifest).validate();
  } catch (error) {
    faults.push(`${where}: ${(error as Error).message}`);
  }
  // Types of custom resources are in no OpenAPI of Kubernetes; their models are closed by themselves.
  if (apiVersion !== 'monitoring.coreos.com/v1') {
    const version = apiVersion.split('/').at(-1)!;
    unknownKeys(manifest, `${version.toUpperCase()}${kind}`, where, faults);
  }
  for (const [key, value] of Object.entries(metadata.labels ?? {})) {
    if (typeof value !== 'string' || !/^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$/.test(value)) {
      faults.push(`${where}: label ${key}: ${String(value)}`);
    }
  }
  return faults;
}

interface TypeMapped {
  getAttributeTypeMap(): readonly { readonly baseName: string; readonly type: string }[];
}

function unknownKeys(value: unknown, type: string, path: string, faults: string[]): void {
  if (value === null || value === undefined) return;
  const list = /^Array<(.*)>$/.exec(type);
  if (list !== null) {
    (value as unknown[]).forEach((item, i) => {
      unknownKeys(item, list[1]!, `${path}[${i}]`, faults);
    });
    return;
  }
  const map = /^\{ \[key: string\]: (.*?);? \}$/.exec(type);
  if (map !== null) {
    for (const [key, item] of Object.entries(value)) unknownKeys(item, map[1]!, `${path}.${key}`, faults);
    return;
  }
  const mapped = (client as unknown as Record<string, TypeMapped | undefined>)[type];
  // Scalars, times and values that may be a number or a text have no keys.
  if (mapped?.getAttributeTypeMap === undefined) return;
  const known = new Map(mapped.getAttributeTypeMap().map(({ baseName, type: of }) => [baseName, of]));
  for (const [key, item] of Object.entries(value)) {
    const of = known.get(key);
    if (of === undefined) faults.push(`${path}.${key}: unknown field of ${type}`);
    else unknownKeys(item, of, `${path}.${key}`, faults);
  }
}
