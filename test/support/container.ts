/**
 * Runs an image as Kubernetes would under the `restricted` standard: its own process ids, its own mounts with a root that
 * cannot be written to, the numeric user of the image, no capability, nothing of the environment. By namespaces alone;
 * the network is that of the machine.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { cleanUp } from './clean-up.ts';
import type { Image } from './container-image.ts';
import { waitFor } from './wait-for.ts';

const START = `
set -e
mount --bind "$ROOT" "$ROOT"
mount -t proc proc "$ROOT/proc"
mount --bind /dev "$ROOT/dev"
if [ -n "$CONFIG" ]; then
  mount --bind "$CONFIG" "$ROOT/etc/pointsman"
  mount -o remount,bind,ro "$ROOT/etc/pointsman"
fi
mount -o remount,bind,ro "$ROOT"
exec env -i "$@"
`;

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class Container {
  readonly #child: ChildProcess;
  readonly ended: Promise<Ended>;
  stdout = '';
  stderr = '';

  /** @param config directory mounted at /etc/pointsman */
  constructor(image: Image, args: readonly string[] = image.config.Cmd, config = '') {
    const { Env, Entrypoint, User } = image.config;
    if (config !== '') mkdirSync(path.join(image.root, 'etc/pointsman'), { recursive: true });
    this.#child = spawn(
      'unshare',
      [
        ...['--mount', '--pid', '--fork', '--kill-child', 'sh', '-c', START, 'sh', ...Env],
        ...['/usr/sbin/chroot', `--userspec=${User}`, '--groups=', image.root, ...Entrypoint, ...args],
      ],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', ROOT: image.root, CONFIG: config },
      },
    );
    this.#child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.ended = new Promise((resolve) => {
      this.#child.once('close', (code) => resolve({ code, stdout: this.stdout, stderr: this.stderr }));
    });
    cleanUp(() => this.#child.kill('SIGKILL'));
  }

  /** As this machine counts; to itself it is 1. */
  async pid(): Promise<number> {
    const children = `/proc/${this.#child.pid}/task/${this.#child.pid}/children`;
    return await waitFor('process 1 of the container', () => {
      const pid = Number.parseInt(readFileSync(children, 'utf8'), 10);
      // Before that it is still the shell that mounts.
      return /node/.test(readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0')[0]!) ? pid : undefined;
    });
  }

  /** Of `/proc/PID/status` of its process 1. */
  async processStatus(): Promise<ReadonlyMap<string, string>> {
    const lines = readFileSync(`/proc/${await this.pid()}/status`, 'utf8').split('\n');
    return new Map(lines.map((line) => [line.split(':')[0]!, line.split(':')[1]?.trim() ?? '']));
  }

  async signal(signal: NodeJS.Signals): Promise<void> {
    process.kill(await this.pid(), signal);
  }
}
