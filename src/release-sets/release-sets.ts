/** The release sets of this process: what befell members here, what the other services tell, and what follows. */
import { randomBytes } from 'node:crypto';
import type { Config } from '../config/schema.ts';
import type { FallenMember } from '../config/sets.ts';
import type { FatesElsewhere } from '../overrides/apply.ts';
import type { LinkState } from '../pinning/redis-link.ts';
import type { Fate, FateElsewhere } from './fate.ts';
import { SharedFates } from './shared-fates.ts';

export interface ReleaseSetEdges {
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** By set: the member of this table that lost most of its share, by hand or by a guard. */
  readonly fallen: () => ReadonlyMap<string, FallenMember>;
  /** Why a backend takes no requests; undefined: it takes some. */
  readonly lost: (backend: string) => string | undefined;
  /** What befell members elsewhere is something else now. */
  readonly onChange: () => void;
  /** Redis came or went. */
  readonly onShared: (state: LinkState) => void;
}

/** One set, for people. */
export interface SetView {
  readonly name: string;
  /** Of this table. */
  readonly members: readonly string[];
  readonly here: Fate;
  readonly elsewhere: readonly FateElsewhere[];
}

export class ReleaseSets {
  readonly #edges: ReleaseSetEdges;
  readonly #replica = randomBytes(5).toString('hex');
  #sets: Config['sets'] = {};
  #shared: { readonly settings: string; readonly link: SharedFates } | undefined;
  #told = '';
  /** Before the first checks no member can be said to be lost. */
  #joined = false;

  constructor(edges: ReleaseSetEdges) {
    this.#edges = edges;
  }

  /** Shares with other services where the configuration names a Redis. */
  configure({ redis, service, sets }: Pick<Config, 'redis' | 'service' | 'sets'>): void {
    this.#sets = sets;
    const names = Object.keys(sets);
    const wanted = names.length > 0 ? redis : undefined;
    const settings = JSON.stringify([wanted ?? null, service, names]);
    if (this.#shared?.settings === settings) return;
    this.#shared?.link.close();
    this.#shared = undefined;
    if (wanted === undefined) return;
    const { now, onShared } = this.#edges;
    this.#shared = {
      settings,
      link: new SharedFates(wanted, service, names, this.#replica, {
        now,
        own: (set) => this.#toTell(set),
        onFates: () => this.#check(),
        onState: onShared,
      }),
    };
  }

  /** What the other services told is known when it resolves, or `ms` have passed. */
  async settled(ms: number): Promise<void> {
    await this.#shared?.link.settled(ms);
  }

  /** From now on it is told when members take no requests. */
  join(): void {
    this.#joined = true;
  }

  /** Something befell members here, or no longer does. */
  tell(): void {
    this.#shared?.link.sync();
  }

  /** Of Redis as sets use it; undefined: what befalls members stays in this process. */
  get shared(): LinkState | undefined {
    return this.#shared?.link.state;
  }

  elsewhere(): FatesElsewhere {
    const fallen: (readonly [string, FallenMember])[] = [];
    const lostSets: Record<string, string> = {};
    for (const [set, fates] of this.#shared?.link.fates() ?? []) {
      for (const { service, fallen: member, lost } of fates) {
        if (member !== undefined) {
          const reason = `${member.reason} (set ${set}: ${member.backend} of ${service})`;
          fallen.push([set, { ...member, reason }]);
        }
        if (lost !== undefined) {
          lostSets[set] ??= `${lost.backend} of ${service} takes no requests: ${lost.reason}`;
        }
      }
    }
    return { fallen, lostSets };
  }

  view(): SetView[] {
    const fates = this.#shared?.link.fates();
    return Object.entries(this.#sets).map(([name, members]) => ({
      name,
      members,
      here: this.#own(name) ?? {},
      elsewhere: fates?.get(name) ?? [],
    }));
  }

  close(): void {
    this.#shared?.link.close();
  }

  #toTell(set: string): Fate | undefined {
    return this.#joined ? this.#own(set) : undefined;
  }

  #own(set: string): Fate | undefined {
    const fallen = this.#edges.fallen().get(set);
    let lost: Fate['lost'];
    for (const backend of this.#sets[set] ?? []) {
      const reason = this.#edges.lost(backend);
      if (reason !== undefined) lost ??= { backend, reason };
    }
    return fallen === undefined && lost === undefined ? undefined : { fallen, lost };
  }

  #check(): void {
    const now = JSON.stringify(this.elsewhere());
    if (now === this.#told) return;
    this.#told = now;
    this.#edges.onChange();
  }
}
