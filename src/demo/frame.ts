/** One picture of the demo, from data to lines of text. Pure. */
import { clockTime, type DemoEvent, type Tone } from './events.ts';
import { TRACKS, type Track } from './table.ts';
import type { Counts } from './tally.ts';
import { total } from './tally.ts';
import { fit, type Line, type Span, type Style, span, spread, toText } from './text.ts';

export interface View {
  /** Epoch milliseconds. */
  readonly now: number;
  readonly caption: string;
  /** False while the proxy is about to notice something. */
  readonly steady: boolean;
  /** Step of the tour, from 1. */
  readonly step: number;
  readonly steps: number;
  readonly answered: number;
  readonly failed: number;
  readonly rows: readonly GroupRow[];
  readonly upstreams: readonly UpstreamRow[];
  readonly users: readonly UsersRow[];
  /** Oldest first. */
  readonly events: readonly DemoEvent[];
  readonly trafficPort: number;
  readonly adminPort: number;
  readonly configPath: string;
}

/** One group of requests, counted since the last change. */
export interface GroupRow {
  readonly label: string;
  /** A part of the group above. */
  readonly nested: boolean;
  readonly counts: Counts;
  /** What the table says: `5 : 95`, `by bucket`. */
  readonly rule: string;
}

export interface UpstreamRow {
  readonly track: Track;
  readonly health: 'up' | 'down' | 'unchecked' | 'unknown';
  readonly reason: string;
  /** Epoch milliseconds; undefined when not known. */
  readonly since: number | undefined;
  readonly port: number;
  readonly requests: number;
}

/** Users that belong to each backend. */
export interface UsersRow {
  readonly label: string;
  readonly backends: readonly { readonly track: string; readonly users: number; readonly buckets: string }[];
}

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

export const TRACK_STYLE: Readonly<Record<Track, Style>> = {
  internal: 'blue',
  canary: 'yellow',
  paid: 'magenta',
  production: 'green',
};

const TONE: Readonly<Record<Tone, readonly Style[]>> = {
  plain: ['dim'],
  good: ['green'],
  bad: ['red'],
  act: ['cyan'],
};

/** Widths of the columns of the table; 0 leaves one out. */
interface Widths {
  readonly label: number;
  readonly requests: number;
  readonly cell: number;
  readonly rule: number;
  readonly bar: number;
}

/** Index of the events among the sections. */
const EVENTS = 4;
const MIN_EVENTS = 2;
const MAX_EVENTS = 12;
/** Sections with a blank line before them, the most wanted first. */
const GAPS = [1, 2, EVENTS, 5, 3];

const LABEL = 14;
const REQUESTS = 9;
const RULE = 12;
const PORT = 9;
const MIN_BAR = 16;
const MAX_BAR = 40;

/** `size.rows` lines at most, none wider than `size.columns`. */
export function renderFrame(view: View, size: Size, color: boolean): string[] {
  const columns = Math.max(20, size.columns);
  const room = Math.max(1, size.rows);
  const sections = [
    headLines(view, columns),
    groupLines(view, columns),
    upstreamLines(view, columns),
    userLines(view),
    [] as Line[],
    commandLines(view, columns),
  ];
  // What is left goes to the latest events, then to air between the sections, then to more events.
  const spare = room - sections.flat().length;
  const gaps = Math.max(0, Math.min(GAPS.length, spare - MIN_EVENTS));
  sections[EVENTS] = eventLines(view, Math.max(0, Math.min(MAX_EVENTS, spare - gaps)));
  const airy = GAPS.slice(0, gaps);
  const lines = sections.flatMap((section, index) =>
    section.length > 0 && airy.includes(index) ? [[], ...section] : section,
  );
  return lines.slice(0, room).map((line) => toText(fit(line, columns), color));
}

function headLines(view: View, columns: number): Line[] {
  const { answered, failed, step, steps, steady, caption } = view;
  const counts: Line = [
    span(`${thousands(answered)} requests, `, 'dim'),
    span(`${failed} failed `, ...((failed > 0 ? ['red', 'bold'] : ['dim']) as Style[])),
  ];
  return [
    spread(
      [span(' Pointsman ', 'bold', 'inverse'), span(`  demo, step ${step} of ${steps}`, 'dim')],
      counts,
      columns,
    ),
    [span(steady ? ' ● ' : ' ◌ ', steady ? 'green' : 'yellow'), span(caption, 'bold')],
  ];
}

/** Wide terminals get a bar; narrow ones lose first the rule, then the count of requests, never a backend. */
function widthsFor(columns: number): Widths {
  const spacious = 1 + LABEL + REQUESTS + TRACKS.length * 11 + RULE;
  if (columns >= spacious) {
    const left = columns - spacious - 2;
    const bar = left >= MIN_BAR ? Math.min(left, MAX_BAR) : 0;
    return { label: LABEL, requests: REQUESTS, cell: 11, rule: RULE, bar };
  }
  const narrow = { label: LABEL, rule: 0, bar: 0 };
  const room = columns - 1 - LABEL;
  if (room >= REQUESTS + TRACKS.length * 9) {
    return {
      ...narrow,
      requests: REQUESTS,
      cell: Math.min(11, Math.floor((room - REQUESTS) / TRACKS.length)),
    };
  }
  return { ...narrow, requests: 0, cell: Math.max(7, Math.min(11, Math.floor(room / TRACKS.length))) };
}

