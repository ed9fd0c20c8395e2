/** An upstream in a process of its own, which can be killed in the middle of anything and come back on its port. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { cleanUp } from './clean-up.ts';
import { inTime } from './wait-for.ts';

const ENTRY = fileURLToPath(new URL('./upstream-process-main.ts', import.meta.url));

export class UpstreamProcess {
  readonly name: string;
  #child: ChildProcess | undefined;
  port = 0;

  constructor(name: string) {
    this.name = name;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** SIGKILL; resolves when the process is gone and its port closed. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  /** SIGSTOP: it accepts connections, for the kernel does that, and never answers. */
  stop(): void {
    this.#child?.kill('SIGSTOP');
  }

  /** SIGCONT. */
  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  /** Starts it again where it was. */
  async restart(): Promise<void> {
    const child = spawn(process.execPath, [ENTRY, this.name, String(this.port)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#child = child;
    const [message] = (await inTime('the upstream', once(child, 'message'))) as [{ port: number }];
    this.port = message.port;
    child.disconnect();
  }
}

/** One that listens, and is killed with the test, or the test file, that starts it. */
export async function startUpstreamProcess(name: string): Promise<UpstreamProcess> {
  const upstream = new UpstreamProcess(name);
  cleanUp(() => upstream.kill());
  await upstream.restart();
  return upstream;
}
