/** The checks of one upstream, one after the other, for as long as anybody uses it. */

import type { HealthConfig } from '../config/schema.ts';
import type { Clock, Timer } from './clock.ts';
import type { CheckResult } from './endpoint.ts';
import type { Gate } from './gate.ts';
import { afterCheck, type EndpointHealth } from './health.ts';
import type { ProbeResult } from './probe-attempt.ts';
import type { Probe } from './probe-target.ts';

export interface CheckEdges {
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly probe: (target: Probe, signal: AbortSignal) => Promise<ProbeResult>;
  /** What checks that start together must pass, so that a thousand endpoints are no burst of a thousand sockets. */
  readonly gate: Gate;
}

export type OnCheck = (result: CheckResult, before: EndpointHealth, after: EndpointHealth) => void;

/** A check that the data path asks for starts no sooner than this share of the interval after the one before. */
const URGENT_SHARE = 0.1;

/**
 * Checks start at multiples of this by the clock, several at a time: a wake-up of the process for each of five hundred
 * checks a second would cost more than the checks. Of short intervals it is a smaller part.
 */
const GRID_MS = 10;
const GRID_SHARE = 1 / 200;

export class CheckLoop {
  readonly #target: Probe;
  readonly #settings: HealthConfig;
  readonly #edges: CheckEdges;
  readonly #onCheck: OnCheck;
  readonly #stop = new AbortController();
  #health: EndpointHealth;
  #timer: Timer | undefined;
  #running = false;
  /** Waits at the gate; nothing else may start a check meanwhile. */
  #waiting = false;
  #urgent = false;
  #first = true;
  #startedAt = Number.NEGATIVE_INFINITY;

  /** @param health as initially, or what another loop has found out about the same endpoint */
  constructor(
    target: Probe,
    settings: HealthConfig,
    health: EndpointHealth,
    edges: CheckEdges,
    onCheck: OnCheck,
  ) {
    this.#target = target;
    this.#settings = settings;
    this.#health = health;
    this.#edges = edges;
    this.#onCheck = onCheck;
  }

  get health(): EndpointHealth {
    return this.#health;
  }

  /** Whether at least one check has ended, whatever it found. */
  get tried(): boolean {
    return !this.#first || this.#health.state !== 'unchecked';
  }

  /** The first check at once; where the health is known already, somewhere within the next interval. */
  start(): void {
    if (this.#health.state === 'unchecked') this.#checkInTurn();
    else this.#schedule(this.#edges.random() * intervalAfter(this.#health, this.#settings));
  }

  checkNow(): void {
    if (this.#running) this.#urgent = true;
    else this.#checkInTurn();
  }

  /** The data path has failed on it. One that is down already is left to its ordinary checks. */
  reportFailure(): void {
    if (this.#health.state === 'down') return;
    // The check under way may have begun before the failure; one more follows.
    this.#urgent = true;
    if (!this.#running && !this.#waiting) this.#scheduleUrgent();
  }

  stop(): void {
    this.#stop.abort();
    this.#edges.clock.clearTimeout(this.#timer);
  }

  #scheduleUrgent(): void {
    const sinceStart = this.#edges.clock.monotonic() - this.#startedAt;
    const wait = this.#settings.interval * URGENT_SHARE - sinceStart;
    if (wait <= 0) this.#check();
    else this.#schedule(wait);
  }

  #schedule(ms: number): void {
    const { clock } = this.#edges;
    clock.clearTimeout(this.#timer);
    const now = clock.monotonic();
    const grid = Math.min(GRID_MS, this.#settings.interval * GRID_SHARE);
    const due = Math.ceil((now + ms) / grid) * grid;
    this.#timer = clock.setTimeout(() => this.#check(), Math.ceil(due - now));
  }

  /** With all the others that start now. */
  #checkInTurn(): void {
    if (this.#waiting) return;
    this.#waiting = true;
    this.#edges.clock.clearTimeout(this.#timer);
    this.#edges.gate.enter((leave) => {
      this.#waiting = false;
      if (this.#stop.signal.aborted) leave();
      else this.#check(leave);
    });
  }

  #check(leave?: () => void): void {
    if (this.#running || this.#waiting || this.#stop.signal.aborted) {
      leave?.();
      return;
    }
    const { clock, probe } = this.#edges;
    clock.clearTimeout(this.#timer);
    this.#running = true;
    this.#urgent = false;
    this.#startedAt = clock.monotonic();
    void probe(this.#target, this.#stop.signal).then((result) => {
      leave?.();
      this.#ended(result);
    });
  }

  #ended({ ok, detail, durationMs, local }: ProbeResult): void {
    this.#running = false;
    if (this.#stop.signal.aborted) return;
    const result: CheckResult = { at: this.#edges.clock.now(), ok, detail, durationMs };
    const before = this.#health;
    // A host that is out of sockets would otherwise take all of its upstreams down at once.
    if (!local) this.#health = afterCheck(before, result, this.#settings);
    const first = this.#first;
    this.#first = false;
    if (this.#urgent && this.#health.state !== 'down') this.#scheduleUrgent();
    else this.#scheduleNext(first);
    this.#onCheck(result, before, this.#health);
  }

  /** Interval from start to start. All first checks run at once; the second ones are spread over the interval. */
  #scheduleNext(first: boolean): void {
    const { clock, random } = this.#edges;
    const { jitter } = this.#settings;
    const interval = intervalAfter(this.#health, this.#settings);
    const gap = first
      ? interval * (URGENT_SHARE + (1 - URGENT_SHARE) * random())
      : interval * (1 + jitter * (2 * random() - 1));
    this.#schedule(Math.max(1, this.#startedAt + gap - clock.monotonic()));
  }
}

/** HAProxy's `inter`, `fastinter` and `downinter`. */
function intervalAfter(
  { state, contrary }: EndpointHealth,
  { interval, fastInterval, downInterval }: HealthConfig,
): number {
  if (contrary > 0) return fastInterval ?? interval;
  return state === 'down' ? (downInterval ?? interval) : interval;
}
