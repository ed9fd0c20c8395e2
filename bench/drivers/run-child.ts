/** Runs a load generator on its core and reads the JSON that it prints. */

import { spawn } from 'node:child_process';
import { onCore } from '../launch.ts';

/** More than any run needs to end by itself after its time is up. */
const OVERTIME_MS = 30_000;

export async function runChild<T>(
  command: string,
  args: readonly string[],
  options: { core: number | undefined; seconds: number; input?: string; parse: (stdout: string) => T },
): Promise<T> {
  const [program, programArgs] = onCore(options.core, command, args);
  const child = spawn(program, programArgs, { stdio: ['pipe', 'pipe', 'pipe'] });
  const timer = setTimeout(() => child.kill('SIGKILL'), options.seconds * 1000 + OVERTIME_MS);
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdin.on('error', () => {}); // it ended before it read; the exit code below says so
  child.stdin.end(options.input ?? '');
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  clearTimeout(timer);
  if (code !== 0)
    throw new Error(`${command} ended with ${code ?? 'a signal'}:\n${(stderr || stdout).slice(-2000)}`);
  try {
    return options.parse(stdout);
  } catch (error) {
    throw new Error(`${command} printed no result:\n${(stdout + stderr).slice(-2000)}`, { cause: error });
  }
}
