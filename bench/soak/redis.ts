/** A Redis that can be killed, started again where it was, empty, and frozen. */

import { type Launched, launch, waitForPort } from '../launch.ts';

export interface RedisOptions {
  readonly port: number;
  readonly folder: string;
}

export class Redis {
  readonly #options: RedisOptions;
  #process: Launched | undefined;

  constructor(options: RedisOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { port, folder } = this.#options;
    this.#process = launch({
      name: 'redis',
      command: 'redis-server',
      args: ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', folder],
      core: undefined,
      folder,
    });
    await waitForPort(this.#process, 'redis', port);
  }

  /** Resolves when its port is closed. */
  async kill(): Promise<void> {
    const process = this.#process;
    this.#process = undefined;
    process?.signal('SIGKILL');
    await process?.stop();
  }

  /** Connections stay, and nothing is answered. */
  freeze(): void {
    this.#process?.signal('SIGSTOP');
  }

  thaw(): void {
    this.#process?.signal('SIGCONT');
  }
}
