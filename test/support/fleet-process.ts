/** `node src/main.ts fleet …` as a process, against the double. */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { cleanUp } from './clean-up.ts';
import { KubernetesApi, type KubernetesApiOptions } from './kubernetes-api/server.ts';
import { MAIN } from './pointsman-process.ts';

export interface FleetRun {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export function temporaryDirectory(): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'pointsman-fleet-'));
  cleanUp(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export async function startApi(options: KubernetesApiOptions = {}): Promise<KubernetesApi> {
  const api = await new KubernetesApi(options).start();
  cleanUp(() => api.stop());
  return api;
}

export class FleetProcess {
  readonly child: ChildProcess;
  readonly exited: Promise<FleetRun>;
  stdout = '';
  stderr = '';

  constructor(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const { KUBECONFIG: _, KUBERNETES_SERVICE_HOST: __, ...clean } = process.env;
    this.child = spawn(process.execPath, [MAIN, 'fleet', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...clean, NODE_OPTIONS: '', COLUMNS: '120', ...env },
    });
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.exited = new Promise((resolve, reject) => {
      this.child.once('error', reject);
      this.child.once('close', (code) => resolve({ code, stdout: this.stdout, stderr: this.stderr }));
    });
    cleanUp(async () => {
      this.child.kill('SIGKILL');
      await this.exited;
    });
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<FleetRun> {
    this.child.kill(signal);
    return await this.exited;
  }
}

/** Runs to its end. */
export async function fleet(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<FleetRun> {
  return await new FleetProcess(args, env).exited;
}
