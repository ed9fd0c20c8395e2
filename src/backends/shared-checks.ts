/** One loop of checks per unique upstream and way of checking it, however many backends use it. */

import type { HealthConfig } from '../config/schema.ts';
import { type CheckEdges, CheckLoop } from './check-loop.ts';
import type { CheckResult } from './endpoint.ts';
import { type EndpointHealth, initialHealth } from './health.ts';
import type { Probe } from './probe-target.ts';

/** A check that has ended; `before` is `after` when it could not even be tried. */
export interface CheckReport<User> {
  readonly users: ReadonlySet<User>;
  /** `address:port` of the endpoint, whichever port is checked. */
  readonly endpoint: string;
  readonly result: CheckResult;
  readonly before: EndpointHealth;
  readonly after: EndpointHealth;
}

export interface SharedCheck {
  readonly key: string;
  readonly loop: CheckLoop;
}

export class SharedChecks<User> {
  readonly #edges: CheckEdges;
  readonly #onCheck: (report: CheckReport<User>) => void;
  readonly #checks = new Map<string, SharedCheck & { readonly users: Set<User> }>();

  constructor(edges: CheckEdges, onCheck: (report: CheckReport<User>) => void) {
    this.#edges = edges;
    this.#onCheck = onCheck;
  }

  /** @param known what is known of the endpoint from another way of checking it, used when this one is new */
  acquire(
    user: User,
    endpoint: string,
    target: Probe,
    settings: HealthConfig,
    known: EndpointHealth | undefined,
  ): SharedCheck {
    const key = keyOf(endpoint, target, settings);
    let check = this.#checks.get(key);
    if (check === undefined) {
      const users = new Set<User>();
      const health = known ?? initialHealth(this.#edges.clock.now());
      const loop = new CheckLoop(target, settings, health, this.#edges, (result, before, after) =>
        this.#onCheck({ users, endpoint, result, before, after }),
      );
      check = { key, loop, users };
      this.#checks.set(key, check);
      loop.start();
    }
    check.users.add(user);
    return check;
  }

  /** The last one to leave stops the checks. */
  release(user: User, key: string): void {
    const check = this.#checks.get(key);
    if (check === undefined || !check.users.delete(user) || check.users.size > 0) return;
    check.loop.stop();
    this.#checks.delete(key);
  }

  checkNow(): void {
    for (const { loop } of this.#checks.values()) loop.checkNow();
  }

  stop(): void {
    for (const { loop } of this.#checks.values()) loop.stop();
    this.#checks.clear();
  }
}

/** All that makes a difference to what is sent, when, and how the results count. */
function keyOf(endpoint: string, target: Probe, settings: HealthConfig): string {
  const { interval, fastInterval, downInterval, jitter, rise, fall } = settings;
  return JSON.stringify([endpoint, target, interval, fastInterval, downInterval, jitter, rise, fall]);
}
