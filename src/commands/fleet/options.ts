/** Options that the subcommands share, and the cluster they lead to. */

import type { ParseArgsOptionDescriptor } from 'node:util';
import { parseDuration } from '../../config/units.ts';
import { ClusterConnection } from '../../fleet/cluster/connection.ts';
import type { ProxyAccess } from '../../fleet/cluster/survey.ts';
import type { RepositoryFacts } from '../../fleet/facts.ts';
import { readRepository } from '../../fleet/repository.ts';
import { type FleetSettings, readSettings } from '../../fleet/settings.ts';
import { type CommandIo, UsageError } from '../io.ts';

export const CLUSTER_OPTIONS = {
  config: { type: 'string', short: 'c' },
  kubeconfig: { type: 'string' },
  context: { type: 'string' },
  cluster: { type: 'string' },
  namespace: { type: 'string', short: 'n', multiple: true },
  'all-namespaces': { type: 'boolean', short: 'A', default: false },
  selector: { type: 'string', short: 'l' },
  proxies: { type: 'string' },
  repo: { type: 'string' },
  timeout: { type: 'string' },
  help: { type: 'boolean', short: 'h', default: false },
} as const satisfies Record<string, ParseArgsOptionDescriptor>;

export const CLUSTER_HELP = `  -c, --config FILE         settings of the fleet (YAML); default: none, all defaults
      --kubeconfig FILE     default: $KUBECONFIG, the pod's service account, ~/.kube/config
      --context NAME        of the kubeconfig
      --cluster NAME        how the cluster is called here; default: as the kubeconfig does
  -n, --namespace NAME      may be given several times; default: that of the context
  -A, --all-namespaces      needs a ClusterRole
  -l, --selector SELECTOR   of the Services; default: tier=service
      --proxies direct|off  ask every proxy pod for its live table; default: direct inside of a cluster, else off
      --repo PATH           compare with rendered manifests: a directory, or one file
      --timeout DURATION    for one answer of the API server; default: 30s
`;

export interface ClusterValues {
  readonly config?: string | undefined;
  readonly kubeconfig?: string | undefined;
  readonly context?: string | undefined;
  readonly cluster?: string | undefined;
  readonly namespace?: string[] | undefined;
  readonly 'all-namespaces': boolean;
  readonly selector?: string | undefined;
  readonly proxies?: string | undefined;
  readonly repo?: string | undefined;
  readonly timeout?: string | undefined;
}

export interface OpenedCluster {
  readonly connection: ClusterConnection;
  readonly settings: FleetSettings;
  readonly cluster: string;
  /** Empty: all. */
  readonly namespaces: readonly string[];
  readonly proxies: ProxyAccess;
  readonly repository: RepositoryFacts | undefined;
}

/** @throws UsageError, SettingsError, ClusterFailure */
export async function openCluster(values: ClusterValues, io: CommandIo): Promise<OpenedCluster> {
  const { proxies: access, namespace: named = [] } = values;
  const all = values['all-namespaces'];
  if (access !== undefined && access !== 'direct' && access !== 'off')
    throw new UsageError(`--proxies is direct or off, not "${access}"`);
  if (all && named.length > 0) throw new UsageError('give --namespace or --all-namespaces, not both');
  for (const name of [...named])
    if (!/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name))
      throw new UsageError(`"${name}" is no name of a namespace`);
  const read = await readSettings(values.config, io.environment);
  const settings = values.selector === undefined ? read : { ...read, selector: values.selector };
  const repository = values.repo === undefined ? undefined : await repositoryOf(values.repo);
  const connection = await ClusterConnection.open(
    {
      kubeconfig: values.kubeconfig,
      context: values.context,
      timeoutMs: durationOption('--timeout', values.timeout ?? '30s', 100),
      version: io.version,
    },
    io.environment,
  );
  const chosen = named.length > 0 ? named : settings.namespaces;
  return {
    connection,
    settings,
    cluster: values.cluster ?? settings.cluster ?? connection.cluster,
    namespaces: all ? [] : chosen.length > 0 ? [...new Set(chosen)] : [connection.namespace || 'default'],
    proxies: access ?? (connection.inCluster ? 'direct' : 'off'),
    repository,
  };
}

async function repositoryOf(path: string): Promise<RepositoryFacts> {
  try {
    return await readRepository(path);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

export function durationOption(option: string, text: string, least: number): number {
  const ms = parseDuration(text);
  if (ms === undefined) throw new UsageError(`${option} is a duration such as 30s or 5m, not "${text}"`);
  if (ms < least) throw new UsageError(`${option} must be at least ${least} ms`);
  return ms;
}

/** Aborted by the first SIGINT, SIGTERM or SIGHUP, until it is released. */
export function untilSignal(): { readonly signal: AbortSignal; readonly release: () => void } {
  const controller = new AbortController();
  const stop = () => controller.abort();
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of signals) process.on(name, stop);
  return {
    signal: controller.signal,
    release: () => {
      for (const name of signals) process.off(name, stop);
    },
  };
}
