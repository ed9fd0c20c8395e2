/**
 * The guards of all canaries, wired to counters, clock and overrides. One per replica: each judges by its own traffic,
 * and where overrides are shared through Redis a brake of one is a brake of all.
 */
import type { Config, RouteConfig } from '../config/schema.ts';
import { mainBackend, splitWeights } from '../config/split-weights.ts';
import type { LedgerTotals } from '../observe/totals.ts';
import { type Brake, GUARD } from './brake.ts';
import type { Score } from './evidence.ts';
import type { GuardMetrics } from './metrics.ts';
import { type OutcomeTotals, outcomeKey, outcomesSince, readOutcomes } from './outcomes.ts';
import {
  type Cause,
  type Effect,
  followed,
  type GuardSettings,
  type GuardState,
  newGuard,
  notedTrip,
  recentTrips,
  released,
  step,
} from './state.ts';
import { brakedWeights } from './weights.ts';
import { effectWords, type Told, verdictWords } from './words.ts';

/** A brake outlives its hold by this much, so that it is this guard that ends it, with a small share first. */
const GRACE_MS = 30_000;

/** A trial whose replica has gone must not go on for ever; it is renewed while it lasts. */
const PROBE_MS = 3_600_000;

/** As long as an override may last. */
const LATCH_MS = 30 * 86_400_000;

const MAX_REASON = 200;

export interface GuardEdges {
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** What all processes counted since the start. */
  readonly totals: () => Promise<LedgerTotals>;
  readonly brake: Brake;
  readonly metrics: GuardMetrics;
  /** To the log, and to whom it concerns. `acts`: the canary has lost its share, or got it back. */
  readonly tell: (told: Told, facts: GuardFacts) => void;
  readonly log: (fields: object, message: string) => void;
}

/** For the log and for alerts. */
export interface GuardFacts {
  readonly route: string;
  readonly backend: string;
  readonly event: Effect['type'];
  readonly mode: 'warn' | 'act';
}

/** One guarded canary, for the status page. */
export interface GuardView {
  readonly route: string;
  readonly backend: string;
  readonly mode: 'warn' | 'act';
  readonly phase: GuardState['phase'];
  /** How long it has been in that phase, milliseconds. */
  readonly forMs: number;
  /** Until a braked one is tried again, milliseconds; undefined in other phases. */
  readonly leftMs: number | undefined;
  /** Verdicts that count towards the latch, and how many latch. */
  readonly trips: number;
  readonly latchAfter: number;
  /** Evidence against it by cause, as a share of what brakes it, 0…1. */
  readonly evidence: Readonly<Record<Cause, number>>;
  /** Of the latest verdict, in words; undefined when there was none. */
  readonly verdict: string | undefined;
}

interface GuardedRow {
  readonly name: string;
  readonly main: string;
  readonly settings: GuardSettings;
  readonly probe: number;
  /** Weights of the file. */
  readonly weights: Readonly<Record<string, number>>;
  /** What would make all of its guards begin anew. */
  readonly shape: string;
  readonly guards: Map<string, GuardState>;
  /** The override of this guard. */
  held: { readonly id: string; readonly until: number } | undefined;
  /** The latest brake of another replica that was counted. */
  foreign: string | undefined;
}

export class CanaryGuard {
  readonly #edges: GuardEdges;
  #rows: GuardedRow[] = [];
  #before: OutcomeTotals | undefined;
  #lookedAt = 0;

  constructor(edges: GuardEdges) {
    this.#edges = edges;
  }

  /** Some row has a guard: only then is there anything to look at. */
  get active(): boolean {
    return this.#rows.length > 0;
  }

