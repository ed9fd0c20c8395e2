/** A plan as a person reads it. Pure. */
import { BUCKETS } from '../routing/bucket.ts';
import { describeRange } from '../routing/explain.ts';
import type { Impact, LogImpact, UserCount } from './log-replay.ts';
import type { GroupPlan, InvariantState, Plan, RowPlan, ShareChange } from './plan.ts';
import { type Flow, SAMPLE, type UserMoves } from './user-moves.ts';

export interface TextOptions {
  /** Lines are broken to this width. */
  readonly columns: number;
  readonly color: boolean;
}

/** Bars are left out where they would crowd the figures. */
const BAR = 24;
const COLUMNS_FOR_BARS = 72;
const MIN_COLUMNS = 40;
/** More spans of buckets than anybody reads. */
const MAX_SPANS = 6;

type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow';
const CODES: Readonly<Record<Style, number>> = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33 };

export function planText(plan: Plan, log: LogImpact | undefined, options: TextOptions): string {
  return new PlanText(plan, log, options).lines().join('\n').concat('\n');
}

class PlanText {
  readonly #plan: Plan;
  readonly #log: LogImpact | undefined;
  readonly #columns: number;
  readonly #color: boolean;
  readonly #lines: string[] = [];

  constructor(plan: Plan, log: LogImpact | undefined, { columns, color }: TextOptions) {
    this.#plan = plan;
    this.#log = log;
    this.#columns = Math.max(MIN_COLUMNS, columns);
    this.#color = color;
  }

  lines(): readonly string[] {
    const { groups, invariants, rules, otherChanges } = this.#plan;
    for (const group of groups) this.#group(group);
    if (rules.length > 0) this.#list('who goes where', rules);
    if (otherChanges.length > 0) this.#list('other changes, which move nobody', otherChanges);
    if (invariants.length > 0) this.#invariants(invariants);
    if (this.#log !== undefined) this.#logImpact(this.#log);
    this.#lines.push(this.#verdict());
    return this.#lines;
  }

  #group({ groups, rows }: GroupPlan): void {
    const changed = rows.filter((row) => row.changed);
    const names = groups.join(', ');
    if (changed.length === 0) {
      const [row] = rows;
      const shares =
        row === undefined
          ? ''
          : row.backends.map(({ name, after }) => `${name} ${points(after)} %`).join(', ');
      this.#say(`${this.#style(names, 'bold')}  unchanged`, `  ${shares}`, '', 'dim');
      this.#lines.push('');
      return;
    }
    for (const row of changed) {
      const where = row.before === row.after ? `row ${row.after}` : `row ${row.before} → ${row.after}`;
      const part = row.partly ? ', which takes some of their requests' : '';
      this.#lines.push(`${this.#style(names, 'bold')}  ${this.#style(where + part, 'dim')}`);
      this.#shares(row.backends);
      this.#users(row);
      this.#lines.push('');
    }
    const same = rows.length - changed.length;
    if (same > 0) {
      this.#lines.pop();
      this.#say('', `  ${same} other ${same === 1 ? 'row' : 'rows'} for them unchanged`, '', 'dim');
      this.#lines.push('');
    }
  }

