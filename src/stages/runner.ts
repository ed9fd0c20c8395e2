/**
 * The loop that moves builds on when their gates pass and takes them back when one fails. It remembers nothing itself:
 * the repository holds the state, a ref beside the branch the figures of running windows, another the lease that keeps
 * a second run out. So it can be killed anywhere and go on, here or elsewhere; and should two runs ever act at once,
 * the compare-and-swap on the branch lets only one commit through, and the other finds its work done.
 */

import { pipelineOf, rendered, type Service, serviceOf, servicesIn } from './catalogue.ts';
import type { Pipeline, Stage } from './definition.ts';
import { frozen } from './freeze.ts';
import { type Edges, evaluate, usersOf } from './gates/evaluate.ts';
import type { Observation } from './gates/judge.ts';
import { type GateResult, summary, together } from './gates/verdict.ts';
import type { Git } from './git/git.ts';
import { GitRecord } from './git/record.ts';
import { RaceLost, RepositoryUnusable } from './git/repository.ts';
import { isAlive } from './git/work-tree.ts';
import { advance, Refused, rollback } from './machine.ts';
import type { Slot } from './state.ts';
import { InvalidFiles } from './strict-yaml.ts';
import { type Context, carryOut, pushTarget, stageEntered } from './verbs.ts';

export interface RunEvent {
  readonly at: string;
  readonly service: string;
  readonly stage: string;
  /** `advance`, `promote`, `rollback`, `hold`, `wait` or `error`. */
  readonly what: string;
  readonly detail: string;
  readonly commit: string | undefined;
}

export interface Holder {
  /** Unique to one run. */
  readonly id: string;
  readonly host: string;
  readonly pid: number;
}

interface Lease {
  readonly holder: Holder;
  /** Epoch milliseconds. */
  readonly until: number;
}

/** By `SERVICE/STAGE`. */
type Observations = Readonly<Record<string, Observation>>;

/** What is known of windows that are not full yet. */
export function observationsOf(git: Git, remote: string | undefined): GitRecord<Observations> {
  return new GitRecord<Observations>(git, 'refs/pointsman/observations', remote);
}

export interface RunOptions {
  /** Only these; empty: all. */
  readonly services: readonly string[];
  readonly holder: Holder;
  readonly say: (event: RunEvent) => void;
  readonly edges: Edges;
}

export type RoundEnd = 'done' | 'busy';

/** Where figures and lease are kept: at the remote when changes are pushed there, so that runs anywhere share them. */
export class Runner {
  readonly #context: Context;
  readonly #options: RunOptions;
  /** What was said last of each build, so that a wait is said once. */
  readonly #said = new Map<string, string>();

  constructor(context: Context, options: RunOptions) {
    this.#context = context;
    this.#options = options;
  }

