/** `pointsman stage`: builds through the stages, every change a commit. */

import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { parseArgs } from 'node:util';
import { pipelineOf, rendered, type Service, serviceOf, servicesIn } from '../stages/catalogue.ts';
import { evaluate, REAL_EDGES } from '../stages/gates/evaluate.ts';
import { type GateResult, summary, together } from '../stages/gates/verdict.ts';
import { GitFailed } from '../stages/git/git.ts';
import { RaceLost, Repository, RepositoryUnusable } from '../stages/git/repository.ts';
import { versionOf } from '../stages/image.ts';
import { Refused } from '../stages/machine.ts';
import { HISTORY_FORMAT, parseHistory, subjectOf } from '../stages/message.ts';
import { LEGEND, overviewDetails, overviewOf, overviewTable } from '../stages/overview.ts';
import { manifestsFolder } from '../stages/render.ts';
import { observationsOf, type RunEvent, Runner } from '../stages/runner.ts';
import { stateFile } from '../stages/state.ts';
import { InvalidFiles } from '../stages/strict-yaml.ts';
import {
  approveBuild,
  type Context,
  deployTo,
  GateClosed,
  init,
  move,
  pushTarget,
  type Result,
  render,
  rollBack,
} from '../stages/verbs.ts';
import { type CommandIo, UsageError } from './io.ts';
import { STAGE_HELP } from './stage-help.ts';

const OPTIONS = {
  repo: { type: 'string', short: 'C', default: '.' },
  image: { type: 'string' },
  namespace: { type: 'string' },
  stage: { type: 'string' },
  to: { type: 'string' },
  reason: { type: 'string', short: 'm' },
  output: { type: 'string', short: 'o', default: 'text' },
  force: { type: 'boolean', default: false },
  supersede: { type: 'boolean', default: false },
  drain: { type: 'boolean', default: false },
  evacuate: { type: 'boolean', default: false },
  push: { type: 'boolean' },
  'no-push': { type: 'boolean' },
  'dry-run': { type: 'boolean', short: 'n', default: false },
  gates: { type: 'boolean', default: false },
  check: { type: 'boolean', default: false },
  once: { type: 'boolean', default: false },
  limit: { type: 'string' },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

type Values = ReturnType<typeof parseArgs<{ options: typeof OPTIONS; allowPositionals: true }>>['values'];

interface Call {
  readonly values: Values;
  readonly rest: readonly string[];
  readonly io: CommandIo;
  readonly context: Context;
}

interface Verb {
  readonly run: (call: Call) => Promise<number>;
  /** Least and most arguments after the verb. */
  readonly takes: readonly [number, number];
  readonly names: string;
  readonly options: readonly (keyof Values)[];
}

const COMMON = ['repo', 'output', 'help'] as const;
const CHANGES = [...COMMON, 'reason', 'dry-run', 'push', 'no-push'] as const;

const VERBS: Readonly<Record<string, Verb>> = {
  init: { run: runInit, takes: [1, 1], names: 'SERVICE', options: [...CHANGES, 'image', 'namespace'] },
  deploy: {
    run: runDeploy,
    takes: [2, 2],
    names: 'SERVICE IMAGE',
    options: [...CHANGES, 'force', 'supersede'],
  },
  advance: {
    run: runMove,
    takes: [1, 1],
    names: 'SERVICE',
    options: [...CHANGES, 'force', 'supersede', 'stage'],
  },
  promote: {
    run: runMove,
    takes: [1, 1],
    names: 'SERVICE',
    options: [...CHANGES, 'force', 'supersede', 'stage', 'to'],
  },
  rollback: {
    run: runRollback,
    takes: [1, 1],
    names: 'SERVICE',
    options: [...CHANGES, 'stage', 'to', 'drain', 'evacuate'],
  },
  approve: { run: runApprove, takes: [1, 1], names: 'SERVICE', options: [...CHANGES, 'stage'] },
  render: { run: runRender, takes: [0, 1_000], names: '[SERVICE…]', options: [...CHANGES, 'check'] },
  status: { run: runStatus, takes: [0, 1], names: '[SERVICE]', options: [...COMMON, 'gates'] },
  diff: { run: runDiff, takes: [1, 3], names: 'SERVICE [FROM [TO]]', options: COMMON },
  history: { run: runHistory, takes: [1, 1], names: 'SERVICE', options: [...COMMON, 'limit', 'stage'] },
  run: {
    run: runLoop,
    takes: [0, 1_000],
    names: '[SERVICE…]',
    options: [...COMMON, 'push', 'no-push', 'once'],
  },
};

/** Exit codes: 0 done; 1 failed; 2 usage or files; 3 a gate, a freeze or a rule refuses; 4 the repository; 5 lost a race. */
export async function stage(args: readonly string[], io: CommandIo): Promise<number> {
  const { values, positionals, tokens } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: OPTIONS,
    tokens: true,
  });
  const [name, ...rest] = positionals;
  if (values.help || name === 'help') {
    io.stdout(STAGE_HELP);
    return 0;
  }
  if (name === undefined) throw new UsageError(`name a verb: ${Object.keys(VERBS).join(', ')}`);
  const verb = Object.hasOwn(VERBS, name) ? VERBS[name]! : undefined;
  if (verb === undefined)
    throw new UsageError(`there is no verb "${name}"; verbs: ${Object.keys(VERBS).join(', ')}`);
  if (rest.length < verb.takes[0] || rest.length > verb.takes[1])
    throw new UsageError(`write: pointsman stage ${name} ${verb.names}`);
  for (const token of tokens) {
    if (token.kind === 'option' && !(verb.options as readonly string[]).includes(token.name))
      throw new UsageError(`stage ${name} has no option --${token.name}`);
  }
  if (values.output !== 'text' && values.output !== 'json')
    throw new UsageError(`--output is text or json, not "${values.output}"`);
  if (values.force && (values.reason ?? '').trim() === '')
    throw new UsageError('--force needs --reason: why the rules do not hold this time');
  if (values.push === true && values['no-push'] === true)
    throw new UsageError('--push and --no-push exclude each other');
  try {
    const repository = await Repository.open(values.repo);
    const context: Context = {
      repository,
      environment: io.environment,
      by: (verb.options as readonly string[]).includes('push') ? await repository.identity() : '',
      now: Date.now,
      push: values.push === true ? true : values['no-push'] === true ? false : undefined,
      dryRun: values['dry-run'],
    };
    return await verb.run({ values, rest: [name, ...rest], io, context });
  } catch (error) {
    return report(error, values, io);
  }
}