  #shares(backends: readonly ShareChange[]): void {
    const width = Math.min(24, Math.max(...backends.map(({ name }) => name.length)));
    for (const { name, before, after } of backends) {
      const change = (after ?? 0) - (before ?? 0);
      const from = before === undefined ? '      –  ' : `${points(before).padStart(7)} %`;
      const to = after === undefined ? '      –  ' : `${points(after).padStart(7)} %`;
      const sign = Math.abs(change) < 0.005 ? '' : `${change > 0 ? '+' : '−'}${points(Math.abs(change))}`;
      const bar = this.#columns >= COLUMNS_FOR_BARS ? `  ${this.#bar(before ?? 0, after ?? 0)}` : '';
      const label = name.length > width ? `${name.slice(0, width - 1)}…` : name.padEnd(width);
      const delta = this.#style(sign.padStart(8), change > 0 ? 'green' : 'red');
      this.#lines.push(`  ${label} ${from} →${to} ${delta}${bar}`.trimEnd());
    }
  }

  /** What stays, then what is gained or lost. */
  #bar(before: number, after: number): string {
    const cells = (share: number) => Math.round((share / 100) * BAR);
    const stays = Math.min(cells(before), cells(after));
    const gained = this.#style('▓'.repeat(cells(after) - stays), 'green');
    const lost = this.#style('░'.repeat(cells(before) - stays), 'red');
    return `${'█'.repeat(stays)}${gained}${lost}`;
  }

  #users(row: RowPlan): void {
    const { pin, users, requestsMoved, failover } = row;
    const note = (text: string) => this.#say('  ', text, '    ');
    if (users !== undefined) for (const text of moveLines(users)) note(text);
    if (requestsMoved !== undefined && requestsMoved > 0.005) {
      note(`${points(requestsMoved)} % of the requests go elsewhere, drawn by weight`);
    }
    if (pin === undefined) {
      if (failover) note('what happens when backends fail changes');
      return;
    }
    if (pin.before === undefined) note(`users are pinned from now on, by ${pin.after}`);
    else if (pin.after === undefined) note('users are pinned no more: each request is drawn');
    else if (pin.void) note('what is remembered of users counts no more: all are drawn afresh');
    else if (pin.store !== 'none' && row.changed) {
      note(
        `users whom the store (${pin.store}) remembers stay where they are; this is about those it has not met`,
      );
    }
    if (pin.voidBackends.length > 0)
      note(`users remembered on ${pin.voidBackends.join(' and ')} are drawn again`);
    if (failover && users?.moved === 0)
      note('what happens when backends fail, or which pins are kept, changes');
  }

  #list(title: string, items: readonly string[]): void {
    this.#lines.push(this.#style(title, 'bold'));
    for (const item of items) this.#say('  ', item, '    ');
    this.#lines.push('');
  }

  #invariants(states: readonly InvariantState[]): void {
    this.#lines.push(this.#style('invariants', 'bold'));
    for (const { text, state, messages } of states) {
      const [mark, style] = MARKS[state];
      this.#say(`  ${this.#style(mark, style)} `, `${text}${state === 'kept' ? '' : `: ${state}`}`, '    ');
      for (const message of messages) this.#say('    ', message, '    ');
    }
    this.#lines.push('');
  }

  #logImpact({ total, rows, foreignLines, unknownRows, untold }: LogImpact): void {
    this.#lines.push(this.#style('in the log', 'bold'));
    const width = Math.min(24, Math.max(5, ...rows.map(({ row }) => row.length)));
    for (const row of rows) {
      this.#say(`  ${row.row.slice(0, width).padEnd(width)}  `, impactWords(row), ' '.repeat(width + 4));
    }
    if (rows.length !== 1)
      this.#say(`  ${'total'.padEnd(width)}  `, impactWords(total), ' '.repeat(width + 4));
    const left = [
      [untold, 'hang on fields that the log does not hold'],
      [unknownRows, 'went through rows that the table before does not have'],
    ] as const;
    for (const [count, why] of left)
      if (count > 0) this.#say('  ', `${whole(count)} more requests ${why}`, '    ');
    if (foreignLines > 0)
      this.#say('  ', `${whole(foreignLines)} lines were no requests and were left out`, '    ');
    this.#lines.push('');
  }

  #verdict(): string {
    const { broken, changed } = this.#plan;
    if (broken) return this.#style('broken: a proxy would refuse this file', 'red');
    return changed
      ? this.#style('changed: some go elsewhere', 'yellow')
      : this.#style('unchanged: every request and user goes where it went', 'green');
  }

  /** `text` behind `first`, broken at blanks, further lines behind `next`. */
  #say(first: string, text: string, next: string, style?: Style): void {
    const lines: string[] = [];
    let line = '';
    let room = this.#columns - visible(first);
    for (const word of text.split(/(?<=\S) /)) {
      if (line !== '' && line.length + 1 + word.length > room) {
        lines.push(line);
        line = '';
        room = this.#columns - visible(next);
      }
      line = line === '' ? word : `${line} ${word}`;
    }
    lines.push(line);
    for (const [i, part] of lines.entries()) {
      const styled = style === undefined ? part : this.#style(part, style);
      this.#lines.push(`${i === 0 ? first : next}${styled}`);
    }
  }

  #style(text: string, style: Style): string {
    return this.#color && text.trim() !== '' ? `\x1b[${CODES[style]}m${text}\x1b[0m` : text;
  }
}

const MARKS: Readonly<Record<InvariantState['state'], readonly [string, Style]>> = {
  kept: ['✓', 'green'],
  broken: ['✗', 'red'],
  forced: ['!', 'yellow'],
  removed: ['−', 'yellow'],
};

function moveLines({ kind, flows, moved }: UserMoves): string[] {
  if (moved === 0) return ['no bucket moves'];
  const about = kind === 'sampled' ? 'about ' : '';
  const how =
    kind === 'sampled' ? ` (from ${whole(SAMPLE)} users asked, since more than the bucket counts)` : '';
  return [
    `${about}${whole(moved)} of ${whole(BUCKETS)} buckets move${how}:`,
    ...flows.map((flow) => `  ${flow.from} → ${flow.to} ${about}${whole(flow.buckets)}${spansOf(flow)}`),
  ];
}

function spansOf({ spans }: Flow): string {
  if (spans === undefined) return '';
  const shown = spans.slice(0, MAX_SPANS).map(([from, to]) => describeRange({ from, to: to + 1 }));
  return `: ${shown.join(', ')}${spans.length > MAX_SPANS ? ', …' : ''}`;
}

function impactWords({ requests, touched, users, touchedUsers }: Impact): string {
  const share = requests === 0 ? 0 : (100 * touched) / requests;
  const about = Number.isInteger(touched) ? '' : 'about ';
  const ofUsers =
    users === undefined || touchedUsers === undefined
      ? ''
      : `, ${usersWords(touchedUsers)} of ${usersWords(users)} users`;
  return `${about}${whole(touched)} of ${whole(requests)} requests (${points(share)} %)${ofUsers}`;
}

function usersWords({ count, atLeast }: UserCount): string {
  if (count === 0) return 'no';
  return `${atLeast ? 'more than' : 'about'} ${whole(count)}`;
}

function points(value: number | undefined): string {
  return (value ?? 0).toFixed(2);
}

function whole(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** Columns that a text takes, its colours left out. */
function visible(text: string): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character is what begins a colour
  return text.replace(/\x1b\[[0-9;]*m/g, '').length;
}
