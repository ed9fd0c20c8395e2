/** The real HAProxy, on a configuration whose addresses lead to upstreams of a test. */

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { cleanUp } from './clean-up.ts';
import { waitFor } from './wait-for.ts';

/** Debian installs HAProxy and nginx where the PATH of a user who is not root does not look. */
export const ENVIRONMENT = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin` };

export interface Check {
  readonly code: number;
  readonly output: string;
}

/** `haproxy -c` of a file, from within its directory, where it looks for pattern files. */
export function checkHaproxy(
  file: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<Check> {
  return new Promise((resolve) => {
    execFile(
      'haproxy',
      ['-c', '-f', path.basename(file)],
      { cwd: path.dirname(file), env: { ...ENVIRONMENT, ...environment } },
      (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code ?? 1), output: stdout + stderr });
      },
    );
  });
}

export interface RunningHaproxy {
  stop(): Promise<void>;
}

/**
 * Starts HAProxy; it is killed after the last test of the file.
 *
 * @param directory where pattern files are looked for
 */
export async function startHaproxy(text: string, port: number, directory: string): Promise<RunningHaproxy> {
  const own = mkdtempSync(path.join(tmpdir(), 'pointsman-haproxy-'));
  const file = path.join(own, 'haproxy.cfg');
  writeFileSync(file, text);
  const child: ChildProcess = spawn('haproxy', ['-db', '-f', file], {
    cwd: directory,
    env: ENVIRONMENT,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let failure: Error | undefined;
  child.once('error', (error) => {
    failure = error;
  });
  let output = '';
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      output = (output + chunk).slice(-10_000);
    });
  }
  const exited = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await exited;
    rmSync(own, { recursive: true, force: true });
  };
  cleanUp(stop);
  await waitFor('HAProxy to listen', () => {
    if (failure !== undefined) throw failure;
    if (child.exitCode !== null) throw new Error(`HAProxy ended:\n${output}`);
    return isOpen(port);
  });
  return { stop };
}

/** Whether somebody listens there. */
export function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