const CODES: readonly (readonly [new (...args: never[]) => Error, number, string])[] = [
  [InvalidFiles, 2, 'invalid'],
  [GateClosed, 3, 'closed'],
  [Refused, 3, 'refused'],
  [RepositoryUnusable, 4, 'repository'],
  [RaceLost, 5, 'race'],
  [GitFailed, 1, 'git'],
];

function report(error: unknown, { output }: Values, io: CommandIo): number {
  const known = CODES.find(([kind]) => error instanceof kind);
  if (known === undefined) throw error;
  const { message } = error as Error;
  if (output === 'json') io.stdout(`${JSON.stringify({ error: { kind: known[2], message } }, null, 2)}\n`);
  io.stderr(`${error instanceof InvalidFiles ? '' : 'pointsman stage: '}${message}\n`);
  return known[1];
}

function done({ values, io, rest }: Call, { change, committed, patch, users }: Result): number {
  const service = rest[1] ?? '';
  if (values.output === 'json') {
    io.stdout(
      `${JSON.stringify({ changed: change !== undefined, ...(change === undefined ? {} : { change }), ...(committed ?? {}), ...(patch === undefined ? {} : { patch }), ...(users === undefined ? {} : { users }) }, null, 2)}\n`,
    );
    return 0;
  }
  if (patch !== undefined) io.stdout(patch === '' ? 'nothing to do\n' : patch);
  else if (change === undefined || committed === undefined) io.stdout('nothing to do\n');
  else
    io.stdout(
      `${subjectOf({ service, change })}\n${users === undefined ? '' : `${users}\n`}${committed.commit.slice(0, 12)}${committed.pushed ? ', pushed' : ''}\n`,
    );
  return 0;
}

async function runInit(call: Call): Promise<number> {
  const { values, rest, context } = call;
  return done(
    call,
    await init(context, rest[1]!, {
      image: values.image,
      namespace: values.namespace,
      reason: values.reason,
    }),
  );
}

async function runDeploy(call: Call): Promise<number> {
  const { values, rest, context } = call;
  const { supersede, force, reason } = values;
  return done(call, await deployTo(context, rest[1]!, rest[2]!, { supersede, force, reason, gates: [] }));
}