  /** Takes the file's configuration, without overrides. Guards of rows whose split stays go on as they are. */
  configure(config: Config): void {
    const now = this.#edges.now();
    const before = new Map(this.#rows.map((row) => [row.name, row]));
    this.#rows = config.routes
      .filter(({ guard, split }) => guard !== 'off' && Object.keys(split).length > 1)
      .map((route) => {
        const row = rowOf(config, route, now);
        const known = before.get(row.name);
        before.delete(row.name);
        if (known === undefined) return row;
        if (known.shape === row.shape) {
          const { guards, held, foreign } = known;
          return { ...row, guards, held, foreign };
        }
        this.#letGo(known, 'the row has changed');
        return row;
      });
    for (const row of before.values()) this.#letGo(row, 'the row is guarded no more');
    if (!this.active) this.#before = undefined;
    this.#show();
  }

  /** One look; about once a second. */
  async look(): Promise<void> {
    if (!this.active) return;
    const totals = readOutcomes(await this.#edges.totals());
    const now = this.#edges.now();
    const before = this.#before;
    const elapsedMs = Math.max(1, now - this.#lookedAt);
    this.#before = totals;
    this.#lookedAt = now;
    // What was counted before this guard began says nothing of its time.
    if (before === undefined) return;
    for (const row of this.#rows) this.#lookAt(row, before, totals, now, elapsedMs);
    this.#show();
  }

  view(): GuardView[] {
    const now = this.#edges.now();
    return this.#rows.flatMap(({ name, settings, guards }) =>
      [...guards].map(([backend, state]) => ({
        route: name,
        backend,
        mode: settings.mode,
        phase: state.phase,
        forMs: now - state.since,
        leftMs: state.phase === 'braked' ? Math.max(0, state.until - now) : undefined,
        trips: recentTrips(state, now, settings).length,
        latchAfter: settings.latchAfter,
        evidence: {
          errors: evidenceShare(state.errors, settings),
          latency: evidenceShare(state.slow, settings),
        },
        verdict: state.verdict === undefined ? undefined : verdictWords(state.verdict),
      })),
    );
  }

  #lookAt(
    row: GuardedRow,
    before: OutcomeTotals,
    totals: OutcomeTotals,
    now: number,
    elapsedMs: number,
  ): void {
    if (row.settings.mode === 'act') this.#reconcile(row, now);
    const since = (backend: string) => {
      const key = outcomeKey(row.name, backend);
      return outcomesSince(before.get(key), totals.get(key));
    };
    const main = since(row.main);
    const effects: [string, Effect][] = [];
    for (const [backend, state] of row.guards) {
      const seen = { now, elapsedMs, main, canary: since(backend) };
      const { state: next, effect } = step(state, seen, row.settings);
      row.guards.set(backend, next);
      if (effect !== undefined) effects.push([backend, effect]);
    }
    const acts = row.settings.mode === 'act';
    if (acts && (effects.length > 0 || isOver(row, now))) this.#apply(row, now);
    for (const [backend, effect] of effects) this.#announce(row, backend, effect, acts);
  }

  /** What holds is no more what this guard has set: then somebody decided, or another replica did. */
  #reconcile(row: GuardedRow, now: number): void {
    const { brake, log } = this.#edges;
    const held = brake.held(row.name);
    if (held !== undefined && held.by === GUARD && held.id !== row.held?.id && held.id !== row.foreign) {
      row.foreign = held.id;
      for (const [backend, state] of row.guards) {
        if (held.weights[backend] !== 0) continue;
        row.guards.set(backend, notedTrip(state, now, row.settings));
      }
    }
    if (row.held === undefined || held?.id === row.held.id) return;
    const byPeer = held?.by === GUARD;
    const isOver = held === undefined && !brake.wasEnded(row.held.id);
    const early = now < row.held.until;
    row.held = undefined;
    if (isOver) {
      // The wall clock, by which overrides end, was set forward: the brake goes on.
      if (early) this.#apply(row, now);
      return;
    }
    for (const [backend, state] of row.guards) {
      if (state.phase === 'watching') continue;
      row.guards.set(backend, byPeer ? followed(state, now) : released(state, now));
    }
    if (!byPeer) log({ route: row.name }, 'a person ended the brake; the canary guard begins anew');
  }

  /** Lays what the guards of a row say over it, or takes it away. */
  #apply(row: GuardedRow, now: number): void {
    const { brake } = this.#edges;
    const phases = new Map([...row.guards].map(([backend, { phase }]) => [backend, phase]));
    const held = brake.held(row.name);
    // Where a person has given other weights, those are braked: what the canary loses is what it has.
    const given = held === undefined || held.by === GUARD ? row.weights : { ...row.weights, ...held.weights };
    const weights = brakedWeights(given, row.main, phases, row.probe);
    if (weights === undefined) {
      if (row.held !== undefined) brake.release(row.held.id);
      row.held = undefined;
      return;
    }
    const durationMs = Math.max(...[...row.guards.values()].map((state) => durationOf(state, now)));
    const id = brake.hold(row.name, weights, durationMs, reasonOf(row.guards));
    row.held = { id, until: now + durationMs };
  }

