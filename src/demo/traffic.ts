/** Sends the mixed traffic at a steady rate, and can be stilled between two states of affairs. */
import { Agent, get } from 'node:http';
import { type MixEntry, mixAt } from './mix.ts';

const TICK_MS = 20;

/** A request without an answer after this long has failed. */
const ANSWER_MS = 10_000;

/** Requests under way at most: when the proxy falls behind, the rate gives way, not the memory. */
const MAX_UNDER_WAY = 256;

const MAX_BODY = 16 * 1024;

export interface Answer {
  /** The upstream that answered, as it says itself. */
  readonly track: string | undefined;
  /** Undefined when the answer is a 200. */
  readonly failure: string | undefined;
}

export interface TrafficEdges {
  /** The user of the next request, when the mix wants one. */
  readonly user: (entry: MixEntry) => string | undefined;
  readonly onAnswer: (entry: MixEntry, user: string | undefined, answer: Answer) => void;
}

export class Traffic {
  readonly #port: number;
  readonly #rate: number;
  readonly #edges: TrafficEdges;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 16 });
  #timer: NodeJS.Timeout | undefined;
  #stilled: (() => void)[] = [];
  #underWay = 0;
  #owed = 0;
  #lastTick = 0;
  #next = 0;

  /** @param rate requests per second */
  constructor(port: number, rate: number, edges: TrafficEdges) {
    this.#port = port;
    this.#rate = rate;
    this.#edges = edges;
  }

  get sent(): number {
    return this.#next;
  }

  start(): void {
    this.#lastTick = performance.now();
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  /** Sends nothing more until `start`; resolves when everything sent has been answered. */
  async still(): Promise<void> {
    clearInterval(this.#timer);
    if (this.#underWay > 0) await new Promise<void>((resolve) => this.#stilled.push(resolve));
  }

  /** Cuts what is under way. */
  close(): void {
    clearInterval(this.#timer);
    this.#agent.destroy();
  }

  #tick(): void {
    const now = performance.now();
    // After a pause of this process nothing is made up for: a burst would not be a trickle.
    this.#owed = Math.min(this.#owed + ((now - this.#lastTick) / 1_000) * this.#rate, this.#rate / 10 + 1);
    this.#lastTick = now;
    for (; this.#owed >= 1 && this.#underWay < MAX_UNDER_WAY; this.#owed--) this.#send(mixAt(this.#next++));
  }

  #send(entry: MixEntry): void {
    const user = entry.withUser ? this.#edges.user(entry) : undefined;
    const headers: Record<string, string> = {};
    if (entry.group !== undefined) headers['X-Traffic-Group'] = entry.group;
    if (user !== undefined) headers['X-User-Id'] = user;
    this.#underWay++;
    let ended = false;
    const end = (answer: Answer) => {
      if (ended) return;
      ended = true;
      this.#edges.onAnswer(entry, user, answer);
      this.#underWay--;
      if (this.#underWay === 0) for (const resolve of this.#stilled.splice(0)) resolve();
    };
    const request = get(
      { host: '127.0.0.1', port: this.#port, path: '/', headers, agent: this.#agent },
      (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (text: string) => {
          if (body.length < MAX_BODY) body += text;
        });
        response.on('end', () => {
          const track = response.headers['x-track'];
          const failure = response.statusCode === 200 ? undefined : `${response.statusCode} ${body.trim()}`;
          end({ track: typeof track === 'string' ? track : undefined, failure });
        });
        response.on('error', (error) => end({ track: undefined, failure: error.message }));
      },
    );
    request.setTimeout(ANSWER_MS, () => request.destroy(new Error(`no answer within ${ANSWER_MS} ms`)));
    request.on('error', (error) => end({ track: undefined, failure: error.message }));
  }
}
