/**
 * Which endpoint of a backend takes a request. A balancer stands for one list of endpoints and is made anew when the
 * list changes; what must survive that (load, rotation, ramp) is kept on the endpoints and handed over.
 */
import type { BackendConfig } from '../config/schema.ts';

export interface Balanced {
  /** Requests under way on it. */
  readonly inFlight: number;
  /** Share among the endpoints, at least 1. */
  readonly weight: number;
  /** When its slow start began, by the clock that `select` is given; -Infinity: it has its full share. */
  readonly warmingFrom: number;
  /** Where it stands in the weighted rotation; belongs to the balancer. */
  turn: number;
}

export interface BalanceSettings {
  readonly method: BackendConfig['balance'];
  /** Milliseconds in which an endpoint ramps up to its weight; 0: at once. */
  readonly slowStart: number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** What an endpoint begins its slow start with: enough to be seen working, too little to hurt. */
const WARM_FROM = 0.1;

export class Balancer<T extends Balanced> {
  readonly endpoints: readonly T[];
  readonly #settings: BalanceSettings;
  /** All have the same weight. */
  readonly #even: boolean;
  /** Until when some endpoint ramps up; only until then is the clock looked at. */
  readonly #warmUntil: number;
  #rotation: number;

  /** @param former the one that this replaces: its rotation goes on */
  constructor(endpoints: readonly T[], settings: BalanceSettings, former?: Balancer<T>) {
    this.endpoints = endpoints;
    this.#settings = settings;
    this.#even = endpoints.every(({ weight }) => weight === endpoints[0]!.weight);
    const lastWarming = endpoints.reduce(
      (last, e) => Math.max(last, e.warmingFrom),
      Number.NEGATIVE_INFINITY,
    );
    this.#warmUntil = settings.slowStart > 0 ? lastWarming + settings.slowStart : Number.NEGATIVE_INFINITY;
    // Starts anywhere, so that many proxies do not begin with the same endpoint.
    this.#rotation = former === undefined ? Math.floor(settings.random() * 1024) : former.#rotation;
  }

  /**
   * @param tried endpoints that this request failed on
   * @param now   monotonic milliseconds; need not be exact
   * @returns undefined when there is none, or all were tried
   */
  select(tried: readonly T[], now: number): T | undefined {
    const { endpoints } = this;
    const candidates =
      tried.length === 0 ? endpoints : endpoints.filter((endpoint) => !tried.includes(endpoint));
    const count = candidates.length;
    if (count <= 1) return candidates[0];
    const warming = now < this.#warmUntil;
    switch (this.#settings.method) {
      case 'roundrobin':
        if (this.#even && !warming) return candidates[this.#rotation++ % count];
        return this.#inTurn(candidates, warming, now);
      case 'random':
        if (this.#even && !warming) return candidates[Math.floor(this.#settings.random() * count)];
        return this.#atRandom(candidates, warming, now);
      case 'leastRequests':
        return this.#lessBusy(candidates, warming, now);
    }
  }

  /** Smooth weighted round robin, as nginx does it: exact shares in every cycle, evenly interleaved. */
  #inTurn(candidates: readonly T[], warming: boolean, now: number): T {
    let best = candidates[0]!;
    let total = 0;
    for (let i = 0; i < candidates.length; i++) {
      const candidate = candidates[i]!;
      const weight = warming ? this.#ramped(candidate, now) : candidate.weight;
      total += weight;
      candidate.turn += weight;
      if (candidate.turn > best.turn) best = candidate;
    }
    best.turn -= total;
    return best;
  }

  #atRandom(candidates: readonly T[], warming: boolean, now: number): T {
    let total = 0;
    for (let i = 0; i < candidates.length; i++) {
      const candidate = candidates[i]!;
      total += warming ? this.#ramped(candidate, now) : candidate.weight;
    }
    let rest = this.#settings.random() * total;
    for (let i = 0; i < candidates.length; i++) {
      const candidate = candidates[i]!;
      rest -= warming ? this.#ramped(candidate, now) : candidate.weight;
      if (rest < 0) return candidate;
    }
    return candidates.at(-1)!;
  }

  /** The better of two at random: near the best of all, and no herd runs to the one that just got free. */
  #lessBusy(candidates: readonly T[], warming: boolean, now: number): T {
    const { random } = this.#settings;
    const count = candidates.length;
    const first = Math.floor(random() * count);
    const second = (first + 1 + Math.floor(random() * (count - 1))) % count;
    const a = candidates[first]!;
    const b = candidates[second]!;
    const weightOfA = warming ? this.#ramped(a, now) : a.weight;
    const weightOfB = warming ? this.#ramped(b, now) : b.weight;
    // The request itself counts: between two that are idle the heavier one is less busy with it.
    return (b.inFlight + 1) * weightOfA < (a.inFlight + 1) * weightOfB ? b : a;
  }

  #ramped({ weight, warmingFrom }: T, now: number): number {
    const progress = (now - warmingFrom) / this.#settings.slowStart;
    return progress >= 1 ? weight : weight * Math.max(WARM_FROM, progress);
  }
}
