/** Processes that may do next to nothing, and a look at what a process may. */

import { spawnSync } from 'node:child_process';
import { chmodSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { configText, MAIN, type TestConfig, temporaryDirectory } from './pointsman-process.ts';

export const NOBODY = 65_534;

/** Nobody, without groups and capabilities, and without a way to get any. */
const AS_NOBODY = [
  'setpriv',
  `--reuid=${NOBODY}`,
  `--regid=${NOBODY}`,
  '--clear-groups',
  '--bounding-set=-all',
  '--inh-caps=-all',
  '--no-new-privs',
];

/** What the namespace sees can be read and nothing of it written. The process stays the one that was started. */
const READ_ONLY = `
mount --make-rprivate /
while read -r _ place _; do mount -o remount,bind,ro "$place" 2>/dev/null; done < /proc/self/mounts
exec "$@"
`;

export const AS_NOBODY_READ_ONLY = ['unshare', '--mount', 'sh', '-c', READ_ONLY, 'sh', ...AS_NOBODY];

/** Why processes cannot be put into another user's place here. */
export function whyNotAsNobody(): string | false {
  if (process.getuid?.() !== 0) return 'needs root to become somebody else';
  for (const file of [process.execPath, MAIN]) {
    const [program, ...args] = [...AS_NOBODY, 'test', '-r', file];
    const { status } = spawnSync(program!, args);
    if (status !== 0) return `nobody cannot read ${file} here, or there is no setpriv`;
  }
  return false;
}

export function whyNotReadOnly(): string | false {
  const why = whyNotAsNobody();
  if (why !== false) return why;
  return spawnSync('unshare', ['--mount', 'true']).status !== 0 && 'this machine allows no namespaces';
}

/** A configuration that everybody can read. */
export function readableConfig(config: TestConfig): string {
  const directory = temporaryDirectory();
  chmodSync(directory, 0o755);
  const file = path.join(directory, 'pointsman.yaml');
  writeFileSync(file, configText(config), { mode: 0o644 });
  return file;
}

/** Of every thread of the process and its children, each set of rights once. */
export function rightsOf(pid: number): string[] {
  const found = new Set<string>();
  for (const process of [pid, ...childrenOf(pid)]) {
    for (const thread of readdirSync(`/proc/${process}/task`)) {
      const status = readFileSync(`/proc/${process}/task/${thread}/status`, 'utf8');
      const lines = status
        .split('\n')
        .filter((line) => /^(Uid|Gid|Groups|CapInh|CapPrm|CapEff|CapAmb):/.test(line));
      found.add(lines.map((line) => line.trim().replaceAll(/\s+/g, ' ')).join('; '));
    }
  }
  return [...found];
}

export function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .trim()
    .split(' ')
    .filter(Boolean)
    .map(Number);
}

/** As `rightsOf` says it of a process that has none. */
export function noRights(uid: number, gid: number): string {
  const ids = (id: number) => Array(4).fill(id).join(' ');
  const none = ['CapInh', 'CapPrm', 'CapEff', 'CapAmb'].map((set) => `${set}: ${'0'.repeat(16)}`);
  return [`Uid: ${ids(uid)}`, `Gid: ${ids(gid)}`, 'Groups:', ...none].join('; ');
}
