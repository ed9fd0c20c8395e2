/** The verbs over a repository: each plans from a commit, and makes one commit or none. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Environment } from '../config/environment.ts';
import { editsFor, pipelineOf, type Service, serviceOf, servicesIn } from './catalogue.ts';
import { PIPELINE_FILE } from './definition.ts';
import { frozen } from './freeze.ts';
import { type Edges, usersOf } from './gates/evaluate.ts';
import type { Committed, Plan, Repository, Snapshot } from './git/repository.ts';
import {
  type Actor,
  advance,
  approve,
  type Change,
  deploy,
  initial,
  type MoveOptions,
  type Outcome,
  promote,
  Refused,
  rollback,
  stageOnTrial,
  stageToRollBack,
} from './machine.ts';
import { commitMessage } from './message.ts';
import { readService, serviceFile, serviceNameFault, serviceText } from './service.ts';
import { readState, type ServiceState, stateFile } from './state.ts';

/** A gate or a freeze is closed; `force` overrides it. */
export class GateClosed extends Error {}

export interface Context {
  readonly repository: Repository;
  readonly environment: Environment;
  /** `Name <address>`. */
  readonly by: string;
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** Undefined: as the pipeline says. */
  readonly push: boolean | undefined;
  readonly dryRun: boolean;
}

export interface Result {
  readonly change: Change | undefined;
  /** Of a rollback: how many users met the build, in words. */
  readonly users?: string | undefined;
  readonly committed: Committed | undefined;
  /** Of a dry run. */
  readonly patch: string | undefined;
}

export interface Reasons {
  readonly force: boolean;
  readonly reason: string | undefined;
  /** `judge=pass (…)`, for the commit. */
  readonly gates: readonly string[];
  readonly users?: string | undefined;
}

/** Undefined: there is nothing to do. */
export type Step = (service: Service, actor: Actor) => Outcome | undefined | Promise<Outcome | undefined>;

/** Carries out one change of one service. */
export async function carryOut(
  context: Context,
  name: string,
  step: Step,
  { reason, gates, users }: Omit<Reasons, 'force'>,
): Promise<Result> {
  const result = await commitPlan(context, async (snapshot) => {
    const service = serviceOf(snapshot, name, context.environment);
    const actor = actorOf(context);
    const outcome = await step(service, actor);
    if (outcome === undefined) return undefined;
    const { change } = outcome;
    const message = commitMessage({ service: name, change, by: actor.by, reason, gates, users });
    return { change, plan: { edits: editsFor(service, outcome.state), message } };
  });
  return { ...result, users };
}

interface Planned {
  readonly change: Change;
  readonly plan: Plan;
}

async function commitPlan(
  context: Context,
  plan: (snapshot: Snapshot) => Promise<Planned | undefined>,
): Promise<Result> {
  const { repository, environment, dryRun } = context;
  const seconds = Math.floor(context.now() / 1_000);
  if (dryRun) {
    const head = await repository.head();
    const planned = await plan(await repository.read(head));
    if (planned === undefined) return { change: undefined, committed: undefined, patch: '' };
    const patch = await repository.preview(planned.plan, head, seconds);
    return {
      change: planned.change,
      committed: undefined,
      patch: `${planned.plan.message.replace(/^/gm, '    ').trimEnd()}\n\n${patch}`,
    };
  }
  let change: Change | undefined;
  const push = await pushTarget(repository, environment, context.push);
  const committed = await repository.commit(
    async (snapshot) => {
      const planned = await plan(snapshot);
      change = planned?.change;
      return planned?.plan;
    },
    { push, now: seconds },
  );
  return { change: committed === undefined ? undefined : change, committed, patch: undefined };
}

/** The remote to push to; undefined for none. */
export async function pushTarget(
  repository: Repository,
  environment: Environment,
  asked: boolean | undefined,
): Promise<string | undefined> {
  const snapshot = await repository.read(await repository.head(), [PIPELINE_FILE]);
  if (!snapshot.files.has(PIPELINE_FILE)) return asked === true ? 'origin' : undefined;
  const { git } = pipelineOf(snapshot, environment);
  return (asked ?? git.push) ? git.remote : undefined;
}

function actorOf(context: Context): Actor {
  return { by: context.by, at: new Date(context.now()).toISOString() };
}

const TEMPLATES = new URL('../../deploy/templates/', import.meta.url);

