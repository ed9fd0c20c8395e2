/**
 * Sends reports outwards. While the other side is away the newest are kept, bounded in number, and sent in order when it
 * is back. The server shows only the newest, so that after a long outage nothing but history is lost.
 */

import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { Agent, request } from 'undici';
import { pause } from '../cluster/connection.ts';
import type { FleetReport } from '../report.ts';

const zip = promisify(gzip);

export interface PusherOptions {
  readonly url: string;
  readonly cluster: string;
  /** Read again for every try: tokens are rotated. @throws Error in plain words */
  readonly token: () => Promise<string>;
  /** PEM of the authority to trust; default: those of Node. */
  readonly ca?: string | undefined;
  /** Reports kept while offline. */
  readonly most: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Said when something changes: refused, away, back. */
  readonly say: (message: string) => void;
  /** First pause after a failure; doubled up to a minute. Default: 1 000. */
  readonly pauseMs?: number;
}

const MAX_PAUSE_MS = 60_000;

interface Outcome {
  readonly done: boolean;
  /** '' when all went well. */
  readonly problem: string;
  readonly retryAfterMs: number;
}

export class Pusher {
  readonly #options: PusherOptions;
  readonly #waiting: FleetReport[] = [];
  readonly #agent: Agent;
  #wake: (() => void) | undefined;
  #said = '';
  readonly ended: Promise<void>;
  /** Reports that were pushed out by newer ones. */
  dropped = 0;
  delivered = 0;

  constructor(options: PusherOptions) {
    this.#options = options;
    this.#agent = new Agent({ connections: 1, connect: options.ca === undefined ? {} : { ca: options.ca } });
    options.signal.addEventListener('abort', () => this.#wake?.());
    this.ended = this.#run();
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  push(report: FleetReport): void {
    this.#waiting.push(report);
    if (this.#waiting.length > this.#options.most) {
      // The oldest is under way, perhaps; the one after it goes.
      this.#waiting.splice(this.#waiting.length > 1 ? 1 : 0, 1);
      this.dropped++;
    }
    this.#wake?.();
  }

  async #run(): Promise<void> {
    const { signal, pauseMs = 1_000 } = this.#options;
    let wait = pauseMs;
    while (!signal.aborted) {
      const [report] = this.#waiting;
      if (report === undefined) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
        continue;
      }
      const { done, problem, retryAfterMs } = await this.#send(report);
      if (signal.aborted) break;
      this.#tell(problem);
      if (done) {
        this.#waiting.splice(this.#waiting.indexOf(report), 1);
        if (problem === '') this.delivered++;
        wait = pauseMs;
      } else {
        await pause(Math.max(retryAfterMs, wait * (0.75 + Math.random() / 2)), signal);
        wait = Math.min(wait * 2, MAX_PAUSE_MS);
      }
    }
    await this.#agent.destroy();
  }

  #tell(problem: string): void {
    if (problem === this.#said) return;
    this.#options.say(problem === '' ? 'reports arrive again' : problem);
    this.#said = problem;
  }

  async #send(report: FleetReport): Promise<Outcome> {
    const { url, cluster, token, timeoutMs, signal } = this.#options;
    const later = (problem: string, retryAfterMs = 0): Outcome => ({ done: false, problem, retryAfterMs });
    try {
      const secret = await token();
      const { statusCode, headers, body } = await request(url, {
        method: 'POST',
        dispatcher: this.#agent,
        headers: {
          'content-type': 'application/json',
          'content-encoding': 'gzip',
          authorization: `Bearer ${secret}`,
          'x-pointsman-cluster': cluster,
        },
        body: await zip(JSON.stringify(report)),
        signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
      });
      const said = (await body.text()).replaceAll(/\s+/g, ' ').trim().slice(0, 200);
      if (statusCode >= 200 && statusCode < 300) return { done: true, problem: '', retryAfterMs: 0 };
      const after = Number(headers['retry-after']);
      const words = `${new URL(url).host} answered ${statusCode}${said === '' ? '' : `: ${said}`}`;
      // A report that does not fit will not fit later either; the next one may.
      if (statusCode === 413 || statusCode === 422 || statusCode === 400)
        return { done: true, problem: words, retryAfterMs: 0 };
      return later(words, Number.isFinite(after) ? Math.min(after, 300) * 1_000 : 0);
    } catch (error) {
      const { code, name, message } = error as NodeJS.ErrnoException;
      const why = name === 'TimeoutError' ? 'no answer in time' : (code ?? message);
      return later(`${new URL(url).host} cannot be reached (${why}); reports are kept`);
    }
  }
}
