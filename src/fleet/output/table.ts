/** The report as a table for people: a line per service, then what is wrong and what to do. */

import { compareFindings, type Finding, rankOf, type Severity } from '../finding.ts';
import type { Cell, FleetReport, ServiceRow } from '../report.ts';
import { age, clean, cut, type Paint, painter, type Style, wrap } from './text.ts';

export interface TableOptions {
  readonly color: boolean;
  readonly columns: number;
  /** All services, with their builds. */
  readonly wide: boolean;
  readonly tookMs?: number;
}

/** Above this many, services that are fine are only counted. */
const ALL_BELOW = 60;
const MIN_COLUMNS = 40;

const MARKS: Readonly<Record<Severity, { readonly mark: string; readonly style: Style }>> = {
  critical: { mark: '✗', style: 'red' },
  unknown: { mark: '?', style: 'magenta' },
  warning: { mark: '▲', style: 'yellow' },
  info: { mark: 'i', style: 'cyan' },
};

export function markOf(severity: Severity | null): string {
  return severity === null ? '✓' : MARKS[severity].mark;
}

interface Box {
  readonly text: string;
  readonly style: Style | undefined;
}

export function renderTable(report: FleetReport, options: TableOptions): string[] {
  const paint = painter(options.color);
  const columns = Math.max(MIN_COLUMNS, options.columns);
  return [
    ...heading(report, options, paint, columns),
    '',
    ...services(report, options, paint, columns),
    ...problems(report, paint, columns),
    ...report.notes.map((note) => paint('dim', cut(`Note: ${note}.`, columns))),
  ];
}

function heading(report: FleetReport, { tookMs }: TableOptions, paint: Paint, columns: number): string[] {
  const { cluster, namespaces, counts, at } = report;
  const where = namespaces.length === 0 ? 'all namespaces' : `namespace ${namespaces.join(', ')}`;
  const left = cut(`${clean(cluster)}  ${where}`, columns - 18);
  const right = `${at.slice(11, 19)}Z${tookMs === undefined ? '' : `  ${(tookMs / 1_000).toFixed(1)} s`}`;
  const gap = ' '.repeat(Math.max(2, columns - left.length - right.length));
  const { findings } = counts;
  const parts: Box[] = [
    { text: `${counts.services} services`, style: undefined },
    { text: `${counts.pods} pods`, style: undefined },
    { text: `${counts.fine} fine`, style: counts.fine === counts.services ? 'green' : 'bold' },
  ];
  for (const severity of ['critical', 'unknown', 'warning', 'info'] as const) {
    if (findings[severity] > 0)
      parts.push({ text: `${findings[severity]} ${severity}`, style: MARKS[severity].style });
  }
  if (counts.ignored > 0) parts.push({ text: `${counts.ignored} ignored`, style: 'dim' });
  return [paint('bold', left) + gap + paint('dim', right), ...joined(parts, paint, columns)];
}

function joined(parts: readonly Box[], paint: Paint, columns: number): string[] {
  const lines: string[] = [];
  let width = 0;
  for (const { text, style } of parts) {
    const painted = style === undefined ? text : paint(style, text);
    if (lines.length > 0 && width + 3 + text.length <= columns) {
      lines[lines.length - 1] += paint('dim', ' · ') + painted;
      width += 3 + text.length;
    } else {
      lines.push(painted);
      width = text.length;
    }
  }
  return lines;
}

function services(report: FleetReport, options: TableOptions, paint: Paint, columns: number): string[] {
  const sorted = report.services.toSorted((a, b) => rankOrFine(b) - rankOrFine(a));
  const all = options.wide || sorted.length <= ALL_BELOW;
  const shown = all ? sorted : sorted.filter(({ worst }) => worst !== null);
  const several = new Set(report.services.map(({ namespace }) => namespace)).size > 1;
  const head: string[] = [
    '',
    ...(several ? ['NAMESPACE'] : []),
    'SERVICE',
    'PROXY',
    ...report.tracks.map((track) => clean(track).toUpperCase()),
    ...(report.services.some(isPlain) ? ['PODS'] : []),
  ];
  const rows = shown.map((row) => boxes(row, report, several, options));
  const lines = rows.length === 0 ? [] : grid(head, rows, paint, columns);
  const hidden = sorted.length - shown.length;
  if (hidden > 0)
    lines.push(
      ...wrap(`${hidden} services without problems are not shown; --output wide shows them`, columns).map(
        (line) => paint('dim', line),
      ),
    );
  return lines;
}