/** Lays a service down; with the first one the pipeline and the common templates too. */
export async function init(
  context: Context,
  name: string,
  options: { image: string | undefined; namespace: string | undefined; reason: string | undefined },
): Promise<Result> {
  const fault = serviceNameFault(name);
  if (fault !== undefined) throw new Refused(fault);
  return await commitPlan(context, (snapshot) => {
    if (snapshot.files.has(stateFile(name)))
      throw new Refused(`the service ${name} is there already; services/${name} holds it`);
    const files = new Map(snapshot.files);
    const edits = new Map<string, string | undefined>();
    const lay = (file: string, text: string) => {
      if (files.has(file)) return;
      files.set(file, text);
      edits.set(file, text);
    };
    if (!files.has(PIPELINE_FILE))
      lay(PIPELINE_FILE, readFileSync(new URL('pipeline.yaml', TEMPLATES), 'utf8'));
    for (const kind of ['track', 'pointsman']) {
      if ([...files.keys()].some((file) => file.startsWith(`templates/${kind}/`))) continue;
      for (const file of templateNames(kind))
        lay(`templates/${kind}/${file}`, readFileSync(new URL(`${kind}/${file}`, TEMPLATES), 'utf8'));
    }
    lay(serviceFile(name), serviceText(options.namespace));
    const laid = { ...snapshot, files };
    const pipeline = pipelineOf(laid, context.environment);
    const actor = actorOf(context);
    const state = initial(pipeline, options.image, actor);
    const definition = readService(files.get(serviceFile(name))!, name, pipeline);
    const service: Service = { name, pipeline, definition, state, files };
    for (const [file, text] of editsFor(service, state)) edits.set(file, text);
    const change: Change = { verb: 'init', stage: '', image: options.image, before: undefined, forced: [] };
    return Promise.resolve({
      change,
      plan: {
        edits,
        message: commitMessage({ service: name, change, by: actor.by, reason: options.reason, gates: [] }),
      },
    });
  });
}

function templateNames(kind: string): string[] {
  const folder = new URL(`${kind}/`, TEMPLATES);
  if (!existsSync(folder))
    throw new Refused(
      `the common templates are missing from this installation (${path.basename(folder.pathname)})`,
    );
  return readdirSync(folder)
    .filter((file) => file.endsWith('.yaml'))
    .sort();
}

/** Throws when nothing may enter the stage now. */
export function requireThawed(
  { pipeline }: Service,
  stage: string,
  now: number,
  force: boolean,
): readonly string[] {
  const why = frozen(pipeline.freeze, stage, now);
  if (why === undefined) return [];
  if (!force)
    throw new GateClosed(
      `nothing may enter the stage ${stage} now: ${why}; a rollback is always allowed, and --force --reason overrides`,
    );
  return ['freeze'];
}

export async function deployTo(
  context: Context,
  name: string,
  image: string,
  options: { supersede: boolean } & Reasons,
): Promise<Result> {
  const step: Step = (service, actor) => {
    const forced = requireThawed(service, service.pipeline.stages[0]!.name, context.now(), options.force);
    return withForced(deploy(service.pipeline, service.state, image, actor, options), forced);
  };
  return await carryOut(context, name, step, options);
}

export function withForced<T extends Outcome | undefined>(outcome: T, forced: readonly string[]): T {
  if (outcome === undefined || forced.length === 0) return outcome;
  return { ...outcome, change: { ...outcome.change, forced: [...outcome.change.forced, ...forced] } };
}

/** The stage that a step would enter: itself when only its weight grows. */
export function stageEntered(
  { pipeline, state }: Service,
  from: string,
  to: string | undefined,
  kind: 'advance' | 'promote',
): string {
  const index = pipeline.stages.findIndex(({ name }) => name === from);
  const stage = pipeline.stages[index]!;
  const grows = kind === 'advance' && state.stages[from]!.step + 1 < stage.weights.length;
  return grows ? from : (to ?? pipeline.stages[index + 1]?.name ?? from);
}

/** `check` judges the gates of the stage that is left and throws `GateClosed`; what it gives stands in the commit. */
export async function move(
  context: Context,
  name: string,
  kind: 'advance' | 'promote',
  options: MoveOptions & { readonly reason: string | undefined },
  check: (
    service: Service,
    stage: string,
  ) => Promise<{ gates: readonly string[]; forced: readonly string[] }>,
): Promise<Result> {
  return await commitPlan(context, async (snapshot) => {
    const service = serviceOf(snapshot, name, context.environment);
    const actor = actorOf(context);
    const stage = stageOnTrial(service.pipeline, service.state, options.stage).name;
    const verb = kind === 'advance' ? advance : promote;
    const outcome = verb(service.pipeline, service.state, actor, { ...options, stage });
    const entered = stageEntered(service, stage, options.to, kind);
    const forced = requireThawed(service, entered, context.now(), options.force);
    const checked = await check(service, stage);
    const done = withForced(outcome, [...forced, ...checked.forced]);
    const message = commitMessage({
      service: name,
      change: done.change,
      by: actor.by,
      reason: options.reason,
      gates: checked.gates,
    });
    return { change: done.change, plan: { edits: editsFor(service, done.state), message } };
  });
}

export interface BackOptions {
  readonly stage: string | undefined;
  /** A stage, or a commit whose builds come back. */
  readonly to: string | undefined;
  readonly mode: 'drain' | 'evacuate';
  readonly reason: string;
  readonly gates: readonly string[];
  readonly usersMet: Edges['usersMet'];
}

