/** The overrides of this process: what is set and ended here, what other replicas did, and the clock that ends them. */
import { randomBytes } from 'node:crypto';
import type { Config } from '../config/schema.ts';
import type { LinkState } from '../pinning/redis-link.ts';
import {
  activeOverrides,
  MAX_DURATION_MS,
  mergeRecords,
  nextEnd,
  type Override,
  type OverrideTarget,
  type Records,
  targetKey,
} from './override.ts';
import { SharedOverrides } from './shared-overrides.ts';

/** Ends are told by the wall clock, which may be set: while something holds it is looked at this often. */
const LOOK_MS = 1_000;

export interface BoardEdges {
  /** Epoch milliseconds. */
  readonly clock: () => number;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** What holds is something else now. */
  readonly onChange: () => void;
  /** Redis came or went. */
  readonly onShared: (state: LinkState) => void;
}

export class OverrideBoard {
  readonly #edges: BoardEdges;
  #records: Records = new Map();
  #shared: { readonly settings: string; readonly link: SharedOverrides } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #told = '';

  constructor(edges: BoardEdges) {
    this.#edges = edges;
  }

  /** Shares with the other replicas of the service where the configuration names a Redis. */
  configure({
    redis,
    service,
    acting,
    routes = [],
  }: Pick<Config, 'redis' | 'service' | 'acting'> & Partial<Pick<Config, 'routes'>>): void {
    const isUsed = acting !== undefined || routes.some(({ guard }) => guard === 'act');
    const wanted = isUsed ? redis : undefined;
    const settings = JSON.stringify([wanted ?? null, service]);
    if (this.#shared?.settings === settings) return;
    this.#shared?.link.close();
    this.#shared = undefined;
    if (wanted === undefined) return;
    const { clock, now, onShared } = this.#edges;
    this.#shared = {
      settings,
      link: new SharedOverrides(wanted, service, {
        now,
        clock,
        own: () => this.#records.values(),
        onRecords: (records) => this.#merge(records),
        onState: onShared,
      }),
    };
  }

  /** Resolves when what the other replicas hold is known, or after `ms`. */
  async settled(ms: number): Promise<void> {
    await this.#shared?.link.settled(ms);
  }

  active(): Override[] {
    return activeOverrides(this.#records, this.#edges.clock());
  }

  /** Of Redis as overrides use it; undefined when none is configured: then they hold in this process alone. */
  get shared(): LinkState | undefined {
    return this.#shared?.link.state;
  }

  /** Somebody ended it, or set something else in its place; not its time. */
  wasEnded(id: string): boolean {
    return this.#records.get(id)?.endedAt !== undefined;
  }

  /** Takes the place of what holds for the same target. */
  set(request: {
    readonly target: OverrideTarget;
    readonly durationMs: number;
    readonly reason: string;
    readonly by: string;
  }): Override {
    const now = this.#edges.clock();
    const { target, durationMs, reason, by } = request;
    const override: Override = {
      id: randomBytes(5).toString('hex'),
      target,
      reason,
      by,
      createdAt: now,
      until: now + Math.min(durationMs, MAX_DURATION_MS),
    };
    const replaced = [...this.#records.values()]
      .filter((one) => one.endedAt === undefined && targetKey(one.target) === targetKey(target))
      .map((one): Override => ({ ...one, endedAt: now }));
    this.#merge([...replaced, override]);
    this.#shared?.link.sync();
    return override;
  }

  end(override: Override): void {
    this.#merge([{ ...override, endedAt: this.#edges.clock() }]);
    this.#shared?.link.sync();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#shared?.link.close();
  }

  #merge(records: Iterable<Override>): void {
    this.#records = mergeRecords(this.#records.values(), records, this.#edges.clock());
    this.#check();
  }

  /** Tells when what holds has changed, and comes back when the next one ends. */
  #check(): void {
    const now = this.#edges.clock();
    const holds = activeOverrides(this.#records, now)
      .map(({ id }) => id)
      .join(' ');
    clearTimeout(this.#timer);
    const next = nextEnd(this.#records, now);
    if (next !== undefined) {
      this.#timer = setTimeout(() => this.#check(), Math.min(LOOK_MS, Math.max(1, next - now)));
      this.#timer.unref();
    }
    if (holds === this.#told) return;
    this.#told = holds;
    this.#edges.onChange();
  }
}