  #announce(row: GuardedRow, backend: string, effect: Effect, acts: boolean): void {
    const { metrics, tell, log } = this.#edges;
    const facts: GuardFacts = {
      route: row.name,
      backend,
      event: effect.type,
      mode: acts ? 'act' : 'warn',
    };
    if (effect.type === 'brake' || effect.type === 'latch') {
      metrics.trip(row.name, backend, effect.verdict.cause);
    }
    const told = effectWords(row.name, backend, effect, acts);
    if (told === undefined)
      log(facts, acts ? 'canary gets a small share again' : 'canary is looked at again');
    else tell(told, facts);
  }

  #letGo(row: GuardedRow, why: string): void {
    if (row.held === undefined) return;
    this.#edges.brake.release(row.held.id);
    this.#edges.log({ route: row.name, why }, 'brake of the canary guard ended');
    row.held = undefined;
  }

  #show(): void {
    const { metrics } = this.#edges;
    metrics.clear();
    for (const { name, settings, guards } of this.#rows) {
      for (const [backend, { phase, errors, slow }] of guards) {
        metrics.show(name, backend, phase, {
          errors: errors.value / settings.threshold,
          latency: slow.value / settings.threshold,
        });
      }
    }
  }
}

function rowOf(config: Config, route: RouteConfig, now: number): GuardedRow {
  const { names, weights } = splitWeights(route, config.backends);
  const main = names[mainBackend(route, config.backends)]!;
  const { probe, errorFloor, ...rest } = config.guard;
  const mode = route.guard === 'act' ? 'act' : 'warn';
  const ofFile = Object.fromEntries(names.map((name, i) => [name, weights[i]!]));
  return {
    name: route.name,
    main,
    settings: { ...rest, mode, errorFloor: errorFloor / 100 },
    probe: probe / 100,
    weights: ofFile,
    shape: JSON.stringify([route.guard, main, Object.entries(ofFile).sort()]),
    guards: new Map(names.filter((name) => name !== main).map((name) => [name, newGuard(now)])),
    held: undefined,
    foreign: undefined,
  };
}

function evidenceShare({ value }: Score, { threshold }: GuardSettings): number {
  return Math.round(100 * Math.min(1, Math.max(0, value / threshold))) / 100;
}

function isOver({ held }: GuardedRow, now: number): boolean {
  return held !== undefined && now >= held.until - GRACE_MS / 2;
}

function durationOf({ phase, until }: GuardState, now: number): number {
  switch (phase) {
    case 'watching':
      return 0;
    case 'braked':
      return Math.max(0, until - now) + GRACE_MS;
    case 'probing':
      return PROBE_MS;
    case 'latched':
      return LATCH_MS;
  }
}

function reasonOf(guards: ReadonlyMap<string, GuardState>): string {
  return [...guards]
    .filter(([, { phase }]) => phase !== 'watching')
    .map(
      ([backend, { phase, verdict }]) =>
        `${backend} ${phase}: ${verdict === undefined ? 'worse than production' : verdictWords(verdict)}`,
    )
    .join('; ')
    .slice(0, MAX_REASON);
}
