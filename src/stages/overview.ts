/** Which build is where, since when, by whom, and what comes next: for people and as JSON. Pure. */

import type { Service } from './catalogue.ts';
import { frozen } from './freeze.ts';
import { plainGates } from './gates/evaluate.ts';
import { type GateResult, span } from './gates/verdict.ts';
import { versionOf } from './image.ts';
import { weightOf } from './machine.ts';

export interface StageOverview {
  readonly stage: string;
  readonly track: string;
  readonly status: string;
  readonly image: string | null;
  readonly version: string | null;
  /** Percent of the stage's groups; null on the last stage. */
  readonly weight: number | 'drain' | null;
  readonly plan: readonly number[];
  readonly since: string;
  readonly by: string;
  readonly gates: readonly GateResult[];
  readonly next: string | null;
}

export interface ServiceOverview {
  readonly service: string;
  readonly stages: readonly StageOverview[];
  readonly held: readonly { image: string; at: string; by: string; reason: string }[];
  readonly previous: readonly string[];
}

/** @param asked  gates that were asked, by stage; of others only time and approvals are known */
export function overviewOf(
  service: Service,
  now: number,
  asked: ReadonlyMap<string, readonly GateResult[]> = new Map(),
): ServiceOverview {
  const { pipeline, state, name } = service;
  const stages = pipeline.stages.map((stage, index): StageOverview => {
    const slot = state.stages[stage.name]!;
    const last = index === pipeline.stages.length - 1;
    const gates = slot.status === 'running' ? (asked.get(stage.name) ?? plainGates(stage, slot, now)) : [];
    return {
      stage: stage.name,
      track: stage.track,
      status: slot.status,
      image: slot.image ?? null,
      version: slot.image === undefined ? null : versionOf(slot.image),
      weight: last ? null : weightOf(stage, slot),
      plan: last ? [] : stage.weights,
      since: slot.since,
      by: slot.by,
      gates,
      next: slot.status === 'running' ? nextStep(service, index, gates, now) : null,
    };
  });
  return { service: name, stages, held: state.held, previous: state.previous };
}

function nextStep(
  { pipeline, state }: Service,
  index: number,
  gates: readonly GateResult[],
  now: number,
): string {
  const stage = pipeline.stages[index]!;
  const slot = state.stages[stage.name]!;
  const grows = slot.step + 1 < stage.weights.length;
  const goal = pipeline.stages[index + 1];
  const what = grows ? `${stage.weights[slot.step + 1]} %` : goal === undefined ? 'done' : goal.name;
  const waiting = gates.filter(({ verdict }) => verdict !== 'pass');
  const entered = grows ? stage.name : goal?.name;
  const closed = entered === undefined ? undefined : frozen(pipeline.freeze, entered, now);
  const occupant =
    grows || goal === undefined || index + 1 === pipeline.stages.length - 1
      ? undefined
      : state.stages[goal.name]!;
  const reasons = waiting.map(({ gate, detail }) => `${gate} ${detail}`);
  if (occupant?.status === 'running' && occupant.image !== slot.image && !goal!.supersede)
    reasons.push(`${goal!.name} holds ${versionOf(occupant.image!)}`);
  if (closed !== undefined) reasons.push(closed);
  return reasons.length === 0 ? `${what}: ready` : `${what}: ${reasons.join('; ')}`;
}

const MARKS: Readonly<Record<string, string>> = {
  empty: '-',
  stable: '=',
  running: '*',
  passed: '+',
  draining: '~',
};

/** One row a service, in aligned columns. */
export function overviewTable(services: readonly ServiceOverview[], now: number): string {
  if (services.length === 0) return 'no services yet; pointsman stage init SERVICE lays one down\n';
  const names = [...new Set(services.flatMap(({ stages }) => stages.map(({ stage }) => stage)))];
  const rows = [['SERVICE', ...names.map((name) => name.toUpperCase()), 'NEXT']];
  for (const { service, stages } of services) {
    const furthest = stages.findLast(({ next }) => next !== null);
    rows.push([
      service,
      ...names.map((name) =>
        cell(
          stages.find(({ stage }) => stage === name),
          now,
        ),
      ),
      furthest === undefined ? '' : `${furthest.stage} → ${furthest.next}`,
    ]);
  }
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const lines = rows.map((row) =>
    row
      .map((text, column) => (column === row.length - 1 ? text : text.padEnd(widths[column]!)))
      .join('  ')
      .trimEnd(),
  );
  return `${lines.join('\n')}\n`;
}

function cell(stage: StageOverview | undefined, now: number): string {
  if (stage === undefined || stage.version === null) return '-';
  const weight =
    stage.weight === null || stage.weight === 100
      ? ''
      : stage.weight === 'drain'
        ? ' drain'
        : ` ${stage.weight}%`;
  return `${MARKS[stage.status]} ${stage.version}${weight} ${span(now - Date.parse(stage.since))}`;
}

/** All there is to say of one service. */
export function overviewDetails({ service, stages, held, previous }: ServiceOverview, now: number): string {
  const lines = [service];
  for (const { stage, track, status, version, weight, plan, since, by, gates, next } of stages) {
    const share =
      weight === null || plan.length === 0
        ? ''
        : weight === 'drain'
          ? ', drains'
          : `, ${weight} %${plan.length > 1 ? ` of ${plan.join(' → ')}` : ''}`;
    lines.push(`  ${stage} (track ${track}): ${version ?? 'no build'}, ${status}${share}`);
    if (version !== null) lines.push(`    since ${since} (${span(now - Date.parse(since))}) by ${by}`);
    for (const { gate, verdict, detail } of gates) lines.push(`    ${verdict.padEnd(4)} ${gate}: ${detail}`);
    if (next !== null) lines.push(`    next ${next}`);
  }
  if (previous.length > 0) lines.push(`  production before: ${previous.map(versionOf).join(', ')}`);
  for (const { image, at, by, reason } of held)
    lines.push(`  held ${versionOf(image)}: rolled back ${at} by ${by}: ${reason}`);
  return `${lines.join('\n')}\n`;
}

export const LEGEND = '* on trial  + passed on  = as production  ~ draining  - no build\n';
