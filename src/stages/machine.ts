/**
 * What each verb makes of a service: pure functions from state to state. They know nothing of gates, freezes or git;
 * they keep the promises that hold whatever those say:
 *
 * - a stage holds one build, and a newer one takes its place only by `supersede`
 * - a build reaches the last stage only after all the others, or with a skip on record
 * - a build that was rolled back does not come again without force
 * - a build enters a stage at the first weight of the plan, and only once the track is down at that weight: a cluster
 *   brings images and tables in any order, so that a new image could else meet the users of the last one's 25 percent
 * - a rollback is always possible, and leaves the build on no stage beyond the one it is sent back to
 */

import type { Pipeline, Stage } from './definition.ts';
import { stageIndex } from './definition.ts';
import { judgeImage, versionOf } from './image.ts';
import type { ServiceState, Slot } from './state.ts';

/** A verb that cannot be carried out as things are; the message says why and what to do. */
export class Refused extends Error {}

export interface Actor {
  /** `Name <address>`. */
  readonly by: string;
  /** ISO 8601 in UTC. */
  readonly at: string;
}

/** What a verb did, for the commit. */
export interface Change {
  readonly verb: 'init' | 'deploy' | 'advance' | 'promote' | 'rollback' | 'approve' | 'render';
  /** The stage that changed most: where the build is now, or was. */
  readonly stage: string;
  readonly image: string | undefined;
  readonly before: string | undefined;
  /** Percentages, of a weight step. */
  readonly weights?: readonly [number, number];
  /** Rules of the pipeline that were overridden. */
  readonly forced: readonly string[];
}

export interface Outcome {
  readonly state: ServiceState;
  readonly change: Change;
}

/** Held builds and earlier productions remembered. */
const MAX_HELD = 100;
const MAX_PREVIOUS = 10;

/** A new service: nothing anywhere, or `image`, which runs in production already, everywhere. */
export function initial(pipeline: Pipeline, image: string | undefined, actor: Actor): ServiceState {
  if (image !== undefined) requireImage(image);
  const stages: Record<string, Slot> = {};
  for (const { name } of pipeline.stages)
    stages[name] = fresh(image === undefined ? 'empty' : 'stable', image, actor);
  const builds =
    image === undefined
      ? {}
      : { [image]: { passed: earlier(pipeline, pipeline.stages.length - 1), skipped: {} } };
  return { stages, builds, held: [], previous: [] };
}

export interface DeployOptions {
  readonly supersede: boolean;
  readonly force: boolean;
}

/** Puts a new build on the first stage. Undefined: it is there already. */
export function deploy(
  pipeline: Pipeline,
  state: ServiceState,
  image: string,
  actor: Actor,
  options: DeployOptions,
): Outcome | undefined {
  requireImage(image);
  const first = pipeline.stages[0]!;
  const slot = state.stages[first.name]!;
  if (slot.image === image && slot.status !== 'draining') return undefined;
  const forced = releaseHold(state, image, options.force);
  const elsewhere = pipeline.stages.find(({ name }) => {
    const { status, image: other } = state.stages[name]!;
    return other === image && (status === 'running' || status === 'passed');
  });
  if (elsewhere !== undefined)
    throw new Refused(`${versionOf(image)} is under way already, on the stage ${elsewhere.name}`);
  if (state.stages[pipeline.stages.at(-1)!.name]!.image === image)
    throw new Refused(`${versionOf(image)} is in production already`);
  refuseOccupied(first, slot, image, options);
  const next = withSlot(state, first.name, fresh('running', image, actor));
  return {
    state: tidy(pipeline, {
      ...next,
      builds: { ...next.builds, [image]: next.builds[image] ?? { passed: [], skipped: {} } },
      held: next.held.filter((held) => held.image !== image),
    }),
    change: { verb: 'deploy', stage: first.name, image, before: slot.image, forced },
  };
}

