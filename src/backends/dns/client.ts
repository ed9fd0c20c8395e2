/**
 * Asks DNS servers, as the resolver of glibc does: one after the other, the next one when a server fails or stays
 * silent, in as many rounds as there are attempts; over TCP when an answer does not fit a datagram.
 */

import type { Clock } from '../clock.ts';
import { Gate } from '../gate.ts';
import { type Failure, failure, isDenial, worseOf } from '../resolution.ts';
import { type NameServer, serverLabel } from '../resolv-conf.ts';
import { isLocalShortage, socketError } from '../socket-error.ts';
import { type Answered, judge, refusesEdns } from './answer.ts';
import { askOverTcp, askOverUdp, type ExchangeEdges, type Reply } from './exchange.ts';
import type { Question } from './message.ts';
import { ServerOrder } from './server-order.ts';

/** Whom to ask, and how long. */
export interface Plan {
  readonly servers: readonly NameServer[];
  /** For one server at a time, with all that is repeated over TCP or without EDNS. */
  readonly timeoutMs: number;
  /** Rounds over the servers. */
  readonly attempts: number;
  /** Starts each question at the next server. */
  readonly rotate: boolean;
  /** Over TCP from the start. */
  readonly tcp: boolean;
}

/**
 * Queries to one server at once, the others wait in turn: more of them than its socket's buffer holds would be lost at
 * the start of a large configuration (dnsmasq takes 150). By server, so that a dead one holds up no other.
 */
const MAX_QUERIES = 64;

export class DnsClient {
  readonly #clock: Clock;
  readonly #edges: ExchangeEdges;
  readonly #order = new ServerOrder();
  readonly #gates = new Map<string, Gate>();
  readonly #running = new Map<string, Promise<Answered | Failure>>();
  readonly #cancels = new Set<() => void>();
  #closed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#edges = {
      clock,
      onCancel: (cancel) => {
        this.#cancels.add(cancel);
        return () => this.#cancels.delete(cancel);
      },
    };
  }

  /** One at a time per question: who asks meanwhile shares the answer. Never rejects. */
  ask(question: Question, plan: Plan): Promise<Answered | Failure> {
    const key = `${question.type} ${question.name}`;
    let running = this.#running.get(key);
    if (running === undefined) {
      running = this.#ask(question, plan).finally(() => this.#running.delete(key));
      this.#running.set(key, running);
    }
    return running;
  }

  /** Calls every question off; each ends as a failure. */
  close(): void {
    this.#closed = true;
    for (const cancel of [...this.#cancels]) cancel();
  }

  #admitted<T>(server: NameServer, run: () => Promise<T>): Promise<T> {
    const label = serverLabel(server);
    let gate = this.#gates.get(label);
    if (gate === undefined) {
      gate = new Gate(MAX_QUERIES);
      this.#gates.set(label, gate);
    }
    return new Promise((resolve, reject) => {
      gate.enter((leave) => void run().then(resolve, reject).finally(leave));
    });
  }

  async #ask(question: Question, plan: Plan): Promise<Answered | Failure> {
    const open = new Set(this.#order.of(plan.servers, plan.rotate, this.#clock.monotonic()));
    const failures = new Map<NameServer, Failure>();
    for (let attempt = 0; attempt < plan.attempts && open.size > 0; attempt++) {
      for (const server of [...open]) {
        const outcome = await this.#admitted(server, () => this.#askServer(server, question, plan));
        if (outcome.kind === 'records' || isDenial(outcome.reason)) return outcome;
        failures.set(server, outcome);
        // A server that has said no will say so again; one that was silent may have lost a datagram.
        if (outcome.reason !== 'timeout') open.delete(server);
      }
    }
    return summary(failures);
  }

  /** Remembers whether the server can be reached. */
  #note(server: NameServer, reply: Reply): void {
    if (this.#closed) return;
    if (reply.kind === 'message' || reply.kind === 'nonsense') this.#order.answered(server);
    else if (reply.kind === 'silence' || !isLocalShortage(reply.error)) {
      this.#order.failed(server, this.#clock.monotonic());
    }
  }

  async #askServer(server: NameServer, question: Question, plan: Plan): Promise<Answered | Failure> {
    if (this.#closed) return failure('other', 'the resolver is closed');
    const started = this.#clock.monotonic();
    let { tcp } = plan;
    let edns = true;
    for (;;) {
      const left = started + plan.timeoutMs - this.#clock.monotonic();
      const exchange = tcp ? askOverTcp : askOverUdp;
      const reply = await exchange(server, question, edns, Math.max(1, left), this.#edges);
      this.#note(server, reply);
      if (reply.kind !== 'message') return failureOf(reply, question, tcp && !plan.tcp);
      const { message } = reply;
      if (message.truncated) {
        if (tcp) return failure('serverFailure', `${told(question)} is truncated even over TCP`);
        tcp = true;
      } else if (edns && refusesEdns(message)) {
        edns = false;
      } else {
        return judge(message, question);
      }
    }
  }
}

/** @param repeated over TCP, since the answer did not fit a datagram */
function failureOf(
  reply: Exclude<Reply, { kind: 'message' }>,
  question: Question,
  repeated: boolean,
): Failure {
  const asked = `${question.name} (${question.type})`;
  const lead = repeated ? `${told(question)} does not fit a datagram, and over TCP ` : '';
  switch (reply.kind) {
    case 'silence': {
      if (repeated) return failure('timeout', `${lead}it does not come; is TCP to port 53 allowed?`);
      const ignored = reply.ignored === 0 ? '' : `, only ${reply.ignored} to other questions`;
      return failure('timeout', `no answer for ${asked}${ignored}`);
    }
    case 'nonsense':
      return failure(
        'serverFailure',
        repeated ? `${lead}the DNS server ${reply.what}` : `the DNS server ${reply.what} for ${asked}`,
      );
    case 'unreachable': {
      const { error } = reply;
      if (repeated) return failure('other', `${lead}the DNS server cannot be reached: ${socketError(error)}`);
      if (error.code === 'ECONNREFUSED') {
        return failure('other', `no DNS server listens (connection refused) for ${asked}`);
      }
      const why = isLocalShortage(error)
        ? `this host is short of sockets or files (${error.code})`
        : socketError(error);
      return failure('other', `${asked} could not be asked for: ${why}`);
    }
  }
}

function told({ name, type }: Question): string {
  return `the answer for ${name} (${type})`;
}

/** The worst of what the servers said, and what each of them said when they differ. */
function summary(failures: ReadonlyMap<NameServer, Failure>): Failure {
  let worst: Failure | undefined;
  for (const each of failures.values()) worst = worseOf(worst, each);
  if (worst === undefined) return failure('other', 'there is no DNS server to ask');
  const details = new Set([...failures.values()].map(({ detail }) => detail));
  const servers = [...failures.keys()].map(serverLabel).join(', ');
  if (details.size === 1) return { ...worst, detail: `${worst.detail} (asked ${servers})` };
  const each = [...failures].map(([server, { detail }]) => `${serverLabel(server)}: ${detail}`);
  return { ...worst, detail: `${each.join('; ')} (asked ${servers})` };
}
