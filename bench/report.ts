/** From rounds to tables: medians, ratios to HAProxy, or another reference, of the same run, plain text and Markdown. */

import type { DriverName, Latency } from './drivers/driver.ts';
import type { Round } from './measure.ts';
import type { Scenario } from './workload.ts';

/** All rounds of one subject under one kind of load. */
export interface Series {
  readonly subject: string;
  readonly rounds: readonly Round[];
  /** Found before the first round; such a subject is not measured. */
  readonly refused?: string;
}

export interface Section {
  readonly driver: DriverName;
  readonly scenario: Scenario;
  /** Bytes. */
  readonly size: number;
  readonly connections: number;
  readonly accessLog: boolean;
  /** Requests a second, in latency mode. */
  readonly rate?: number;
  /** The subject that ratios are to. Default: `haproxy`. */
  readonly reference?: string;
  readonly series: readonly Series[];
}

export interface Summary {
  readonly subject: string;
  readonly requestsPerSecond: number;
  readonly latency: Latency;
  /** Microseconds a request. */
  readonly cpu: { readonly total: number; readonly user: number; readonly system: number } | undefined;
  readonly busy: number | undefined;
  readonly disturbed: number | undefined;
  readonly peakRss: number | undefined;
  readonly problems: readonly string[];
}