  /** One look at everything. `busy`: another run holds the lease. */
  async round(): Promise<RoundEnd> {
    const { repository, environment } = this.#context;
    await repository.recover();
    const remote = await pushTarget(repository, environment, this.#context.push);
    const head = await repository.head();
    const first = await repository.read(head);
    const pipeline = pipelineOf(first, environment);
    const lease = new GitRecord<Lease>(repository.git, 'refs/pointsman/lease', remote);
    if (!(await this.#acquire(lease, pipeline.run.lease))) return 'busy';
    const record = observationsOf(repository.git, remote);
    const { value, oid } = await record.read();
    const observations: Record<string, Observation> = {};
    const services = this.#options.services.length === 0 ? servicesIn(first) : this.#options.services;
    for (const name of services) {
      const snapshot = await repository.read(await repository.head());
      try {
        const service = serviceOf(snapshot, name, environment);
        await this.#service(service, value ?? {}, observations);
      } catch (error) {
        if (
          !(
            error instanceof InvalidFiles ||
            error instanceof Refused ||
            error instanceof RaceLost ||
            error instanceof RepositoryUnusable
          )
        )
          throw error;
        for (const [key, old] of Object.entries(value ?? {}))
          if (key.startsWith(`${name}/`)) observations[key] ??= old;
        this.#say(name, '', 'error', error.message);
        if (error instanceof RepositoryUnusable) break;
      }
      if (!(await this.#acquire(lease, pipeline.run.lease))) return 'busy';
    }
    if (this.#options.services.length > 0) {
      for (const [key, old] of Object.entries(value ?? {}))
        if (!services.includes(key.split('/')[0]!)) observations[key] = old;
    }
    if (JSON.stringify(value ?? {}) !== JSON.stringify(observations)) await record.write(observations, oid);
    return 'done';
  }

  /** Lets another run begin at once. */
  async release(): Promise<void> {
    const { repository, environment } = this.#context;
    const lease = new GitRecord<Lease>(
      repository.git,
      'refs/pointsman/lease',
      await pushTarget(repository, environment, this.#context.push),
    );
    const { value, oid } = await lease.read();
    if (value?.holder.id === this.#options.holder.id)
      await lease.write({ holder: value.holder, until: 0 }, oid);
  }

  async #acquire(lease: GitRecord<Lease>, span: number): Promise<boolean> {
    const now = this.#options.edges.now();
    const { value, oid } = await lease.read();
    const mine = value?.holder.id === this.#options.holder.id;
    if (value !== undefined && !mine && value.until > now && !isGone(value.holder, this.#options.holder)) {
      this.#say(
        '',
        '',
        'wait',
        `another run (process ${value.holder.pid} on ${value.holder.host}) is at work until ${new Date(value.until).toISOString()} at the latest`,
      );
      return false;
    }
    if (mine && value.until - now > span / 2) return true;
    return await lease.write({ holder: this.#options.holder, until: now + span }, oid);
  }

  async #service(service: Service, before: Observations, after: Record<string, Observation>): Promise<void> {
    const { table } = rendered(service);
    const moving: { stage: Stage; slot: Slot; results: readonly GateResult[] }[] = [];
    for (const stage of service.pipeline.stages) {
      const slot = service.state.stages[stage.name]!;
      const armed = slot.status === 'running' ? 'all' : isArmed(service, stage, slot) ? 'armed' : undefined;
      if (armed === undefined) continue;
      const key = `${service.name}/${stage.name}`;
      const { results, observation } = await evaluate(
        service,
        stage,
        slot,
        table,
        before[key],
        this.#options.edges,
        armed,
      );
      after[key] = observation;
      if (together(results) === 'fail') {
        if (stage.rollback === 'auto') return await this.#back(service, stage, slot, results);
        this.#say(service.name, stage.name, 'hold', `${failures(results)}; rollback is manual`);
      } else if (armed === 'all') moving.push({ stage, slot, results });
    }
    // From the end, so that a stage is free by the time the build behind it wants in; and one step a round, so that the
    // gates of the next are asked of proxies that run the table of this one.
    for (const { stage, slot, results } of moving.reverse()) {
      if (await this.#on(service.name, stage, slot, results)) return;
    }
  }

  async #back(service: Service, stage: Stage, slot: Slot, results: readonly GateResult[]): Promise<void> {
    const reason = failures(results);
    const users = await usersOf(service, stage, this.#options.edges.usersMet);
    const { change, committed } = await carryOut(
      this.#context,
      service.name,
      ({ pipeline, state }, actor) => {
        // Somebody may have acted meanwhile; the verdict is about this build in this place.
        if (!sameSlot(state.stages[stage.name], slot)) return undefined;
        return rollback(pipeline, state, actor, { stage: stage.name, mode: 'evacuate', reason });
      },
      { reason: `a gate of ${stage.name} failed: ${reason}`, gates: results.map(summary), users },
    );
    if (change === undefined) return;
    const detail = users === undefined ? reason : `${reason}; ${users}`;
    this.#say(service.name, stage.name, 'rollback', detail, committed?.commit);
  }

  async #on(name: string, stage: Stage, slot: Slot, results: readonly GateResult[]): Promise<boolean> {
    const waiting = results.filter(({ verdict }) => verdict === 'hold');
    if (waiting.length > 0) {
      this.#say(name, stage.name, 'hold', waiting.map(({ gate, detail }) => `${gate}: ${detail}`).join('; '));
      return false;
    }
    if (stage.promote === 'manual') {
      this.#say(name, stage.name, 'hold', 'the gates pass; promotion is manual');
      return false;
    }
    try {
      const { change, committed } = await carryOut(
        this.#context,
        name,
        (service, actor) => {
          const { pipeline, state } = service;
          if (!sameSlot(state.stages[stage.name], slot)) return undefined;
          const closed = freezeFor(pipeline, service, stage.name, this.#options.edges.now());
          if (closed !== undefined) throw new Refused(closed);
          return advance(pipeline, state, actor, { stage: stage.name, supersede: false, force: false });
        },
        { reason: undefined, gates: results.map(summary) },
      );
      if (change !== undefined)
        this.#say(
          name,
          change.stage,
          change.verb,
          results.map(summary).join('; ') || 'no gates',
          committed?.commit,
        );
      return true;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.#say(name, stage.name, 'hold', error.message);
      return false;
    }
  }

  #say(service: string, stage: string, what: string, detail: string, commit?: string): void {
    const key = `${service}/${stage}`;
    const essence = `${what} ${detail.replace(/\d+(\.\d+)?/g, '#')}`;
    if (commit === undefined && this.#said.get(key) === essence) return;
    this.#said.set(key, essence);
    this.#options.say({
      at: new Date(this.#options.edges.now()).toISOString(),
      service,
      stage,
      what,
      detail,
      commit,
    });
  }
}

/** A run of this machine that was killed need not be waited for. Were it wrong, the branch would still decide. */
function isGone(holder: Holder, own: Holder): boolean {
  return holder.host === own.host && (holder.pid === own.pid || !isAlive(holder.pid));
}

/** A build that has moved on is watched where users still meet it, until it is what production runs. */
function isArmed({ pipeline, state }: Service, stage: Stage, slot: Slot): boolean {
  const production = pipeline.stages.at(-1)!.name;
  return (
    slot.status === 'passed' && stage.name !== production && slot.image !== state.stages[production]!.image
  );
}

function sameSlot(now: Slot | undefined, then: Slot): boolean {
  return (
    now !== undefined &&
    now.image === then.image &&
    now.status === then.status &&
    now.step === then.step &&
    now.stepSince === then.stepSince
  );
}

function freezeFor(pipeline: Pipeline, service: Service, stage: string, now: number): string | undefined {
  const entered = stageEntered(service, stage, undefined, 'advance');
  // A build that stays where it is enters nothing.
  if (entered === stage && stage === pipeline.stages.at(-1)!.name) return undefined;
  return frozen(pipeline.freeze, entered, now);
}

function failures(results: readonly GateResult[]): string {
  return results
    .filter(({ verdict }) => verdict === 'fail')
    .map(({ gate, detail }) => `${gate}: ${detail}`)
    .join('; ');
}
