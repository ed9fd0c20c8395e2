/** A resolver over files and servers of a test's own, so that this host's settings play no part. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import path from 'node:path';
import { systemClock } from '../../src/backends/clock.ts';
import type { Name, Resolution } from '../../src/backends/resolution.ts';
import { DnsResolver } from '../../src/backends/resolver.ts';
import { targetLabel } from '../../src/backends/target.ts';
import { type ConfigInput, configSchema, type ResolverConfig } from '../../src/config/schema.ts';
import { cleanUp } from './clean-up.ts';
import { type Answering, type DnsDouble, startDnsDouble } from './dns-double.ts';

export type ResolverInput = NonNullable<ConfigInput['resolver']>;

/** Servers on this host answer at once or never. */
export const QUICK = { timeout: '300ms', attempts: 1, minTtl: '50ms', maxTtl: '500ms' } as const;

/** Search domains of a pod in the namespace `shop`. */
export const POD_SEARCH = ['shop.svc.cluster.local', 'svc.cluster.local', 'cluster.local'];

export function resolverConfig(changes: ResolverInput): ResolverConfig {
  return configSchema.parse({ backends: {}, routes: [{ name: 'all', split: {} }], resolver: changes })
    .resolver;
}

export interface TestResolver {
  readonly resolver: DnsResolver;
  /** Paths. */
  readonly resolvConf: string;
  readonly hosts: string;
}

export function makeResolver(
  changes: ResolverInput,
  files: { readonly resolvConf?: string; readonly hosts?: string } = {},
): TestResolver {
  const directory = mkdtempSync(path.join(tmpdir(), 'pointsman-resolver-'));
  const resolvConf = path.join(directory, 'resolv.conf');
  const hosts = path.join(directory, 'hosts');
  writeFileSync(resolvConf, files.resolvConf ?? '');
  writeFileSync(hosts, files.hosts ?? '');
  const config = resolverConfig(changes);
  const resolver = new DnsResolver({ config, clock: systemClock, resolvConf, hosts });
  cleanUp(() => {
    resolver.close();
    rmSync(directory, { recursive: true });
  });
  return { resolver, resolvConf, hosts };
}

/** A resolver whose only server answers by `answer`. */
export async function against(
  answer: Answering,
  changes: ResolverInput = {},
): Promise<{ resolver: DnsResolver; double: DnsDouble }> {
  const double = await startDnsDouble(answer);
  const { resolver } = makeResolver({ ...QUICK, nameservers: [double.address], ...changes });
  return { resolver, double };
}

export const plain = (host: string): Name => ({ host, srv: false });
export const service = (host: string): Name => ({ host, srv: true });

export function addressesOf(resolution: Resolution): readonly string[] {
  assert.equal(resolution.kind, 'answer', JSON.stringify(resolution));
  return resolution.kind === 'answer' ? resolution.targets.map(({ address }) => address) : [];
}

/** `address:port priority/weight host` */
export function targetsOf(resolution: Resolution): readonly string[] {
  assert.equal(resolution.kind, 'answer', JSON.stringify(resolution));
  if (resolution.kind !== 'answer') return [];
  return resolution.targets.map(
    (target) => `${targetLabel(target)} ${target.priority}/${target.weight} ${target.host}`,
  );
}

export function ttlOf(resolution: Resolution): number {
  assert.equal(resolution.kind, 'answer', JSON.stringify(resolution));
  return resolution.kind === 'answer' ? resolution.ttlMs : -1;
}

export function failureOf(resolution: Resolution): { reason: string; detail: string } {
  assert.equal(resolution.kind, 'failure', JSON.stringify(resolution));
  return resolution.kind === 'failure' ? resolution : { reason: '', detail: '' };
}

export function reasonOf(resolution: Resolution): string {
  return failureOf(resolution).reason;
}

/** For tests of servers on `::1`. */
export function hasIpv6(): boolean {
  return Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === '::1'));
}