async function runMove(call: Call): Promise<number> {
  const { values, rest, context } = call;
  const kind = rest[0] as 'advance' | 'promote';
  const { supersede, force, reason, stage: from, to } = values;
  const result = await move(
    context,
    rest[1]!,
    kind,
    { supersede, force, reason, stage: from, to },
    async (service, name) => {
      const results = await askGates(context, service, name);
      const verdict = together(results);
      if (verdict !== 'pass' && !force) {
        const closed = results
          .filter((one) => one.verdict !== 'pass')
          .map((one) => `  ${one.verdict} ${one.gate}: ${one.detail}`);
        throw new GateClosed(
          `the gates of ${name} are closed for ${versionOf(service.state.stages[name]!.image!)}\n${closed.join('\n')}\nto go on all the same: --force --reason`,
        );
      }
      return {
        gates: results.map(summary),
        forced: results
          .filter((one) => one.verdict !== 'pass')
          .map((one) => `gate:${one.gate.replaceAll(' ', '-')}`),
      };
    },
  );
  return done(call, result);
}

/**
 * Asks every gate of a build now. What is seen of its figures is kept for the next time, so that gates pass without
 * `stage run` too, by asking again.
 */
async function askGates(
  { repository, environment, push, dryRun }: Context,
  service: Service,
  name: string,
): Promise<readonly GateResult[]> {
  const found = service.pipeline.stages.find((one) => one.name === name)!;
  const record = observationsOf(repository.git, await pushTarget(repository, environment, push));
  const { value, oid } = await record.read();
  const key = `${service.name}/${name}`;
  const slot = service.state.stages[name]!;
  const { table } = rendered(service);
  const { results, observation } = await evaluate(service, found, slot, table, value?.[key], REAL_EDGES);
  // Somebody who wrote meanwhile saw as much as we did.
  if (!dryRun) await record.write({ ...value, [key]: observation }, oid);
  return results;
}

async function runRollback(call: Call): Promise<number> {
  const { values, rest, context } = call;
  if (values.drain && values.evacuate) throw new UsageError('--drain and --evacuate exclude each other');
  const { stage: from, to, reason } = values;
  const mode = values.drain ? 'drain' : 'evacuate';
  return done(
    call,
    await rollBack(context, rest[1]!, {
      stage: from,
      to,
      mode,
      reason: reason ?? 'rolled back by hand',
      gates: [],
      usersMet: REAL_EDGES.usersMet,
    }),
  );
}

async function runApprove(call: Call): Promise<number> {
  const { values, rest, context } = call;
  return done(call, await approveBuild(context, rest[1]!, { stage: values.stage, reason: values.reason }));
}

async function runRender(call: Call): Promise<number> {
  const { values, rest, context, io } = call;
  const result = await render(
    { ...context, dryRun: context.dryRun || values.check },
    rest.slice(1),
    values.reason,
  );
  if (!values.check) return done(call, result);
  done(call, result);
  if (result.change === undefined) return 0;
  io.stderr(
    'pointsman stage: the manifests are not what templates and state give; pointsman stage render commits them\n',
  );
  return 1;
}

async function runStatus({ values, rest, io, context }: Call): Promise<number> {
  const { repository, environment } = context;
  const snapshot = await repository.read(await repository.head());
  const pipeline = pipelineOf(snapshot, environment);
  const names = rest[1] === undefined ? servicesIn(snapshot) : [rest[1]];
  const now = context.now();
  const overviews = [];
  for (const name of names) {
    const service = serviceOf(snapshot, name, environment, pipeline);
    const asked = new Map<string, readonly GateResult[]>();
    if (values.gates) {
      for (const { name: on } of pipeline.stages) {
        if (service.state.stages[on]!.status === 'running')
          asked.set(on, await askGates(context, service, on));
      }
    }
    overviews.push(overviewOf(service, now, asked));
  }
  if (values.output === 'json')
    io.stdout(`${JSON.stringify(rest[1] === undefined ? overviews : overviews[0], null, 2)}\n`);
  else if (rest[1] === undefined)
    io.stdout(overviewTable(overviews, now) + (overviews.length === 0 ? '' : LEGEND));
  else io.stdout(overviewDetails(overviews[0]!, now));
  return 0;
}

