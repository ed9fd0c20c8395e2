/** What faults of the machine and of processes are played with. */

import { cleanUp } from '../../../support/clean-up.ts';
import type { Lane } from '../../../support/lane.ts';
import { newNonce } from '../../../support/origin.ts';
import type { PointsmanProcess } from '../../../support/pointsman-process.ts';
import { RawClient } from '../../../support/raw-client.ts';
import { pause } from '../../../support/wait-for.ts';
import { bodyFor } from '../upstreams.ts';

export interface Subject {
  readonly lane: Lane;
  readonly workers: number;
}

export function subjectName({ lane, workers }: Subject): string {
  return `${lane} lane, ${workers} ${workers === 1 ? 'worker' : 'workers'}`;
}

/** Primary and workers. */
export async function processesOf(proxy: PointsmanProcess, workers: number): Promise<readonly number[]> {
  const online = await onlineWorkers(proxy, workers);
  return [...new Set([proxy.pid, ...online])];
}

/** Of those that forward, once there are so many. */
export async function onlineWorkers(proxy: PointsmanProcess, workers: number): Promise<readonly number[]> {
  return await proxy.waitFor(`${workers} workers`, async () => {
    const online = (await proxy.status()).workers.filter(({ state }) => state === 'online');
    return online.length === workers ? online.map(({ pid }) => pid) : undefined;
  });
}

/** Between two requests of a steady client, milliseconds. */
const STEADY_MS = 8;

/** Asks one thing after the other on connections that it keeps, and looks at whose answer it gets. */
export class SteadyClient {
  answered = 0;
  /** Connections that ended under a request, or while they lay idle. */
  cuts = 0;
  /** What nothing explains. */
  readonly problems: string[] = [];
  /** Of the connection that it has now. */
  localPort = 0;
  readonly #port: () => number;
  #goesOn = true;
  readonly #ended: Promise<void>;

  /** @param port asked for every connection */
  constructor(port: () => number) {
    this.#port = port;
    this.#ended = this.#run();
    cleanUp(() => this.end());
  }

  async end(): Promise<void> {
    this.#goesOn = false;
    await this.#ended;
  }

  async #run(): Promise<void> {
    while (this.#goesOn) {
      const client = await RawClient.connect(this.#port()).catch(() => undefined);
      if (client === undefined) {
        await pause(20);
        continue;
      }
      this.localPort = client.socket.localPort!;
      try {
        while (this.#goesOn) await this.#ask(client);
      } catch {
        this.cuts++;
      }
      client.destroy();
    }
  }

  async #ask(client: RawClient): Promise<void> {
    const nonce = newNonce();
    const target = `/open/answers/${nonce}`;
    client.send(`GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`);
    const answer = await client.read();
    const text = answer.body.toString('latin1');
    const isOwn = answer.value('x-nonce') === nonce && text === bodyFor(nonce, target);
    if (answer.status !== 200 || !isOwn)
      this.problems.push(`${nonce} got ${answer.status}: ${text.slice(0, 120)}`);
    this.answered++;
    await pause(STEADY_MS);
  }
}

/** Whether a process is there, and is more than a remembered exit code. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