export interface ComparedSummary extends Summary {
  /**
   * CPU per request, as a multiple of the reference's: the median over the rounds of the ratio within each round, so that a
   * machine that is slower for a while counts for both.
   */
  readonly cpuRatio: number | undefined;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return Number.NaN;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function summariesOf(section: Section): ComparedSummary[] {
  const reference = section.series.find(({ subject }) => subject === referenceOf(section));
  return section.series.map((series) => {
    const ratios = series.rounds.flatMap((round, index) => {
      const [own, others] = [cpuPerRequest(round), cpuPerRequest(reference?.rounds[index])];
      return own === undefined || others === undefined ? [] : [own / others];
    });
    return { ...summarize(series), cpuRatio: ratios.length === 0 ? undefined : median(ratios) };
  });
}

function referenceOf({ reference = 'haproxy' }: Section): string {
  return reference;
}

function cpuPerRequest(round: Round | undefined): number | undefined {
  return round?.cpu === undefined ? undefined : round.cpu.totalUs / round.result.requests;
}

export function summarize(series: Series): Summary {
  const { rounds } = series;
  const over = (pick: (round: Round) => number) => median(rounds.map(pick));
  const maybe = (pick: (round: Round) => number | undefined) => {
    const values = rounds.map(pick).filter((value) => value !== undefined);
    return values.length === 0 ? undefined : median(values);
  };
  const perRequest = (key: 'totalUs' | 'userUs' | 'systemUs') =>
    maybe((round) => (round.cpu === undefined ? undefined : round.cpu[key] / round.result.requests));
  const total = perRequest('totalUs');
  const peaks = rounds.map((round) => round.peakRss).filter((value) => value !== undefined);
  return {
    subject: series.subject,
    requestsPerSecond: over((round) => round.result.requests / round.result.seconds),
    latency: {
      p50: over((round) => round.result.latency.p50),
      p90: over((round) => round.result.latency.p90),
      p99: over((round) => round.result.latency.p99),
      p999: over((round) => round.result.latency.p999),
      max: over((round) => round.result.latency.max),
    },
    cpu:
      total === undefined
        ? undefined
        : { total, user: perRequest('userUs')!, system: perRequest('systemUs')! },
    busy: maybe((round) => round.busy),
    disturbed: maybe((round) => round.disturbed),
    peakRss: peaks.length === 0 ? undefined : Math.max(...peaks),
    problems: [
      ...(series.refused === undefined ? [] : [series.refused]),
      ...rounds.flatMap((round, index) => round.problems.map((problem) => `round ${index + 1}: ${problem}`)),
    ],
  };
}

export function hasFailed(sections: readonly Section[]): boolean {
  return sections.some((section) => section.series.some((series) => summarize(series).problems.length > 0));
}

type Cells = readonly string[];

export interface Table {
  readonly title: string;
  readonly head: Cells;
  readonly rows: readonly Cells[];
  readonly notes: readonly string[];
}

/** More of the proxy's core than this taken by others makes a round doubtful. */
const DISTURBED = 0.05;

export function tableOf(section: Section): Table {
  const summaries = summariesOf(section);
  const reference = summaries.find(({ subject }) => subject === referenceOf(section));
  const referenceName = referenceOf(section) === 'haproxy' ? 'HAProxy' : referenceOf(section);
  const base = summaries.find(({ subject }) => subject === 'direct');
  const paced = section.rate !== undefined;
  const referenceAdds = reference === undefined ? undefined : addedTo(reference, base);
  const rows = summaries.map((summary): Cells => {
    const { latency, cpu } = summary;
    if (Number.isNaN(summary.requestsPerSecond)) return [summary.subject, 'FAILED'];
    return [
      summary.problems.length > 0 ? `${summary.subject} FAILED` : summary.subject,
      String(Math.round(summary.requestsPerSecond)),
      ratio(paced ? undefined : summary.requestsPerSecond, reference?.requestsPerSecond),
      ...[latency.p50, latency.p90, latency.p99, latency.p999, latency.max].map((value) => value.toFixed(2)),
      ...(paced ? added(addedTo(summary, base), referenceAdds) : []),
      cpu === undefined ? '–' : cpu.total.toFixed(1),
      cpu === undefined ? '–' : `${cpu.user.toFixed(1)} + ${cpu.system.toFixed(1)}`,
      summary.cpuRatio === undefined ? '–' : summary.cpuRatio.toFixed(2),
      summary.busy === undefined ? '–' : percent(summary.busy),
      summary.peakRss === undefined ? '–' : String(Math.round(summary.peakRss / 1024 ** 2)),
    ];
  });
  const head = [
    'subject',
    'requests/s',
    `× ${referenceName}`,
    ...['p50', 'p90', 'p99', 'p99.9', 'max'].map((name) => `${name} ms`),
    ...(paced ? ['added p50, p99, p99.9 ms', `added × ${referenceName}`] : []),
    'CPU µs/request',
    'user + system',
    `CPU × ${referenceName}`,
    'proxy core busy',
    'peak RSS MiB',
  ];
  const notes = summaries.flatMap((summary) => [
    ...summary.problems.map((problem) => `${summary.subject} FAILED: ${problem}`),
    ...((summary.disturbed ?? 0) > DISTURBED
      ? [
          `${summary.subject}: other processes or the hypervisor took ${percent(summary.disturbed!)} of the proxy's core`,
        ]
      : []),
  ]);
  const rate = paced ? `, ${section.rate} requests/s` : '';
  const log = section.accessLog ? ', access log' : '';
  return {
    title: `${section.scenario}, ${section.size} bytes, ${section.connections} connections, ${section.driver}${rate}${log}`,
    head,
    rows: rows.map((row) => [...row, ...Array<string>(head.length - row.length).fill('')]),
    notes,
  };
}

/** Milliseconds more than without a proxy: p50, p99, p99.9. */
function addedTo({ latency, subject }: Summary, base: Summary | undefined): number[] | undefined {
  if (base === undefined || subject === base.subject) return undefined;
  return (['p50', 'p99', 'p999'] as const).map((at) => latency[at] - base.latency[at]);
}

function added(own: number[] | undefined, reference: number[] | undefined): string[] {
  if (own === undefined) return ['–', '–'];
  return [
    own.map((ms) => ms.toFixed(2)).join(', '),
    reference === undefined ? '–' : own.map((ms, index) => (ms / reference[index]!).toFixed(2)).join(', '),
  ];
}

function ratio(value: number | undefined, reference: number | undefined): string {
  return value === undefined || reference === undefined ? '–' : (value / reference).toFixed(2);
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

export function plainText(table: Table): string {
  const widths = table.head.map((name, column) =>
    Math.max(name.length, ...table.rows.map((row) => row[column]!.length)),
  );
  const line = (cells: Cells) =>
    cells
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join('  ')
      .trimEnd();
  return [table.title, line(table.head), ...table.rows.map(line), ...table.notes].join('\n');
}

export function markdown(table: Table): string {
  const line = (cells: Cells) => `| ${cells.join(' | ')} |`;
  const align = line(table.head.map((_, column) => (column === 0 ? '---' : '---:')));
  const notes = table.notes.map((note) => `- ${note.replace(/\s+/g, ' ').slice(0, 300)}`);
  return [
    `**${table.title}**`,
    '',
    line(table.head),
    align,
    ...table.rows.map(line),
    ...(notes.length > 0 ? ['', ...notes] : []),
  ].join('\n');
}