async function runDiff({ rest, io, context, values }: Call): Promise<number> {
  const { repository, environment } = context;
  const [, name = '', from, to = 'HEAD'] = rest;
  serviceOf(await repository.read(await repository.head()), name, environment);
  const commitOf = async (text: string) => {
    const found = text.startsWith('-')
      ? undefined
      : await repository.git.maybe(['rev-parse', '-q', '--verify', `${text}^{commit}`]);
    if (found === undefined) throw new Refused(`there is no commit "${text}"`);
    return found;
  };
  const paths = [manifestsFolder(name), `services/${name}`];
  let older: string;
  let newer = await commitOf(to);
  if (from !== undefined) older = await commitOf(from);
  else {
    newer = await repository.git.line(['rev-list', '-1', 'HEAD', '--', stateFile(name)]);
    older =
      (await repository.git.maybe(['rev-parse', '-q', '--verify', `${newer}^`])) ??
      '4b825dc642cb6eb9a060e54bf8d69288fbee4904';
  }
  const patch = await repository.git.text([
    'diff',
    '--no-color',
    '--no-ext-diff',
    older,
    newer,
    '--',
    ...paths,
  ]);
  io.stdout(
    values.output === 'json' ? `${JSON.stringify({ from: older, to: newer, patch }, null, 2)}\n` : patch,
  );
  return 0;
}

async function runHistory({ values, rest, io, context }: Call): Promise<number> {
  const limit = values.limit === undefined ? 100 : Number(values.limit);
  if (!Number.isInteger(limit) || limit < 1) throw new UsageError('--limit is a whole number from 1');
  const { repository, environment } = context;
  const name = rest[1]!;
  serviceOf(await repository.read(await repository.head()), name, environment);
  const text = await repository.git.text([
    'log',
    '--first-parent',
    `--format=${HISTORY_FORMAT}`,
    repository.ref,
    '--',
    stateFile(name),
    `services/${name}`,
  ]);
  const entries = parseHistory(text)
    .filter((entry) => values.stage === undefined || entry.stage === values.stage)
    .slice(0, limit);
  if (values.output === 'json') io.stdout(`${JSON.stringify(entries, null, 2)}\n`);
  else {
    for (const { commit, at, subject, by, reason, forced, users } of entries) {
      io.stdout(
        `${commit.slice(0, 12)}  ${at}  ${subject}${by === '' ? '' : `  by ${by}`}${forced === '' ? '' : `  forced: ${forced}`}${reason === '' ? '' : `\n              ${reason}`}${users === '' ? '' : `\n              ${users}`}\n`,
      );
    }
  }
  return 0;
}

async function runLoop({ values, rest, io, context }: Call): Promise<number> {
  const say = (event: RunEvent) =>
    io.stdout(values.output === 'json' ? `${JSON.stringify(event)}\n` : `${eventLine(event)}\n`);
  const holder = { id: randomUUID(), host: hostname(), pid: process.pid };
  const runner = new Runner(context, { services: rest.slice(1), holder, say, edges: REAL_EDGES });
  if (values.once) {
    const end = await runner.round();
    if (end === 'done') await runner.release();
    return 0;
  }
  let stopping = false;
  let wake: () => void = () => {};
  const stop = () => {
    stopping = true;
    wake();
  };
  process.once('SIGTERM', stop).once('SIGINT', stop);
  // What a person or the network must put right is said once, and tried again; a mistake of ours ends the run.
  let complaint = '';
  const complain = (error: unknown) => {
    if (!CODES.some(([kind]) => error instanceof kind)) throw error;
    const { message } = error as Error;
    if (message !== complaint) io.stderr(`pointsman stage: ${message}\n`);
    complaint = message;
  };
  while (!stopping) {
    let interval = 15_000;
    try {
      await runner.round();
      complaint = '';
      const { repository, environment } = context;
      interval = pipelineOf(await repository.read(await repository.head()), environment).run.interval;
    } catch (error) {
      complain(error);
    }
    if (stopping) break;
    await new Promise<void>((resolve) => {
      wake = resolve;
      setTimeout(resolve, interval);
    });
  }
  await runner.release().catch(complain);
  return 0;
}

function eventLine({ at, service, stage: name, what, detail, commit }: RunEvent): string {
  return [at, what, service, name, detail, commit?.slice(0, 12)]
    .filter((part) => part !== undefined && part !== '')
    .join('  ');
}