/** Where each group goes: shares of the four backends, and a bar of them where there is room. */
function groupLines(view: View, columns: number): Line[] {
  const widths = widthsFor(columns);
  const { label, requests, cell, rule, bar } = widths;
  const head: Span[] = [
    span(` ${'group'.padEnd(label)}`, 'dim'),
    span(requests === 0 ? '' : 'requests'.padStart(requests), 'dim'),
    ...TRACKS.map((track) => span(cellName(track, cell).padStart(cell), TRACK_STYLE[track])),
    span(rule === 0 ? '' : '  table says', 'dim'),
  ];
  return [
    head,
    ...view.rows.map((row): Line => {
      const sent = total(row.counts);
      return [
        span(` ${(row.nested ? `  ${row.label}` : row.label).padEnd(label)}`, row.nested ? 'dim' : 'bold'),
        span(requests === 0 ? '' : thousands(sent).padStart(requests), 'dim'),
        ...TRACKS.map((track) => shareCell(row.counts[track] ?? 0, sent, track, cell)),
        span(rule === 0 ? '' : `  ${row.rule.padEnd(rule - 2)}`, 'dim'),
        ...(bar === 0 ? [] : [span(' '), ...shareBar(row.counts, sent, bar)]),
      ];
    }),
  ];
}

/** Cut where the column is too narrow for it, with a blank to its left. */
function cellName(track: Track, width: number): string {
  return track.length < width ? track : `${track.slice(0, width - 2)}.`;
}

function shareCell(count: number, sent: number, track: Track, width: number): Span {
  return count === 0
    ? span('·'.padStart(width), 'dim')
    : span(percent(count / sent).padStart(width), TRACK_STYLE[track]);
}

/** A backend that got anything gets at least one cell, so that a canary is never invisible. */
export function barCells(counts: Counts, width: number): { track: Track; cells: number }[] {
  const sent = total(counts);
  const present = TRACKS.filter((track) => (counts[track] ?? 0) > 0);
  const cells = present.map((track) => ({
    track,
    cells: Math.max(1, Math.round(((counts[track] ?? 0) / sent) * width)),
  }));
  const surplus = cells.reduce((sum, cell) => sum + cell.cells, 0) - width;
  const widest = cells.toSorted((a, b) => b.cells - a.cells)[0];
  if (widest !== undefined) widest.cells -= surplus;
  return cells;
}

/** Production is the ground that the others stand out from, without colours too. */
function shareBar(counts: Counts, sent: number, width: number): Span[] {
  if (sent === 0) return [];
  return barCells(counts, width).map(({ track, cells }) =>
    span((track === 'production' ? '░' : '█').repeat(cells), TRACK_STYLE[track]),
  );
}

function upstreamLines(view: View, columns: number): Line[] {
  const head = [
    span(' '),
    span('upstream'.padEnd(LABEL), 'dim'),
    span('requests'.padStart(REQUESTS), 'dim'),
    span('port'.padStart(PORT), 'dim'),
    span('    health', 'dim'),
  ];
  return [
    head,
    ...view.upstreams.map((row): Line => {
      const style: Style = row.health === 'up' ? 'green' : row.health === 'down' ? 'red' : 'dim';
      const sign = row.health === 'up' ? '●' : row.health === 'down' ? '✗' : '○';
      const since = row.since === undefined ? '' : ` for ${age(view.now - row.since)}`;
      const line: Line = [
        span(' '),
        span(row.track.padEnd(LABEL), TRACK_STYLE[row.track]),
        span(thousands(row.requests).padStart(REQUESTS), 'dim'),
        span(String(row.port).padStart(PORT), 'dim'),
        span(`    ${sign} ${row.health}${since}`, style),
        span(row.health === 'down' ? `, ${row.reason}` : '', 'dim'),
      ];
      return fit(line, columns);
    }),
  ];
}

function userLines(view: View): Line[] {
  return view.users.map(
    (row): Line => [
      span(' '),
      span(row.label.padEnd(LABEL), 'dim'),
      ...row.backends.flatMap(({ track, users, buckets }, index) => [
        span(index === 0 ? '' : '   '),
        span(`${track} `, TRACK_STYLE[track as Track] ?? 'dim'),
        span(`${thousands(users)}`),
        span(` (${buckets})`, 'dim'),
      ]),
    ],
  );
}

function eventLines(view: View, most: number): Line[] {
  return view.events
    .slice(Math.max(0, view.events.length - most))
    .map(({ at, text, tone }) => [span(` ${clockTime(at)}  `, 'dim'), span(text, ...TONE[tone])]);
}

/** On a narrow terminal without what curl adds by itself, so that the port is not cut off. */
function commandLines(view: View, columns: number): Line[] {
  const scheme = columns < 70 ? '' : 'http://';
  return [
    [span(' try   ', 'dim'), span(`curl -H 'X-Traffic-Group: free' ${scheme}127.0.0.1:${view.trafficPort}/`)],
    [
      span('       ', 'dim'),
      span(`curl ${scheme}127.0.0.1:${view.adminPort}/status`),
      span('   Ctrl-C ends', 'dim'),
    ],
    [span(' edit  ', 'dim'), span(view.configPath)],
  ];
}

/** `5.0 %`; only all is `100 %`, and something is never `0.0 %`. */
export function percent(share: number): string {
  if (share === 1) return '100 %';
  const tenths = Math.round(share * 1_000);
  return `${(Math.min(999, Math.max(share > 0 ? 1 : 0, tenths)) / 10).toFixed(1)} %`;
}

function thousands(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ',');
}

function age(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
