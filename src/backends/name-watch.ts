/** One name, asked for again and again for as long as a backend uses it. */

import type { Clock, Timer } from './clock.ts';
import {
  afterResolution,
  type NameState,
  nextQuestionIn,
  pendingName,
  type TtlBounds,
} from './name-state.ts';
import type { Name, NameResolver, Resolution } from './resolver.ts';

export interface NameEdges {
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** After every question that has been answered or has failed. */
export type OnResolution = (before: NameState, after: NameState) => void;

export class NameWatch {
  readonly #name: Name;
  readonly #edges: NameEdges;
  readonly #onResolution: OnResolution;
  #resolver: NameResolver;
  #bounds: TtlBounds;
  #state: NameState;
  #timer: Timer | undefined;
  #asking = false;
  #askedAt = Number.NEGATIVE_INFINITY;
  #stopped = false;

  constructor(
    name: Name,
    resolver: NameResolver,
    bounds: TtlBounds,
    edges: NameEdges,
    onResolution: OnResolution,
  ) {
    this.#name = name;
    this.#resolver = resolver;
    this.#bounds = bounds;
    this.#edges = edges;
    this.#onResolution = onResolution;
    this.#state = pendingName(edges.clock.now());
  }

  get state(): NameState {
    return this.#state;
  }

  /** Asks through another resolver from now on, and at once: other servers may know better. */
  use(resolver: NameResolver, bounds: TtlBounds): void {
    this.#resolver = resolver;
    this.#bounds = bounds;
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
    const wait = this.#askedAt + this.#bounds.minTtl - this.#edges.clock.monotonic();
    if (wait <= 0) this.ask();
    else this.#schedule(wait);
  }

  stop(): void {
    this.#stopped = true;
    this.#edges.clock.clearTimeout(this.#timer);
  }

  #resolved(resolution: Resolution): void {
    this.#asking = false;
    if (this.#stopped) return;
    const before = this.#state;
    this.#state = afterResolution(before, resolution, this.#edges.clock.now());
    this.#schedule(nextQuestionIn(this.#state, this.#bounds, this.#edges.random()));
    this.#onResolution(before, this.#state);
  }

  #schedule(ms: number): void {
    const { clock } = this.#edges;
    clock.clearTimeout(this.#timer);
    this.#timer = clock.setTimeout(() => this.ask(), ms);
  }
}