export interface MoveOptions extends DeployOptions {
  /** The stage whose build moves; default: the furthest one with a build on trial. */
  readonly stage?: string | undefined;
  /** The stage it goes to; default: the next. Beyond the next it is a skip, which needs force. */
  readonly to?: string | undefined;
  readonly reason?: string | undefined;
}

/** The stage whose build a verb is about. */
export function stageOnTrial(pipeline: Pipeline, state: ServiceState, wanted: string | undefined): Stage {
  if (wanted !== undefined) {
    const stage = requireStage(pipeline, wanted);
    if (state.stages[stage.name]!.status !== 'running') {
      throw new Refused(
        `no build is on trial on the stage ${wanted} (it is ${state.stages[stage.name]!.status})`,
      );
    }
    return stage;
  }
  const found = movable(pipeline).findLast(({ name }) => state.stages[name]!.status === 'running');
  if (found === undefined)
    throw new Refused('no build is on trial on a stage before the last; deploy one first');
  return found;
}

/** The next step of the plan: a higher weight, else the next stage. */
export function advance(
  pipeline: Pipeline,
  state: ServiceState,
  actor: Actor,
  options: MoveOptions,
): Outcome {
  const stage = stageOnTrial(pipeline, state, options.stage);
  const slot = state.stages[stage.name]!;
  const last = stageIndex(pipeline, stage.name) === pipeline.stages.length - 1;
  if (slot.step + 1 < stage.weights.length) {
    return {
      state: withSlot(state, stage.name, { ...slot, step: slot.step + 1, stepSince: actor.at, by: actor.by }),
      change: {
        verb: 'advance',
        stage: stage.name,
        image: slot.image,
        before: slot.image,
        weights: [stage.weights[slot.step]!, stage.weights[slot.step + 1]!],
        forced: [],
      },
    };
  }
  return last
    ? settle(pipeline, state, stage, slot)
    : promote(pipeline, state, actor, { ...options, stage: stage.name });
}

/** A build that is about to be overtaken goes down to the first weight; the one that wants in follows once that is in force. */
function makeRoom(state: ServiceState, stage: Stage, slot: Slot, actor: Actor): Outcome {
  return {
    state: withSlot(state, stage.name, { ...slot, step: 0, stepSince: actor.at, by: actor.by }),
    change: {
      verb: 'advance',
      stage: stage.name,
      image: slot.image,
      before: slot.image,
      weights: [stage.weights[slot.step]!, stage.weights[0]!],
      forced: [],
    },
  };
}

/** In production and past its gates: nothing more is to come for this build. */
function settle(pipeline: Pipeline, state: ServiceState, stage: Stage, slot: Slot): Outcome {
  const next = withSlot(state, stage.name, { ...slot, status: 'stable', approvals: [] });
  return {
    state: tidy(pipeline, next),
    change: { verb: 'advance', stage: stage.name, image: slot.image, before: slot.image, forced: [] },
  };
}

