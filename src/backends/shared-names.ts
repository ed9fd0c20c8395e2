/** One watch per name, however many backends use it. */

import { isIP } from 'node:net';
import { type NameRules, type NameState, staticName } from './name-state.ts';
import { type NameEdges, NameWatch } from './name-watch.ts';
import type { Name, NameResolver } from './resolution.ts';

/** A question that has been answered or has failed, or the last targets of a name were given up. */
export interface NameReport<User> {
  readonly host: string;
  readonly users: ReadonlySet<User>;
  readonly before: NameState;
  readonly after: NameState;
}

/** A host as a backend sees it. */
export interface SharedName {
  readonly state: NameState;
  /** Something speaks against the addresses: asks before their TTL has passed. */
  askSoon(): void;
}

export class SharedNames<User> {
  readonly #edges: NameEdges;
  readonly #onResolution: (report: NameReport<User>) => void;
  readonly #names = new Map<string, { readonly watch: NameWatch; readonly users: Set<User> }>();
  #resolver: NameResolver | undefined;
  #rules: NameRules | undefined;

  constructor(edges: NameEdges, onResolution: (report: NameReport<User>) => void) {
    this.#edges = edges;
    this.#onResolution = onResolution;
  }

  /** Must be called before the first name is acquired; later on every name is asked for again. */
  use(resolver: NameResolver, rules: NameRules): void {
    const former = this.#resolver;
    this.#resolver = resolver;
    this.#rules = rules;
    for (const { watch } of this.#names.values()) watch.use(resolver, rules);
    former?.close();
  }

  acquire(user: User, { host, srv }: Name): SharedName {
    if (isIP(host) !== 0) return { state: staticName(host, this.#edges.clock.now()), askSoon() {} };
    const key = keyOf({ host, srv });
    let name = this.#names.get(key);
    if (name === undefined) {
      const users = new Set<User>();
      const asked = { host: host.toLowerCase(), srv };
      const watch = new NameWatch(asked, this.#resolver!, this.#rules!, this.#edges, (before, after) =>
        this.#onResolution({ host: asked.host, users, before, after }),
      );
      name = { watch, users };
      this.#names.set(key, name);
      watch.ask();
    }
    name.users.add(user);
    return name.watch;
  }

  /** The last one to leave stops the questions. */
  release(user: User, asked: Name): void {
    const key = keyOf(asked);
    const name = this.#names.get(key);
    if (name === undefined || !name.users.delete(user) || name.users.size > 0) return;
    name.watch.stop();
    this.#names.delete(key);
  }

  askNow(): void {
    for (const { watch } of this.#names.values()) watch.ask();
  }

  stop(): void {
    for (const { watch } of this.#names.values()) watch.stop();
    this.#names.clear();
    this.#resolver?.close();
  }
}

function keyOf({ host, srv }: Name): string {
  return `${srv ? 'SRV' : 'A'} ${host.toLowerCase()}`;
}