function isPlain({ tracks, proxy }: ServiceRow): boolean {
  return proxy === null && tracks.some(({ track }) => track === '');
}

function rankOrFine({ worst }: ServiceRow): number {
  return worst === null ? -1 : rankOf(worst);
}

function boxes(row: ServiceRow, report: FleetReport, several: boolean, { wide }: TableOptions): Box[] {
  const worst = row.worst === null ? undefined : MARKS[row.worst];
  const none: Box = { text: '–', style: 'dim' };
  const box = (cell: Cell | undefined | null): Box => {
    if (cell === undefined || cell === null) return none;
    const builds = wide && cell.builds.length > 0 ? ` ${clean(cell.builds.slice(0, 2).join('+'))}` : '';
    const style = cell.ready >= cell.wanted ? undefined : cell.ready === 0 ? 'red' : 'yellow';
    return { text: `${cell.ready}/${cell.wanted}${builds}`, style };
  };
  return [
    { text: worst?.mark ?? '✓', style: worst?.style ?? 'green' },
    ...(several ? [{ text: clean(row.namespace), style: 'dim' as const }] : []),
    { text: clean(row.name), style: worst === undefined ? undefined : 'bold' },
    box(row.proxy),
    ...report.tracks.map((track) => box(row.tracks.find((cell) => cell.track === track))),
    ...(report.services.some(isPlain) ? [box(row.tracks.find(({ track }) => track === ''))] : []),
  ];
}

/** Names give way first when the terminal is narrow, then columns at the end are cut. */
function grid(
  head: readonly string[],
  rows: readonly (readonly Box[])[],
  paint: Paint,
  columns: number,
): string[] {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.text.length ?? 0)),
  );
  const gap = 2;
  const name = head.indexOf('SERVICE');
  const total = () => widths.reduce((sum, width) => sum + width + gap, -gap);
  if (total() > columns) widths[name] = Math.max(12, widths[name]! - (total() - columns));
  const kept: number[] = [];
  let used = 0;
  for (let column = 0; column < head.length; column++) {
    used += widths[column]! + (column === 0 ? 0 : gap);
    if (used > columns) break;
    kept.push(column);
  }
  const line = (cells: readonly Box[]) =>
    kept
      .map((column, at) => {
        const { text = '', style } = cells[column] ?? {};
        const fitted = cut(text, widths[column]!);
        const padding = at === kept.length - 1 ? '' : ' '.repeat(widths[column]! - fitted.length + gap);
        return (style === undefined ? fitted : paint(style, fitted)) + padding;
      })
      .join('');
  return [line(head.map((text) => ({ text, style: 'dim' as const }))), ...rows.map(line)];
}

function problems({ findings, at }: FleetReport, paint: Paint, columns: number): string[] {
  if (findings.length === 0) return [];
  const now = Date.parse(at);
  const lines: string[] = [''];
  for (const one of findings.toSorted(compareFindings)) lines.push(...problem(one, now, paint, columns));
  return lines;
}

function problem(one: Finding, now: number, paint: Paint, columns: number): string[] {
  const { mark, style } = MARKS[one.severity];
  const since = one.since === 0 ? '' : age(now - one.since);
  const title = cut(clean(one.service === '' ? one.object : one.service), columns - 34);
  const kind = clean(one.kind);
  const head = `${paint(style, mark)} ${paint('bold', title)}  ${paint('dim', kind)}${since === '' ? '' : paint('dim', `  for ${since}`)}`;
  const body = wrap(clean(one.message), columns - 2).map((line) => `  ${line}`);
  const advice = wrap(`→ ${clean(one.advice)}`, columns - 2).map((line) => paint('dim', `  ${line}`));
  return [head, ...body, ...advice];
}
