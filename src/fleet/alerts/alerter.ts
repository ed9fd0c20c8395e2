/**
 * Survey → state → messages. The state is saved before anything is sent and after each delivery. A crash between the
 * two leaves a message that was tried and may have arrived; it is sent again, with the same Message-ID, rather than lost.
 */

import type { Finding } from '../finding.ts';
import type { FleetSettings } from '../settings.ts';
import {
  type AlertState,
  attempted,
  type Channel,
  type Delivery,
  delivered,
  dueMessages,
  type Message,
  nextState,
  type Observation,
} from './state.ts';
import type { StateStore } from './state-store.ts';

export type Send = (message: Message) => Promise<Delivery>;

export interface AlerterOptions {
  readonly settings: FleetSettings['alerts'];
  readonly store: StateStore;
  /** The channels that are set up. */
  readonly send: Readonly<Partial<Record<Channel, Send>>>;
  readonly now: () => number;
  readonly onDelivery: (message: Message, delivery: Delivery) => void;
}

export interface Round {
  readonly sent: number;
  /** Messages that wait for another try. */
  readonly waiting: number;
}

export class Alerter {
  readonly #options: AlerterOptions;
  #state: AlertState | undefined;

  constructor(options: AlerterOptions) {
    this.#options = options;
  }

  get state(): AlertState | undefined {
    return this.#state;
  }

  /** Once per survey. @throws Error when the state can be neither read nor written: nothing is sent then */
  async observe(cluster: string, at: number, findings: readonly Finding[]): Promise<void> {
    const { store, settings, send } = this.#options;
    this.#state ??= await store.load();
    const survey: Observation = { cluster, at, findings };
    const next = nextState(this.#state, survey, settings, Object.keys(send) as Channel[]);
    await this.#save(next);
  }

  /** Sends what is due, one after the other. */
  async deliver(): Promise<Round> {
    const { store, settings, send, now, onDelivery } = this.#options;
    this.#state ??= await store.load();
    const refusing = new Set<Channel>();
    let sent = 0;
    for (const message of dueMessages(this.#state, settings, now())) {
      const channel = send[message.channel];
      if (channel === undefined || refusing.has(message.channel)) continue;
      await this.#save(attempted(this.#state, message.id));
      const delivery = await channel(message);
      onDelivery(message, delivery);
      if (delivery.result === 'sent') sent++;
      else refusing.add(message.channel);
      await this.#save(delivered(this.#state, message.id, delivery, now()));
    }
    return { sent, waiting: this.#state.outbox.length };
  }

  async #save(state: AlertState): Promise<void> {
    await this.#options.store.save(state);
    this.#state = state;
  }
}
