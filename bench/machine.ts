/** What a measurement was taken on and with. */

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { isInstalled, type Placement } from './launch.ts';
import { packageVersion } from './subjects/node-proxy.ts';
import type { Subject } from './subjects/subject.ts';

export interface HostFacts {
  readonly date: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryMiB: number;
  readonly kernel: string;
}

export interface MachineFacts extends HostFacts {
  readonly versions: Readonly<Record<string, string>>;
  readonly placement: string;
}

export function hostFacts(): HostFacts {
  const model = /^model name\s*:\s*(.+)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1];
  return {
    date: new Date().toISOString().slice(0, 10),
    cpu: model ?? cpus()[0]?.model ?? 'unknown CPU',
    cores: cpus().length,
    memoryMiB: Math.round(totalmem() / 1024 ** 2),
    kernel: release(),
  };
}

export function machineFacts(
  subjects: readonly Subject[],
  cores: Placement,
  upstreams: string,
): MachineFacts {
  return {
    ...hostFacts(),
    versions: {
      node: process.versions.node,
      undici: packageVersion('undici'),
      ...Object.fromEntries(
        subjects.filter(({ name }) => name !== 'direct').map((subject) => [subject.name, subject.version()]),
      ),
      autocannon: packageVersion('autocannon'),
      ...(isInstalled('wrk') ? { wrk: wrkVersion() } : {}),
    },
    placement:
      (cores.proxy === undefined
        ? 'Nothing was pinned to a core'
        : `The proxy ran on core ${cores.proxy}, load generator and upstreams on core ${cores.load}`) +
      `; upstreams: ${upstreams}.`,
  };
}

function wrkVersion(): string {
  const output = spawnSync('wrk', ['-v'], { encoding: 'utf8' });
  return /wrk (?:\S+\/)?([0-9][^\s[]*)/.exec(output.stdout + output.stderr)?.[1] ?? 'unknown';
}
