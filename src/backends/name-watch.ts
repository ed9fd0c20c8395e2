/** One name, asked for again and again for as long as a backend uses it. */

import type { Clock, Timer } from './clock.ts';
import {
  afterHold,
  afterResolution,
  holdLeft,
  type Moment,
  type NameRules,
  type NameState,
  nextQuestionIn,
  pendingName,
} from './name-state.ts';
import type { Name, NameResolver, Resolution } from './resolution.ts';

export interface NameEdges {
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** After every question that has been answered or has failed, and when the last targets are given up. */
export type OnResolution = (before: NameState, after: NameState) => void;

export class NameWatch {
  readonly #name: Name;
  readonly #edges: NameEdges;
  readonly #onResolution: OnResolution;
  #resolver: NameResolver;
  #rules: NameRules;
  #state: NameState;
  #timer: Timer | undefined;
  #holdTimer: Timer | undefined;
  #asking = false;
  #askedAt = Number.NEGATIVE_INFINITY;
  #stopped = false;

  constructor(
    name: Name,
    resolver: NameResolver,
    rules: NameRules,
    edges: NameEdges,
    onResolution: OnResolution,
  ) {
    this.#name = name;
    this.#resolver = resolver;
    this.#rules = rules;
    this.#edges = edges;
    this.#onResolution = onResolution;
    this.#state = pendingName(edges.clock.now());
  }

  get state(): NameState {
    return this.#state;
  }

  /** Asks through another resolver from now on, and at once: other servers may know better. */
  use(resolver: NameResolver, rules: NameRules): void {
    this.#resolver = resolver;
    this.#rules = rules;
    this.#scheduleHold();
    // What the former one is still asked for is of no interest any more.
    this.#asking = false;
    this.ask();
  }

  ask(): void {
    if (this.#asking || this.#stopped) return;
    const { clock } = this.#edges;
    clock.clearTimeout(this.#timer);
    this.#asking = true;
    this.#askedAt = clock.monotonic();
    const resolver = this.#resolver;
    void resolver.resolve(this.#name).then((resolution) => {
      if (resolver === this.#resolver) this.#resolved(resolution);
    });
  }

  /** Asks before the TTL has passed, though not within `minTtl` of the question before. */
  askSoon(): void {
    if (this.#asking || this.#stopped) return;
    const wait = this.#askedAt + this.#rules.minTtl - this.#edges.clock.monotonic();
    if (wait <= 0) this.ask();
    else this.#schedule(wait);
  }

  stop(): void {
    this.#stopped = true;
    this.#edges.clock.clearTimeout(this.#timer);
    this.#edges.clock.clearTimeout(this.#holdTimer);
  }

  #resolved(resolution: Resolution): void {
    this.#asking = false;
    if (this.#stopped) return;
    const before = this.#state;
    this.#state = afterResolution(before, resolution, this.#moment(), this.#rules.hold);
    this.#schedule(nextQuestionIn(this.#state, this.#rules, this.#edges.random()));
    this.#scheduleHold();
    this.#onResolution(before, this.#state);
  }

  #giveUp(): void {
    const before = this.#state;
    this.#state = afterHold(before, this.#moment(), this.#rules.hold);
    this.#scheduleHold();
    if (this.#state === before) return;
    // From now on traffic waits for it.
    this.askSoon();
    this.#onResolution(before, this.#state);
  }

  /** The time may be over between two questions. */
  #scheduleHold(): void {
    const { clock } = this.#edges;
    clock.clearTimeout(this.#holdTimer);
    const left = holdLeft(this.#state, clock.monotonic(), this.#rules.hold);
    if (left === Number.POSITIVE_INFINITY) return;
    // Node's timers may fire a little early.
    this.#holdTimer = clock.setTimeout(() => this.#giveUp(), Math.max(1, Math.ceil(left)));
  }

  #moment(): Moment {
    const { clock } = this.#edges;
    return { now: clock.now(), monotonic: clock.monotonic() };
  }

  #schedule(ms: number): void {
    const { clock } = this.#edges;
    clock.clearTimeout(this.#timer);
    this.#timer = clock.setTimeout(() => this.ask(), ms);
  }
}
