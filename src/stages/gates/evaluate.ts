/** All gates of one build on one stage. */

import type { Service } from '../catalogue.ts';
import type { Stage } from '../definition.ts';
import { versionOf } from '../image.ts';
import { addressOf } from '../machine.ts';
import { rowsOf } from '../promises.ts';
import type { RenderedTable } from '../render.ts';
import type { Slot } from '../state.ts';
import { askProxies, type ProxyAnswer, type ProxyView, type Question } from './figures.ts';
import { judge, NOTHING_OBSERVED, type Observation } from './judge.ts';
import { askPrometheus, askWebhook, type Fetch, fillSubject, type Subject } from './outside.ts';
import { type UsersQuestion, usersMet } from './users.ts';
import { type GateResult, span } from './verdict.ts';

export interface Edges {
  /** Epoch milliseconds. */
  readonly now: () => number;
  readonly fetch: Fetch;
  readonly askProxies: (question: Question) => Promise<readonly ProxyAnswer[]>;
  readonly usersMet: (question: UsersQuestion) => Promise<string | undefined>;
}

export const REAL_EDGES: Edges = {
  now: Date.now,
  fetch: (url, init) => fetch(url, init),
  askProxies,
  usersMet,
};

export interface Evaluation {
  readonly results: readonly GateResult[];
  readonly observation: Observation;
}

/**
 * @param table  as committed, which the proxies should run
 * @param observation  what `evaluate` gave last time; of another build or step it is left aside
 * @param only  `armed`: just what can roll a build back after it has passed
 */
export async function evaluate(
  service: Service,
  stage: Stage,
  slot: Slot,
  table: RenderedTable,
  observation: Observation | undefined,
  edges: Edges,
  only: 'all' | 'armed' = 'all',
): Promise<Evaluation> {
  const { gates } = stage;
  const subject = subjectOf(service, stage, slot);
  const key = `${slot.image} ${slot.step} ${slot.stepSince}`;
  let seen: Observation = observation?.key === key ? observation : { key, ...NOTHING_OBSERVED };
  const results: GateResult[] = only === 'all' ? plainGates(stage, slot, edges.now()) : [];
  if ((only === 'all' && gates.ready !== undefined) || gates.judge !== undefined) {
    const main = service.pipeline.stages.at(-1)!.track;
    const rows = rowsOf(table.config, stage);
    const answers = await edges.askProxies({
      urls: (service.definition.proxies ?? service.pipeline.proxies).map((url) => fillSubject(url, subject)),
      track: stage.track,
      main,
      routes: rows.map(({ name }) => name),
    });
    const inForce = tableInForce(answers, table.hash);
    if (only === 'all' && gates.ready !== undefined) {
      const { result, notReadySince } = readiness(
        gates.ready,
        stage,
        slot,
        answers,
        inForce,
        seen,
        edges.now(),
      );
      results.push(result);
      seen = { ...seen, notReadySince };
    }
    if (gates.judge !== undefined) {
      if (inForce !== undefined) results.push({ gate: 'judge', verdict: 'hold', detail: inForce });
      else {
        const proxies = Object.fromEntries(
          (answers as readonly ProxyView[]).map(({ url, sample }) => [url, sample]),
        );
        const hasMain = stage.track !== main && rows.some(({ split }) => (split[main] ?? 0) > 0);
        const judged = judge(gates.judge, seen, { at: edges.now(), proxies }, hasMain);
        seen = judged.observation;
        results.push(judged.result);
      }
    }
  }
  for (const query of gates.prometheus) {
    const { result, failed } = await askPrometheus(
      query,
      subject,
      edges.fetch,
      seen.queryErrors[query.name] ?? 0,
    );
    seen = {
      ...seen,
      queryErrors: {
        ...seen.queryErrors,
        [query.name]: failed ? (seen.queryErrors[query.name] ?? 0) + 1 : 0,
      },
    };
    results.push(result);
  }
  // Asked last and only when all else is well: a yes may start something at the other end.
  if (only === 'all' && gates.webhook !== undefined) {
    if (results.every(({ verdict }) => verdict === 'pass'))
      results.push(await askWebhook(gates.webhook, subject, edges.fetch));
    else results.push({ gate: 'webhook', verdict: 'hold', detail: 'asked once the other gates pass' });
  }
  return { results, observation: seen };
}

