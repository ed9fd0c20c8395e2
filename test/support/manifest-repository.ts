/** A real git repository of manifests, and the command that works on it. */

import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { cleanUp } from './clean-up.ts';
import { MAIN, temporaryDirectory } from './pointsman-process.ts';

export interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export class ManifestRepository {
  readonly directory: string;
  readonly #environment: Record<string, string>;

  constructor(directory: string, who = 'Ann') {
    this.directory = directory;
    this.#environment = {
      PATH: process.env['PATH'] ?? '',
      HOME: directory,
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_AUTHOR_NAME: who,
      GIT_AUTHOR_EMAIL: `${who.toLowerCase()}@example.org`,
      GIT_COMMITTER_NAME: who,
      GIT_COMMITTER_EMAIL: `${who.toLowerCase()}@example.org`,
    };
  }

  /** A new one on the branch main. */
  static async create(options: { bare?: boolean } = {}): Promise<ManifestRepository> {
    const repository = new ManifestRepository(temporaryDirectory());
    await repository.git('init', '-q', '-b', 'main', ...(options.bare === true ? ['--bare'] : []));
    return repository;
  }

  async clone(who: string): Promise<ManifestRepository> {
    const directory = path.join(temporaryDirectory(), 'clone');
    await this.git('clone', '-q', this.directory, directory);
    return new ManifestRepository(directory, who);
  }

  /** @throws with what git said */
  async git(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.#run('git', args);
    if (code !== 0) throw new Error(`git ${args.join(' ')}: ${stderr}`);
    return stdout.trimEnd();
  }

  /** `pointsman stage …`, to its end. */
  stage(...args: string[]): Promise<Run> {
    return this.#run(process.execPath, [MAIN, 'stage', ...args]);
  }

  /** @throws unless it exits with 0 */
  async done(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.stage(...args);
    if (code !== 0) throw new Error(`pointsman stage ${args.join(' ')} exited with ${code}: ${stderr}`);
    return stdout;
  }

  /** Starts `pointsman stage …` and lets it run. */
  start(...args: string[]): { readonly child: ChildProcess; readonly ended: Promise<Run> } {
    const child = spawn(process.execPath, [MAIN, 'stage', ...args], {
      cwd: this.directory,
      env: this.#environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    const ended = new Promise<Run>((resolve) =>
      child.once('close', (code) => resolve({ code: code ?? -1, stdout, stderr })),
    );
    cleanUp(async () => {
      child.kill('SIGKILL');
      await ended;
    });
    return { child, ended };
  }

  /** A shell command line, as a guide shows it, with `pointsman` for the command. */
  shell(line: string): Promise<Run> {
    const bin = path.join(this.directory, '..', `${path.basename(this.directory)}-bin`);
    if (!existsSync(bin)) {
      mkdirSync(bin, { recursive: true });
      cleanUp(() => rmSync(bin, { recursive: true, force: true }));
      writeFileSync(path.join(bin, 'pointsman'), `#!/bin/sh\nexec "${process.execPath}" "${MAIN}" "$@"\n`, {
        mode: 0o755,
      });
    }
    return this.#run('sh', ['-c', line], { PATH: `${bin}:${this.#environment['PATH']}` });
  }

  write(file: string, text: string): void {
    const full = path.join(this.directory, file);
    mkdirSync(path.dirname(full), { recursive: true });
    writeFileSync(full, text);
  }

  read(file: string): string {
    return readFileSync(path.join(this.directory, file), 'utf8');
  }

  async commitAll(message: string): Promise<void> {
    await this.git('add', '-A');
    await this.git('commit', '-qm', message);
  }

  head(): Promise<string> {
    return this.git('rev-parse', 'HEAD');
  }

  /** What a failed command must leave as it was: branch, index and files, untracked ones included. */
  async fingerprint(): Promise<string> {
    const refs = await this.git('for-each-ref', 'refs/heads');
    const index = await this.git('ls-files', '-s');
    const status = await this.git('status', '--porcelain', '--untracked-files=all');
    return [refs, index, status].join('\n---\n');
  }

  /** @throws when an object is broken or missing */
  async requireWhole(): Promise<void> {
    await this.git('fsck', '--strict', '--no-dangling');
    await this.git('rev-parse', 'HEAD^{tree}');
  }

  /** Every commit since `from` is a step of its own. */
  async requireNoStepTwice(from: string): Promise<void> {
    const subjects = (await this.git('log', '--format=%s', '--no-merges', `${from}..HEAD`)).split('\n');
    assert.equal(new Set(subjects).size, subjects.length, `a step was made twice: ${subjects.join(' | ')}`);
  }

  /** The committed state, read without the command, for those who wait for it. */
  async state(service: string): Promise<{
    stages: Record<string, { status: string; image?: string }>;
    held: { image: string }[];
  }> {
    return parse(await this.git('show', `HEAD:services/${service}/state.yaml`));
  }

  /** Of one stage, as the command tells it. */
  async slot(
    service: string,
    stage: string,
  ): Promise<{ status: string; version: string | null; weight: number | string | null }> {
    const { stages } = JSON.parse(await this.done('status', service, '-o', 'json')) as {
      stages: { stage: string; status: string; version: string | null; weight: number | string | null }[];
    };
    const { status, version, weight } = stages.find((one) => one.stage === stage)!;
    return { status, version, weight };
  }

  #run(
    command: string,
    args: readonly string[],
    environment: Readonly<Record<string, string>> = {},
  ): Promise<Run> {
    return new Promise((resolve) => {
      execFile(
        command,
        args,
        {
          cwd: this.directory,
          env: { ...this.#environment, ...environment },
          maxBuffer: 64 * 1024 ** 2,
          timeout: 60_000,
        },
        (error, stdout, stderr) =>
          resolve({
            code: error === null ? 0 : typeof error.code === 'number' ? error.code : -1,
            stdout,
            stderr,
          }),
      );
    });
  }
}

/** Four stages without gates: every step is free at once. */
export const OPEN_PIPELINE = `
stages:
  - { name: internal, track: internal, groups: [INTERNAL], replicas: 2 }
  - { name: free, track: canary, groups: [FREE], weights: [5, 10, 25] }
  - { name: paid, track: paid, weights: [5, 25] }
  - { name: production, track: production, groups: [ENTERPRISE], replicas: 10 }
values: { port: 8080, proxy_image: "example/pointsman:1" }
run: { interval: 50ms, lease: 5s }
`;

export function image(version: string): string {
  return `registry.example/shop/account:${version}`;
}

/** A repository with the services laid down, 1.0 everywhere. */
export async function openRepository(
  services: readonly string[],
  pipeline = OPEN_PIPELINE,
): Promise<ManifestRepository> {
  const repository = await ManifestRepository.create();
  repository.write('pipeline.yaml', pipeline);
  await repository.commitAll('Begin');
  for (const service of services) await repository.done('init', service, '--image', image('1.0'));
  return repository;
}
