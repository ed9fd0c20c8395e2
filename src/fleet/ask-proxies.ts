/** Asks proxies which table they have: `/status` of the admin port, straight at the address of the pod. */

import { isIPv6 } from 'node:net';
import { z } from 'zod';
import { mapBounded } from './bounded.ts';
import type { DeploymentFacts, PodFacts, ProxyFacts } from './facts.ts';
import type { FleetView } from './model.ts';
import type { FleetSettings } from './settings.ts';

export interface ProxyTarget {
  readonly namespace: string;
  readonly pod: string;
  readonly url: string;
}

const DEFAULT_ADMIN_PORT = 9901;
const MAX_BODY = 8 * 1024 ** 2;

function adminPort({ ports }: DeploymentFacts, wanted: string | number): number {
  if (typeof wanted === 'number') return wanted;
  return ports.find(({ name }) => name === wanted)?.port ?? DEFAULT_ADMIN_PORT;
}

/** Pods that can answer: running, with an address, and not about to end. Those that are not ready are another rule's. */
export function proxyTargets(fleet: FleetView, settings: FleetSettings): ProxyTarget[] {
  const targets: ProxyTarget[] = [];
  for (const { proxy } of fleet.services) {
    const [deployment] = proxy.deployments;
    if (deployment === undefined) continue;
    const port = adminPort(deployment, settings.proxy.adminPort);
    for (const pod of proxy.pods) if (canAnswer(pod)) targets.push(target(pod, port));
  }
  return targets;
}

function canAnswer({ phase, ready, deletedAt, ip }: PodFacts): boolean {
  return phase === 'Running' && ready && deletedAt === 0 && ip !== '';
}

function target({ namespace, name, ip }: PodFacts, port: number): ProxyTarget {
  return { namespace, pod: name, url: `http://${isIPv6(ip) ? `[${ip}]` : ip}:${port}/status` };
}

const problem = z.object({ message: z.string(), path: z.string().optional() });
const override = z.object({
  text: z.string(),
  by: z.string(),
  reason: z.string(),
  createdAt: z.string(),
  until: z.string(),
});
const statusSchema = z.object({
  overrides: z.array(override).max(100).catch([]),
  version: z.string().catch(''),
  config: z.object({
    file: z.string().catch(''),
    hash: z.string(),
    loadedAt: z.string().catch(''),
    lastReload: z.object({ at: z.string(), result: z.string() }).nullish().catch(null),
    lastError: z
      .object({ at: z.string(), problems: z.array(problem).catch([]) })
      .nullish()
      .catch(null),
    restartNeeded: z.array(z.string()).catch([]),
  }),
});

/** Never rejects: who does not answer is in the facts, with the reason. */
export async function askProxies(
  targets: readonly ProxyTarget[],
  settings: Pick<FleetSettings['proxy'], 'timeout' | 'concurrency'>,
  signal: AbortSignal,
): Promise<ProxyFacts[]> {
  if (targets.length === 0) return [];
  const { Agent, request } = await import('undici');
  // One short connection per pod, none kept: hundreds of idle sockets would outlive their pods.
  const agent = new Agent({ pipelining: 0, connect: { timeout: settings.timeout } });
  try {
    return await mapBounded(targets, settings.concurrency, async ({ namespace, pod, url }) => {
      const base = { namespace, pod, ...NOTHING };
      try {
        const bounded = AbortSignal.any([signal, AbortSignal.timeout(settings.timeout)]);
        const { statusCode, body } = await request(url, { dispatcher: agent, signal: bounded });
        const chunks: Buffer[] = [];
        let size = 0;
        for await (const chunk of body) {
          size += (chunk as Buffer).length;
          if (size > MAX_BODY) return { ...base, failure: 'its answer is over 8 MiB' };
          chunks.push(chunk as Buffer);
        }
        if (statusCode !== 200) return { ...base, failure: `answered ${statusCode}` };
        return { ...base, ...read(Buffer.concat(chunks).toString('utf8')) };
      } catch (error) {
        return { ...base, failure: why(error) };
      }
    });
  } finally {
    void agent.destroy().catch(() => {});
  }
}

const NOTHING = {
  failure: '',
  version: '',
  file: '',
  hash: '',
  loadedAt: 0,
  refused: '',
  refusedAt: 0,
  restartNeeded: [] as readonly string[],
};

function read(text: string): Partial<ProxyFacts> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { failure: 'its answer is no JSON' };
  }
  const parsed = statusSchema.safeParse(json);
  if (!parsed.success) return { failure: 'its answer is no status of Pointsman' };
  const { version, config, overrides } = parsed.data;
  const { file, hash, loadedAt, lastReload, lastError, restartNeeded } = config;
  const rejected = lastReload?.result === 'rejected';
  const [first] = lastError?.problems ?? [];
  const said =
    first === undefined
      ? 'the log of the pod says why'
      : `${first.path ? `${first.path}: ` : ''}${first.message}`;
  return {
    version,
    file,
    hash,
    loadedAt: Date.parse(loadedAt) || 0,
    refused: rejected ? said.slice(0, 300) : '',
    refusedAt: rejected ? Date.parse(lastReload.at) || 0 : 0,
    restartNeeded,
    held: overrides.map(({ text: what, by, reason, createdAt, until }) => ({
      text: what.slice(0, 300),
      by: by.slice(0, 100),
      reason: reason.slice(0, 300),
      createdAt: Date.parse(createdAt) || 0,
      until: Date.parse(until) || 0,
    })),
  };
}

function why(error: unknown): string {
  const { code, name } = error as NodeJS.ErrnoException;
  if (code === 'ECONNREFUSED') return 'nothing listens there';
  if (name === 'TimeoutError' || name === 'AbortError' || code?.includes('TIMEOUT'))
    return 'no answer in time';
  if (code === 'EHOSTUNREACH' || code === 'ENETUNREACH') return 'unreachable from here';
  return code ?? 'no answer';
}
