/** How the backends of one row can be used now: worked out anew when an endpoint has changed, read by every request. */

import { type BackendUse, usesOf } from '../backends/availability.ts';
import type { Balancer } from '../backends/balance.ts';
import type { Split } from '../routing/route.ts';
import type { Endpoint } from './endpoint.ts';
import type { Revision, Upstream } from './upstreams.ts';

export type UpstreamFate = readonly Upstream[] | 'lost' | undefined;

export class SplitUse {
  readonly #split: Split;
  readonly #upstreams: readonly Upstream[];
  readonly #revision: Revision;
  readonly #fates: readonly UpstreamFate[] | undefined;
  /** Of what the rest was made from; requests of a table that a reload replaced ask for the newest state, too. */
  #seen = -1;
  #uses: readonly BackendUse[] = [];

  /**
   * @param upstreams by index in the split
   * @param fates     by index in the split: those without which it is not used, the other members of its release set;
   *                  `lost`: one of another table is missing
   */
  constructor(
    split: Split,
    upstreams: readonly Upstream[],
    revision: Revision,
    fates: readonly UpstreamFate[] | undefined,
  ) {
    this.#split = split;
    this.#upstreams = upstreams;
    this.#revision = revision;
    this.#fates = fates;
  }

  /** The same backends in another split: with other weights, as a group sees them to which something is promised. */
  for(split: Split): SplitUse {
    return new SplitUse(split, this.#upstreams, this.#revision, this.#fates);
  }

  /** By index in the split: whether the backend has an endpoint that may take requests. */
  readonly usable = (index: number): boolean => this.#of(index) !== 'none';

  /** The backend uses all of its endpoints, since too few are healthy. */
  panics(index: number): boolean {
    return this.#of(index) === 'panic';
  }

  /** What the backend's endpoints are chosen by; undefined when it takes no requests. */
  balancer(index: number): Balancer<Endpoint> | undefined {
    const use = this.#of(index);
    if (use === 'none') return undefined;
    const upstream = this.#upstreams[index]!;
    return use === 'panic' ? upstream.fleet : upstream.available;
  }

  /** The backend would take a request that failed on `tried`. */
  hasOther(index: number, tried: readonly Endpoint[]): boolean {
    const endpoints = this.balancer(index)?.endpoints;
    return endpoints?.some((endpoint) => !tried.includes(endpoint)) === true;
  }

  #of(index: number): BackendUse {
    if (this.#seen !== this.#revision.value) this.#refresh();
    return this.#uses[index]!;
  }

  #refresh(): void {
    this.#seen = this.#revision.value;
    const members = this.#upstreams.map(({ available, fleet, healthyPercent, config }, index) => ({
      weight: this.#split.weights[index]!,
      holds: this.#split.shares[index]! > 0 || this.#split.keeps[index]!,
      backup: config.backup,
      available: this.#isFated(index) ? 0 : available.endpoints.length,
      // With nothing else left the main backend is tried all the same: better half a release than none.
      fleet: this.#isFated(index) && index !== this.#split.main ? 0 : fleet.endpoints.length,
      healthyPercent,
      panicThreshold: config.panicThreshold,
    }));
    this.#uses = usesOf(members, this.#split.main);
  }

  /** Another member of its release set takes no requests: then it takes none either. */
  #isFated(index: number): boolean {
    const fate = this.#fates?.[index];
    if (fate === undefined) return false;
    return fate === 'lost' || fate.some(({ available }) => available.endpoints.length === 0);
  }
}