/** Moves a build one stage on. Gates are the caller's to ask. */
export function promote(
  pipeline: Pipeline,
  state: ServiceState,
  actor: Actor,
  options: MoveOptions,
): Outcome {
  const stage = stageOnTrial(pipeline, state, options.stage);
  const index = stageIndex(pipeline, stage.name);
  if (index === pipeline.stages.length - 1)
    throw new Refused(`${versionOf(state.stages[stage.name]!.image!)} is on the last stage already`);
  const target =
    options.to === undefined ? index + 1 : stageIndex(pipeline, requireStage(pipeline, options.to).name);
  if (target <= index)
    throw new Refused(`${options.to} is not after ${stage.name}; to go back, use rollback`);
  const slot = state.stages[stage.name]!;
  const image = slot.image!;
  const build = state.builds[image] ?? { passed: [], skipped: {} };
  const forced = releaseHold(state, image, options.force);
  if (slot.step + 1 < stage.weights.length) {
    if (!options.force) {
      throw new Refused(
        `${stage.name} is at ${stage.weights[slot.step]} % of the plan ${stage.weights.join(' → ')}; advance takes it to ${stage.weights[slot.step + 1]} %, or use --force --reason`,
      );
    }
    forced.push('weights');
  }
  const skipped = pipeline.stages.slice(index + 1, target).map(({ name }) => name);
  if (skipped.length > 0) {
    if (!options.force)
      throw new Refused(`that would skip ${skipped.join(' and ')}; a skip needs --force --reason`);
    forced.push(...skipped.map((name) => `skip:${name}`));
  }
  const goal = pipeline.stages[target]!;
  const goalSlot = state.stages[goal.name]!;
  if (target < pipeline.stages.length - 1) refuseOccupied(goal, goalSlot, image, options);
  const passed = [...new Set([...build.passed, stage.name])];
  const reasons = {
    ...build.skipped,
    ...Object.fromEntries(skipped.map((name) => [name, options.reason ?? ''])),
  };
  const missing = earlier(pipeline, target).filter(
    (name) => !passed.includes(name) && reasons[name] === undefined,
  );
  if (missing.length > 0) {
    if (!options.force)
      throw new Refused(
        `${versionOf(image)} has not been through ${missing.join(' and ')}; a skip needs --force --reason`,
      );
    for (const name of missing) reasons[name] = options.reason ?? '';
    forced.push(...missing.map((name) => `skip:${name}`));
  }
  const inTheWay =
    target < pipeline.stages.length - 1 && goalSlot.status === 'running' && goalSlot.image !== image;
  if (inTheWay && goalSlot.step > 0) return makeRoom(state, goal, goalSlot, actor);
  // Back to the first weight: the next build finds the track ready for it.
  let next = withSlot(state, stage.name, { ...slot, status: 'passed', step: 0, approvals: [] });
  next = withSlot(next, goal.name, fresh('running', image, actor));
  const inProduction = target === pipeline.stages.length - 1;
  return {
    state: tidy(pipeline, {
      ...next,
      builds: { ...next.builds, [image]: { passed, skipped: reasons } },
      held: next.held.filter((held) => held.image !== image),
      previous:
        inProduction && goalSlot.image !== undefined && goalSlot.image !== image
          ? [
              goalSlot.image,
              ...state.previous.filter((old) => old !== goalSlot.image && old !== image),
            ].slice(0, MAX_PREVIOUS)
          : state.previous,
    }),
    change: { verb: 'promote', stage: goal.name, image, before: goalSlot.image, forced },
  };
}

export interface RollbackOptions {
  /** The stage whose build goes back; default: the furthest one with a build on trial, else production. */
  readonly stage?: string | undefined;
  /** The furthest stage that the build stays on; default: none. */
  readonly to?: string | undefined;
  /** `drain`: users pinned to the build stay on it; `evacuate`: nobody does. */
  readonly mode: 'drain' | 'evacuate';
  readonly reason: string;
}

