/** Sends alerts in the background: what cannot be delivered now is tried again for a while, in order, bounded. */
import type { Config } from '../config/schema.ts';
import { type Alert, mailSubject, mailText, slackPayload, webhookPayload } from './alert.ts';
import type { Delivery } from './delivery.ts';

export type AlertChannel = 'slack' | 'webhook' | 'email';

/** Waiting per channel; the oldest are given up for newer ones. */
const MAX_WAITING = 50;

/** Nobody needs to hear of it after that. */
const MAX_AGE_MS = 3_600_000;

const FIRST_PAUSE_MS = 2_000;
const LONGEST_PAUSE_MS = 120_000;

export interface NotifierEdges {
  /** `sent`: it arrived. `failed`: it is given up. */
  readonly onResult: (channel: AlertChannel, result: 'sent' | 'failed', error: string) => void;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

type Send = (alert: Alert, signal: AbortSignal) => Promise<Delivery>;

interface Waiting {
  readonly alert: Alert;
  readonly since: number;
}

interface Queue {
  waiting: Waiting[];
  running: boolean;
}

export class Notifier {
  readonly #edges: NotifierEdges;
  readonly #end = new AbortController();
  readonly #queues = new Map<AlertChannel, Queue>();
  #send: ReadonlyMap<AlertChannel, Send> = new Map();

  constructor(edges: NotifierEdges) {
    this.#edges = edges;
  }

  configure(config: Config['alerts']): void {
    this.#send = sendersOf(config);
  }

  notify(alert: Alert): void {
    for (const channel of this.#send.keys()) {
      const queue = this.#queues.get(channel) ?? { waiting: [], running: false };
      this.#queues.set(channel, queue);
      queue.waiting.push({ alert, since: this.#edges.now() });
      if (queue.waiting.length > MAX_WAITING) {
        queue.waiting.shift();
        this.#edges.onResult(channel, 'failed', 'too many alerts wait');
      }
      if (!queue.running) void this.#run(channel, queue);
    }
  }

  close(): void {
    this.#end.abort();
  }

  async #run(channel: AlertChannel, queue: Queue): Promise<void> {
    const { onResult, now } = this.#edges;
    const { signal } = this.#end;
    queue.running = true;
    let pause = FIRST_PAUSE_MS;
    while (!signal.aborted) {
      const [first] = queue.waiting;
      const send = this.#send.get(channel);
      if (first === undefined || send === undefined) break;
      const delivery = await send(first.alert, signal).catch(
        (error: Error): Delivery => ({ result: 'refused', error: error.message }),
      );
      if (signal.aborted) break;
      const isOld = now() - first.since > MAX_AGE_MS;
      if (delivery.result === 'later' && !isOld) {
        await pauseFor(Math.max(pause, delivery.retryAfterMs ?? 0), signal);
        pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
        continue;
      }
      pause = FIRST_PAUSE_MS;
      // It may have been given up meanwhile.
      if (queue.waiting[0] === first) queue.waiting.shift();
      if (delivery.result === 'sent') onResult(channel, 'sent', '');
      else onResult(channel, 'failed', delivery.error);
    }
    if (this.#send.get(channel) === undefined) queue.waiting = [];
    queue.running = false;
  }
}

/** What a channel needs is loaded when it is first used. */
function sendersOf({ slack, webhook, email }: Config['alerts']): Map<AlertChannel, Send> {
  const senders = new Map<AlertChannel, Send>();
  if (slack !== undefined) {
    senders.set('slack', async (alert, signal) => {
      const { postJson } = await import('./webhook.ts');
      return postJson({ url: slack.url, who: 'Slack', key: 'alerts.slack.url' }, slackPayload(alert), signal);
    });
  }
  if (webhook !== undefined) {
    senders.set('webhook', async (alert, signal) => {
      const { postJson } = await import('./webhook.ts');
      const target = { ...webhook, who: 'the webhook', key: 'alerts.webhook.url' };
      return postJson(target, webhookPayload(alert), signal);
    });
  }
  if (email !== undefined) {
    senders.set('email', async (alert) => {
      const { sendMail } = await import('./mail.ts');
      return sendMail(email, {
        subject: mailSubject(alert),
        text: mailText(alert),
        id: alert.id,
        at: alert.at,
      });
    });
  }
  return senders;
}

function pauseFor(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    timer.unref();
    signal.addEventListener('abort', done);
  });
}