export async function rollBack(context: Context, name: string, options: BackOptions): Promise<Result> {
  const { repository, environment } = context;
  const known = serviceOf(await repository.read(await repository.head()), name, environment);
  const { stages } = known.pipeline;
  const isOfStage = options.to === undefined || stages.some((stage) => stage.name === options.to);
  const users = isOfStage
    ? await usersOf(known, stageToRollBack(known.pipeline, known.state, options.stage), options.usersMet)
    : undefined;
  const step: Step = async (service, actor) => {
    const { pipeline, state } = service;
    if (isOfStage) return rollback(pipeline, state, actor, options);
    const earlier = await stateAt(context, service, options.to!);
    return restored(service, earlier, actor, options);
  };
  return await carryOut(context, name, step, { ...options, users });
}

async function stateAt(
  { repository }: Context,
  { name, pipeline }: Service,
  commit: string,
): Promise<ServiceState> {
  const found = /^[-]/.test(commit)
    ? undefined
    : await repository.git.maybe(['rev-parse', '-q', '--verify', `${commit}^{commit}`]);
  if (found === undefined)
    throw new Refused(
      `"${commit}" is neither a stage nor a commit; stages: ${pipeline.stages.map((stage) => stage.name).join(', ')}`,
    );
  if ((await repository.git.maybe(['merge-base', '--is-ancestor', found, repository.ref])) === undefined)
    throw new Refused(`${commit} is not in the history of ${repository.branch}`);
  const text = (await repository.read(found, [stateFile(name)])).files.get(stateFile(name));
  if (text === undefined) throw new Refused(`${name} was not there yet in ${commit}`);
  return readState(text, name, pipeline);
}

/** Builds as they were; those that leave are held, and nothing that was not there then is left on a stage. */
function restored(
  service: Service,
  earlier: ServiceState,
  actor: Actor,
  { reason }: BackOptions,
): Outcome | undefined {
  const { pipeline, state } = service;
  const before = new Set(Object.values(earlier.stages).map(({ image }) => image));
  const gone = [...new Set(Object.values(state.stages).map(({ image }) => image))].filter(
    (image) => image !== undefined && !before.has(image),
  ) as string[];
  const same = pipeline.stages.every(({ name }) => {
    const a = state.stages[name]!;
    const b = earlier.stages[name]!;
    return a.image === b.image && a.status === b.status && a.step === b.step;
  });
  if (same) return undefined;
  const stages = Object.fromEntries(
    pipeline.stages.map(({ name }) => {
      const then = earlier.stages[name]!;
      const now = state.stages[name]!;
      return [
        name,
        now.image === then.image && now.status === then.status && now.step === then.step
          ? now
          : {
              ...then,
              step: now.image === then.image ? then.step : 0,
              approvals: [],
              since: actor.at,
              stepSince: actor.at,
              by: actor.by,
            },
      ];
    }),
  );
  const production = pipeline.stages.at(-1)!.name;
  return {
    state: {
      stages,
      builds: { ...state.builds, ...earlier.builds },
      held: [
        ...gone.map((image) => ({ image, at: actor.at, by: actor.by, reason })),
        ...state.held.filter(({ image }) => !gone.includes(image) && !before.has(image)),
      ].slice(0, 100),
      previous: earlier.previous,
    },
    change: {
      verb: 'rollback',
      stage: production,
      image: stages[production]?.image,
      before: state.stages[production]!.image,
      forced: [],
    },
  };
}

export async function approveBuild(
  context: Context,
  name: string,
  options: { stage: string | undefined; reason: string | undefined },
): Promise<Result> {
  return await carryOut(
    context,
    name,
    ({ pipeline, state }, actor) => approve(pipeline, state, actor, options),
    { reason: options.reason, gates: [] },
  );
}

/** Renders services anew, as one commit. */
export async function render(
  context: Context,
  names: readonly string[],
  reason: string | undefined,
): Promise<Result> {
  return await commitPlan(context, (snapshot) => {
    const pipeline = pipelineOf(snapshot, context.environment);
    const wanted = names.length === 0 ? servicesIn(snapshot) : names;
    const edits = new Map<string, string | undefined>();
    for (const name of wanted) {
      const service = serviceOf(snapshot, name, context.environment, pipeline);
      for (const [file, text] of editsFor(service, service.state)) edits.set(file, text);
    }
    if (edits.size === 0) return Promise.resolve(undefined);
    const change: Change = { verb: 'render', stage: '', image: undefined, before: undefined, forced: [] };
    const service = wanted.length === 1 ? wanted[0]! : `${wanted.length} services`;
    return Promise.resolve({
      change,
      plan: { edits, message: commitMessage({ service, change, by: context.by, reason, gates: [] }) },
    });
  });
}