/** Takes a build off every stage beyond `to`; they run what production runs. Never refused while there is anything to do. */
export function rollback(
  pipeline: Pipeline,
  state: ServiceState,
  actor: Actor,
  options: RollbackOptions,
): Outcome {
  const stage = stageToRollBack(pipeline, state, options.stage);
  const image = state.stages[stage.name]!.image;
  if (image === undefined) throw new Refused(`no build is on the stage ${stage.name}`);
  const lastIndex = pipeline.stages.length - 1;
  const production = pipeline.stages[lastIndex]!.name;
  const inProduction = state.stages[production]!.image === image;
  const good = inProduction ? state.previous[0] : state.stages[production]!.image;
  if (inProduction && good === undefined) {
    throw new Refused(
      `${versionOf(image)} is in production and nothing ran there before; deploy a build to go back to`,
    );
  }
  const keepUpTo =
    options.to === undefined ? -1 : stageIndex(pipeline, requireStage(pipeline, options.to).name);
  if (keepUpTo >= stageIndex(pipeline, stage.name))
    throw new Refused(`${options.to} is not before ${stage.name}`);
  const stages: Record<string, Slot> = { ...state.stages };
  for (const [index, { name }] of pipeline.stages.entries()) {
    const slot = state.stages[name]!;
    if (slot.image !== image) continue;
    if (index <= keepUpTo) {
      stages[name] =
        index === keepUpTo
          ? { ...slot, status: 'running', approvals: [], since: actor.at, stepSince: actor.at, by: actor.by }
          : slot;
      continue;
    }
    const carriesUsers =
      (slot.status === 'running' || slot.status === 'passed') && index < lastIndex && index > 0;
    stages[name] =
      options.mode === 'drain' && carriesUsers
        ? { ...slot, status: 'draining', approvals: [], stepSince: actor.at, by: actor.by }
        : fresh(good === undefined ? 'empty' : 'stable', good, actor);
  }
  const hold = { image, at: actor.at, by: actor.by, reason: options.reason };
  return {
    state: tidy(pipeline, {
      ...state,
      stages,
      builds: {
        ...state.builds,
        ...(state.builds[image] === undefined
          ? {}
          : { [image]: { ...state.builds[image], passed: earlier(pipeline, Math.max(0, keepUpTo)) } }),
      },
      held: [hold, ...state.held.filter((held) => held.image !== image)].slice(0, MAX_HELD),
      previous: inProduction ? state.previous.slice(1) : state.previous.filter((old) => old !== image),
    }),
    change: {
      verb: 'rollback',
      stage: stage.name,
      image: inProduction ? good : state.stages[production]!.image,
      before: image,
      forced: [],
    },
  };
}

/** The stage that `rollback` without a choice is about. */
export function stageToRollBack(pipeline: Pipeline, state: ServiceState, wanted: string | undefined): Stage {
  if (wanted !== undefined) return requireStage(pipeline, wanted);
  const furthest = pipeline.stages.findLast(({ name }) => state.stages[name]!.status === 'running');
  return furthest ?? pipeline.stages.at(-1)!;
}

export function approve(
  pipeline: Pipeline,
  state: ServiceState,
  actor: Actor,
  options: { stage?: string | undefined; reason?: string | undefined },
): Outcome | undefined {
  const stage =
    options.stage === undefined
      ? stageAwaiting(pipeline, state)
      : stageOnTrial(pipeline, state, options.stage);
  const approval = stage.gates.approval;
  if (approval === undefined) throw new Refused(`the stage ${stage.name} asks for no approval`);
  const address = addressOf(actor.by);
  if (approval.by.length > 0 && !approval.by.some((who) => who.toLowerCase() === address)) {
    throw new Refused(`${address} may not approve ${stage.name}; those who may: ${approval.by.join(', ')}`);
  }
  const slot = state.stages[stage.name]!;
  if (slot.approvals.some(({ by }) => addressOf(by) === address)) return undefined;
  const given = {
    by: actor.by,
    at: actor.at,
    ...(options.reason === undefined ? {} : { reason: options.reason }),
  };
  return {
    state: withSlot(state, stage.name, { ...slot, approvals: [...slot.approvals, given].slice(-20) }),
    change: { verb: 'approve', stage: stage.name, image: slot.image, before: slot.image, forced: [] },
  };
}

function stageAwaiting(pipeline: Pipeline, state: ServiceState): Stage {
  const found = pipeline.stages.findLast(
    ({ name, gates }) => gates.approval !== undefined && state.stages[name]!.status === 'running',
  );
  if (found === undefined) throw new Refused('no build waits for an approval');
  return found;
}

/** The address in `Name <address>`, in small letters. */
export function addressOf(by: string): string {
  return (/<([^<>]*)>\s*$/.exec(by)?.[1] ?? by).trim().toLowerCase();
}

/**
 * Percent of the stage's groups that meet its track: a whole number, `drain` for none but pinned users, and 0 where
 * the track has no build of its own.
 */
