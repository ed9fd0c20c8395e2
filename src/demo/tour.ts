/** The tour: what happens in turn, when each step has come true, and how long it is shown. Pure. */
import type { HealthState } from '../backends/endpoint.ts';
import { BASE_CANARY_WEIGHT, RAISED_CANARY_WEIGHT } from './table.ts';

export type StepId = 'steady' | 'killed' | 'restored' | 'edited';

export type Act =
  | { readonly kind: 'kill' }
  | { readonly kind: 'restart' }
  | { readonly kind: 'weight'; readonly canary: number };

/** What the proxy's status says of the things the tour touches. */
export interface Facts {
  /** Undefined while the status cannot be had, or without such a backend. */
  readonly canary: HealthState | undefined;
  /** Of the row `free`. */
  readonly canaryWeight: number | undefined;
  /** A person changed the file: the tour leaves it alone from then on. */
  readonly fileIsTheirs: boolean;
}

export interface Step {
  readonly id: StepId;
  /** Done when the step begins. */
  readonly act: Act;
  /** Shown until `reached`. */
  readonly waiting: string;
  /** Shown from then on. */
  readonly holding: string;
  /** What did not come true, when it does not. */
  readonly goal: string;
  readonly reached: (facts: Facts) => boolean;
}

export const TOUR: readonly Step[] = [
  {
    id: 'steady',
    act: { kind: 'weight', canary: BASE_CANARY_WEIGHT },
    waiting: `Setting the weight of canary to ${BASE_CANARY_WEIGHT} …`,
    holding: 'Steady: of 100 FREE requests 5 meet canary, 95 production; never ENTERPRISE.',
    goal: `the table in force gives canary ${BASE_CANARY_WEIGHT}`,
    reached: (facts) => facts.canary === 'up' && hasWeight(facts, BASE_CANARY_WEIGHT),
  },
  {
    id: 'killed',
    act: { kind: 'kill' },
    waiting: 'canary was killed: health checks are about to find out …',
    holding: 'canary is down: production serves its share, and no request fails.',
    goal: 'the killed canary is found down',
    reached: (facts) => facts.canary === 'down',
  },
  {
    id: 'restored',
    act: { kind: 'restart' },
    waiting: 'canary was started again: two good checks bring it back …',
    holding: 'canary is up again and has its share back; its users returned to it.',
    goal: 'the restarted canary is found up',
    reached: (facts) => facts.canary === 'up',
  },
  {
    id: 'edited',
    act: { kind: 'weight', canary: RAISED_CANARY_WEIGHT },
    waiting: `The file was edited: canary ${BASE_CANARY_WEIGHT} → ${RAISED_CANARY_WEIGHT} …`,
    holding: `Weight ${RAISED_CANARY_WEIGHT} is in force: new users follow it, known users stay where they are.`,
    goal: `the table in force gives canary ${RAISED_CANARY_WEIGHT}`,
    reached: (facts) => hasWeight(facts, RAISED_CANARY_WEIGHT),
  },
];

export interface Position {
  /** Index in `TOUR`. */
  readonly step: number;
  /** `waiting` for the proxy to notice, or `holding` the view still once it has. */
  readonly state: 'waiting' | 'holding';
  /** Clock milliseconds at which `state` began. */
  readonly since: number;
}

export interface Pace {
  /** How long a step is held, at least. */
  readonly holdMs: number;
  /** How long it is held at most while there are too few requests to judge it. */
  readonly maxHoldMs: number;
  /** How long it may take to come true. */
  readonly waitMs: number;
}

/** `stay`; `hold`: it came true; `next`: go to the next step; `stuck`: it did not come true in time. */
export type Move = 'stay' | 'hold' | 'next' | 'stuck';

/** @param enough whether the requests since the step came true suffice to judge it */
export function moveOf(position: Position, facts: Facts, now: number, pace: Pace, enough: boolean): Move {
  const passed = now - position.since;
  if (position.state === 'waiting') {
    if (stepAt(position).reached(facts)) return 'hold';
    return passed >= pace.waitMs ? 'stuck' : 'stay';
  }
  if (passed >= pace.maxHoldMs) return 'next';
  return passed >= pace.holdMs && enough ? 'next' : 'stay';
}

export function stepAt(position: Position): Step {
  return TOUR[position.step]!;
}

/** What is going on, in a sentence. */
export function captionOf(position: Position, fileIsTheirs: boolean): string {
  const step = stepAt(position);
  if (fileIsTheirs && step.act.kind === 'weight') return 'Your table is in force; the tour leaves it alone.';
  return position.state === 'holding' ? step.holding : step.waiting;
}

/** The index of the step after: round and round; steps that edit the file are passed over once it is theirs. */
export function nextStep(step: number, facts: Facts): number {
  const next = (step + 1) % TOUR.length;
  return TOUR[next]!.id === 'edited' && facts.fileIsTheirs ? nextStep(next, facts) : next;
}

function hasWeight(facts: Facts, weight: number): boolean {
  return facts.fileIsTheirs || facts.canaryWeight === weight;
}
