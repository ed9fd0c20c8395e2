/**
 * Sees to the servers that the tests run against: where they are missing, installs Debian's packages as root, or names
 * them. Run before the tests as `node test/support/debian-packages.ts`; says nothing when there is nothing to do.
 */

import { spawnSync } from 'node:child_process';
import { accessSync, chmodSync, constants, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** Program → package. `dnsmasq-base` is the program without its service. */
const PACKAGES: Readonly<Record<string, string>> = {
  'redis-server': 'redis-server',
  dnsmasq: 'dnsmasq-base',
  haproxy: 'haproxy',
  nginx: 'nginx',
  lsof: 'lsof',
  chromium: 'chromium',
  buildah: 'buildah',
  busybox: 'busybox-static',
  promtool: 'prometheus',
  faketime: 'faketime',
  zsh: 'zsh',
  fish: 'fish',
};

/** Where Debian puts servers, whether or not the user's PATH has it. */
const SYSTEM_PATH = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/local/bin', '/usr/bin', '/bin'];

/** Asked by `invoke-rc.d` before a package starts its service: 101 forbids it. */
const POLICY = '/usr/sbin/policy-rc.d';

function isInstalled(program: string): boolean {
  const directories = new Set([...(process.env['PATH'] ?? '').split(':'), ...SYSTEM_PATH]);
  for (const directory of directories) {
    if (directory === '') continue;
    try {
      accessSync(path.join(directory, program), constants.X_OK);
      return true;
    } catch {
      // Not here.
    }
  }
  return false;
}

function isDebian(): boolean {
  try {
    return (
      /^ID(_LIKE)?=.*\bdebian\b/m.test(readFileSync('/etc/os-release', 'utf8')) &&
      existsSync('/usr/bin/apt-get')
    );
  } catch {
    return false;
  }
}

function aptGet(...args: string[]): { ok: boolean; output: string } {
  const { status, stdout, stderr, error } = spawnSync('/usr/bin/apt-get', args, {
    encoding: 'utf8',
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' },
  });
  return { ok: status === 0, output: error?.message ?? `${stdout}${stderr}` };
}

/** Runs `install` while services may not start, and leaves the machine's own policy as it was. */
function withoutStartingServices<T>(install: () => T): T {
  if (existsSync(POLICY)) return install();
  writeFileSync(POLICY, '#!/bin/sh\nexit 101\n');
  chmodSync(POLICY, 0o755);
  try {
    return install();
  } finally {
    rmSync(POLICY, { force: true });
  }
}

const missing = () => Object.keys(PACKAGES).filter((program) => !isInstalled(program));

function main(): number {
  const before = missing();
  if (before.length === 0) return 0;
  const packages = before.map((program) => PACKAGES[program]!);
  if (!isDebian() || process.getuid?.() !== 0) {
    console.error(`The tests need ${before.join(', ')}, which this machine does not have. On Debian, as root:
  apt-get install --no-install-recommends ${packages.join(' ')}`);
    return 1;
  }
  console.error(`installing what the tests run against: ${packages.join(' ')}`);
  // The lists may be fresh enough when the network is not there: only the installation itself decides.
  const update = aptGet('update', '-q');
  const install = withoutStartingServices(() =>
    aptGet('install', '-q', '-y', '--no-install-recommends', ...packages),
  );
  const after = missing();
  if (after.length === 0) return 0;
  if (!update.ok) console.error(update.output);
  if (!install.ok) console.error(install.output);
  console.error(
    `still missing: ${after.join(', ')} (packages ${after.map((program) => PACKAGES[program]).join(', ')})`,
  );
  return 1;
}

process.exitCode = main();