export function weightOf(stage: Stage, slot: Slot): number | 'drain' {
  if (slot.status === 'draining') return 'drain';
  return slot.status === 'running' || slot.status === 'passed'
    ? stage.weights[Math.min(slot.step, stage.weights.length - 1)]!
    : 0;
}

/** Every promise that a state must keep, for tests and before each commit; undefined when it keeps them. */
export function brokenPromise(pipeline: Pipeline, state: ServiceState): string | undefined {
  const production = pipeline.stages.at(-1)!.name;
  const image = state.stages[production]!.image;
  if (image !== undefined) {
    const build = state.builds[image];
    const missing = earlier(pipeline, pipeline.stages.length - 1).filter(
      (name) => !(build?.passed.includes(name) ?? false) && build?.skipped[name] === undefined,
    );
    if (missing.length > 0)
      return `${versionOf(image)} would be in production without ${missing.join(' and ')}`;
  }
  for (const { name, weights } of pipeline.stages) {
    const slot = state.stages[name]!;
    if (slot.step >= weights.length && slot.status === 'running') return `${name} would be beyond its plan`;
  }
  return undefined;
}

function fresh(status: Slot['status'], image: string | undefined, { by, at }: Actor): Slot {
  return {
    status,
    ...(image === undefined ? {} : { image }),
    step: 0,
    since: at,
    stepSince: at,
    by,
    approvals: [],
  };
}

function withSlot(state: ServiceState, name: string, slot: Slot): ServiceState {
  return { ...state, stages: { ...state.stages, [name]: slot } };
}

function movable(pipeline: Pipeline): readonly Stage[] {
  return pipeline.stages.slice(0, -1);
}

function earlier(pipeline: Pipeline, index: number): string[] {
  return pipeline.stages.slice(0, index).map(({ name }) => name);
}

function requireStage(pipeline: Pipeline, name: string): Stage {
  const stage = pipeline.stages.find((candidate) => candidate.name === name);
  if (stage !== undefined) return stage;
  const byTrack = pipeline.stages.find(({ track }) => track === name);
  const hint =
    byTrack === undefined
      ? `stages: ${pipeline.stages.map((one) => one.name).join(', ')}`
      : `the track ${name} is that of the stage ${byTrack.name}`;
  throw new Refused(`there is no stage "${name}"; ${hint}`);
}

function requireImage(image: string): void {
  const verdict = judgeImage(image);
  if (!verdict.ok) throw new Refused(`"${image}" ${verdict.reason}`);
}

function refuseOccupied(stage: Stage, slot: Slot, image: string, options: DeployOptions): void {
  if (slot.status !== 'running' || slot.image === image || options.supersede || stage.supersede) return;
  throw new Refused(
    `${stage.name} holds ${versionOf(slot.image!)}, which is still on trial; let it move on, roll it back, or overtake it with --supersede`,
  );
}

function releaseHold(state: ServiceState, image: string, force: boolean): string[] {
  const hold = state.held.find((held) => held.image === image);
  if (hold === undefined) return [];
  if (!force) {
    throw new Refused(
      `${versionOf(image)} was rolled back at ${hold.at} (${hold.reason}); to bring it again use --force --reason`,
    );
  }
  return ['held'];
}

/** Forgets builds that are nowhere any more; tracks at rest follow production. */
function tidy(pipeline: Pipeline, state: ServiceState): ServiceState {
  const wanted = new Set([...state.previous, ...state.held.map(({ image }) => image)]);
  const stages = { ...state.stages };
  const { image: main } = stages[pipeline.stages.at(-1)!.name]!;
  for (const { name } of pipeline.stages) {
    const slot = stages[name]!;
    if (slot.status === 'stable' && main !== undefined && slot.image !== main)
      stages[name] = { ...slot, image: main };
    const { image } = stages[name]!;
    if (image !== undefined) wanted.add(image);
  }
  return {
    ...state,
    stages,
    builds: Object.fromEntries(Object.entries(state.builds).filter(([image]) => wanted.has(image))),
  };
}
