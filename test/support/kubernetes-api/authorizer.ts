/** RBAC from manifests: Roles, ClusterRoles and their bindings decide, and every decision is kept. */

import type { KubernetesObject } from './store.ts';

export interface Attempt {
  readonly user: string;
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  /** '' for all. */
  readonly namespace: string;
  readonly name: string;
}

interface PolicyRule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly resourceNames?: readonly string[];
}

interface Subject {
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
}

export class Authorizer {
  readonly #objects: readonly KubernetesObject[];
  readonly attempts: (Attempt & { readonly allowed: boolean })[] = [];

  constructor(objects: readonly KubernetesObject[]) {
    this.#objects = objects;
  }

  allows(attempt: Attempt): boolean {
    const allowed = this.#rulesFor(attempt).some((rule) => covers(rule, attempt));
    this.attempts.push({ ...attempt, allowed });
    return allowed;
  }

  /** `verb group/resource[/name]` of all rules that bind `user`. */
  granted(user: string): Set<string> {
    const all = new Set<string>();
    for (const binding of this.#bindings(user)) {
      for (const { verbs, apiGroups, resources, resourceNames } of this.#rulesOf(binding)) {
        for (const verb of verbs)
          for (const group of apiGroups)
            for (const resource of resources)
              for (const name of resourceNames ?? ['']) all.add(words(verb, group, resource, name));
      }
    }
    return all;
  }

  /** The same words for what was done; a name only where a rule is bound to names. */
  usedBy(user: string): Set<string> {
    return new Set(
      this.attempts
        .filter((attempt) => attempt.allowed && attempt.user === user)
        .map((attempt) => {
          const rule = this.#rulesFor(attempt).find((one) => covers(one, attempt))!;
          return words(
            attempt.verb,
            attempt.group,
            attempt.resource,
            rule.resourceNames === undefined ? '' : attempt.name,
          );
        }),
    );
  }

  #bindings(user: string): KubernetesObject[] {
    return this.#objects.filter(
      (object) =>
        (object.kind === 'RoleBinding' || object.kind === 'ClusterRoleBinding') &&
        ((object['subjects'] as Subject[] | undefined) ?? []).some(
          ({ kind, name, namespace }) =>
            kind === 'ServiceAccount' &&
            user === `system:serviceaccount:${namespace ?? object.metadata.namespace ?? ''}:${name}`,
        ),
    );
  }

  #rulesOf(binding: KubernetesObject): readonly PolicyRule[] {
    const ref = binding['roleRef'] as { readonly kind: string; readonly name: string };
    const role = this.#objects.find(
      ({ kind, metadata }) =>
        kind === ref.kind &&
        metadata.name === ref.name &&
        (kind === 'ClusterRole' || metadata.namespace === binding.metadata.namespace),
    );
    return (role?.['rules'] as PolicyRule[] | undefined) ?? [];
  }

  #rulesFor({ user, namespace }: Attempt): PolicyRule[] {
    return this.#bindings(user)
      .filter(
        ({ kind, metadata }) =>
          kind === 'ClusterRoleBinding' || (namespace !== '' && metadata.namespace === namespace),
      )
      .flatMap((binding) => this.#rulesOf(binding));
  }
}

function words(verb: string, group: string, resource: string, name: string): string {
  return `${verb} ${group === '' ? '' : `${group}/`}${resource}${name === '' ? '' : `/${name}`}`;
}

function covers(rule: PolicyRule, { verb, group, resource, name }: Attempt): boolean {
  const has = (list: readonly string[], value: string) => list.includes('*') || list.includes(value);
  if (!has(rule.verbs, verb) || !has(rule.apiGroups, group) || !has(rule.resources, resource)) return false;
  // A rule with names never grants create, nor a list of all.
  return rule.resourceNames === undefined || (name !== '' && rule.resourceNames.includes(name));
}