/** Time and people: known from the repository alone. */
export function plainGates({ gates, weights }: Stage, slot: Slot, now: number): GateResult[] {
  const results: GateResult[] = [];
  const time = (gate: string, since: string, wanted: number) => {
    const passed = now - Date.parse(since);
    const over = passed >= wanted;
    results.push({
      gate,
      verdict: over ? 'pass' : 'hold',
      detail: over ? span(passed) : `${span(passed)} of ${span(wanted)}, ${span(wanted - passed)} left`,
    });
  };
  const lastStep = slot.step + 1 >= weights.length;
  if (gates.minimumTime > 0 && lastStep) time('minimumTime', slot.since, gates.minimumTime);
  if (gates.stepTime > 0) time('stepTime', slot.stepSince, gates.stepTime);
  if (gates.approval !== undefined && lastStep) {
    const { count, by } = gates.approval;
    const valid = slot.approvals.filter(
      (approval) => by.length === 0 || by.some((who) => who.toLowerCase() === addressOf(approval.by)),
    );
    const names = valid.map((approval) => approval.by).join(', ');
    results.push({
      gate: 'approval',
      verdict: valid.length >= count ? 'pass' : 'hold',
      detail: valid.length === 0 ? `0 of ${count}` : `${valid.length} of ${count}: ${names}`,
    });
  }
  return results;
}

/** Of a build that is about to be rolled back: how many users met it, on whichever track. */
export async function usersOf(
  service: Service,
  stage: Stage,
  ask: Edges['usersMet'],
): Promise<string | undefined> {
  const { pipeline, definition, state } = service;
  const slot = state.stages[stage.name]!;
  const { image } = slot;
  if (image === undefined) return undefined;
  return await ask({
    urls: definition.proxies ?? pipeline.proxies,
    subject: subjectOf(service, stage, slot),
    tracks: pipeline.stages
      .filter(({ name }) => state.stages[name]!.image === image)
      .map(({ track }) => track),
    build: versionOf(image),
  });
}

function subjectOf({ name, definition, pipeline }: Service, stage: Stage, slot: Slot): Subject {
  return {
    service: name,
    namespace: definition.namespace ?? pipeline.namespace,
    stage: stage.name,
    track: stage.track,
    image: slot.image ?? '',
  };
}

/** Why figures do not count yet; undefined when every proxy runs the committed table. */
function tableInForce(answers: readonly ProxyAnswer[], hash: string): string | undefined {
  if (answers.length === 0) return 'no proxy is known; see `proxies`';
  const failed = answers.find((answer) => 'error' in answer);
  if (failed !== undefined && 'error' in failed)
    return `the proxy ${failed.url} cannot be asked: ${failed.error}`;
  const views = answers as readonly ProxyView[];
  const behind = views.filter(({ tableHash }) => tableHash !== hash);
  return behind.length === 0
    ? undefined
    : `${behind.length} of ${views.length} proxies do not run the committed table yet`;
}

function readiness(
  ready: { readonly endpoints: number; readonly deadline: number },
  stage: Stage,
  slot: Slot,
  answers: readonly ProxyAnswer[],
  inForce: string | undefined,
  seen: Observation,
  now: number,
): { result: GateResult; notReadySince: number | undefined } {
  const unreachable = answers.length === 0 || answers.some((answer) => 'error' in answer);
  const short = inForce ?? missingEndpoints(ready.endpoints, stage, answers as readonly ProxyView[]);
  if (short === undefined) {
    return {
      result: {
        gate: 'ready',
        verdict: 'pass',
        detail: `${answers.length} proxies see every endpoint of ${stage.track} up`,
      },
      notReadySince: undefined,
    };
  }
  // Proxies that cannot be asked say nothing about the build.
  if (unreachable)
    return { result: { gate: 'ready', verdict: 'hold', detail: short }, notReadySince: seen.notReadySince };
  const since =
    seen.notReadySince ?? Math.max(Date.parse(slot.stepSince), seen.start === undefined ? 0 : now);
  const late = now - since > ready.deadline;
  return {
    result: {
      gate: 'ready',
      verdict: late ? 'fail' : 'hold',
      detail: late ? `${short}, for ${span(now - since)}` : short,
    },
    notReadySince: since,
  };
}

function missingEndpoints(wanted: number, stage: Stage, views: readonly ProxyView[]): string | undefined {
  for (const { url, endpoints } of views) {
    const up = endpoints.filter(({ health }) => health === 'up').length;
    if (up < wanted) return `${url} sees ${up} endpoints of ${stage.track} up, wanted ${wanted}`;
    const down = endpoints.find(({ health }) => health !== 'up');
    if (down !== undefined) return `${url} sees ${down.endpoint} of ${stage.track} ${down.health}`;
  }
  return undefined;
}
