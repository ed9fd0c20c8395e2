/** Draws `soak.svg` from a run: memory and latency over time, and what happened meanwhile, in light and dark. */

import { writeFileSync } from 'node:fs';
import type { Columns, KeptSoak } from './results.ts';
import { EVENT_KINDS } from './schedule.ts';
import { seatsOf } from './tables.ts';

const FILE = new URL('../soak.svg', import.meta.url);

const WIDTH = 820;
const LEFT = 120;
const RIGHT = 120;
const TOP = 50;
const PANEL = 170;
const LANE = 15;
const GAP = 46;
const PLOT = WIDTH - LEFT - RIGHT;

/** One by process, in the order of the seats; the last ones share the last colour. */
const PROCESS_CLASSES = ['reference', 'own', 'light'];
/** Latencies are drawn by their logarithm, from here on. */
const LEAST_MS = 0.1;

interface Line {
  readonly name: string;
  readonly kind: string;
  readonly values: readonly (number | null)[];
}

interface Scale {
  readonly y: (value: number) => number;
  readonly ticks: readonly number[];
}

export function writeSoakPicture(kept: KeptSoak): void {
  writeFileSync(FILE, soakPicture(kept));
}

export function soakPicture(kept: KeptSoak): string {
  const { columns, minutes, events } = kept;
  const end = minutes * 60;
  const x = (seconds: number) => LEFT + (seconds / end) * PLOT;
  const seats = seatsOf(kept);
  const memory = seats.flatMap((seat, index): Line[] => {
    const kind = PROCESS_CLASSES[Math.min(index, PROCESS_CLASSES.length - 1)]!;
    return [
      { name: seat, kind, values: columns[`rss ${seat}`]! },
      { name: '', kind: `${kind} thin`, values: columns[`heap ${seat}`]! },
    ];
  });
  const latency: Line[] = [
    { name: 'p99', kind: 'light', values: columns['get p99']! },
    { name: 'p50', kind: 'own', values: columns['get p50']! },
  ];
  const memoryTop = TOP + 30;
  const latencyTop = memoryTop + PANEL + GAP;
  const lanesTop = latencyTop + PANEL + GAP;
  const kinds = EVENT_KINDS.filter((kind) => (events[kind]?.length ?? 0) > 0);
  const bottom = lanesTop + kinds.length * LANE;
  const height = bottom + 40;
  const parts = [
    title('Memory in MiB: resident, and thin what lives in the heap after a whole collection', memoryTop),
    ...panel(memory, columns, x, linear(memory, memoryTop), memoryTop),
    title('Latency of GET in ms as clients see it, of each 10 s', latencyTop),
    ...panel(latency, columns, x, logarithmic(latency, latencyTop), latencyTop),
    title('Events', lanesTop),
    ...kinds.flatMap((kind, index) => lane(kind, events[kind]!, x, lanesTop + index * LANE)),
    ...(events['worker killed'] ?? []).map(
      (at) =>
        `<line class="kill" x1="${x(at).toFixed(1)}" x2="${x(at).toFixed(1)}" y1="${memoryTop}" y2="${bottom}"/>`,
    ),
    ...minuteTicks(minutes).map(
      (minute) =>
        `<text class="label" x="${x(minute * 60).toFixed(1)}" y="${bottom + 18}" text-anchor="middle">${minute} min</text>`,
    ),
  ];
  const heading = `Soak: ${Math.round(minutes)} minutes of mixed traffic with reloads, kills, DNS changes and Redis restarts`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="Memory and latency over ${Math.round(minutes)} minutes">
<style>
  text { font: 12px system-ui, sans-serif; fill: #1f2328; }
  .heading { font-size: 15px; font-weight: 600; }
  .title { font-weight: 600; }
  .label { font-variant-numeric: tabular-nums; }
  .background { fill: #ffffff; }
  .line { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
  .thin { stroke-width: 1; }
  .own { stroke: #1a7f5a; } .light { stroke: #57b894; } .reference { stroke: #57606a; }
  .grid { stroke: #d8dee4; } .kill { stroke: #cf222e; stroke-dasharray: 3 3; } .event { stroke: #57606a; stroke-width: 1.5; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .background { fill: #0d1117; }
    .own { stroke: #3fb68b; } .light { stroke: #7fd8b8; } .reference { stroke: #8b949e; }
    .grid { stroke: #30363d; } .kill { stroke: #f85149; } .event { stroke: #8b949e; }
  }
</style>
<rect class="background" width="${WIDTH}" height="${height}"/>
<text class="heading" x="16" y="26">${heading}</text>
${parts.join('\n')}
</svg>
`;
}

function title(text: string, top: number): string {
  return `<text class="title" x="16" y="${top - 12}">${text}</text>`;
}

function panel(
  lines: readonly Line[],
  columns: Columns,
  x: (seconds: number) => number,
  { y, ticks }: Scale,
  top: number,
): string[] {
  const grid = ticks.flatMap((tick) => [
    `<line class="grid" x1="${LEFT}" x2="${LEFT + PLOT}" y1="${y(tick).toFixed(1)}" y2="${y(tick).toFixed(1)}"/>`,
    `<text class="label" x="${LEFT - 8}" y="${(y(tick) + 4).toFixed(1)}" text-anchor="end">${tick}</text>`,
  ]);
  const times = columns['at'] as number[];
  const paths = lines.map(({ kind, values }) => {
    let pen = 'M';
    const points = values.flatMap((value, index) => {
      if (value === null) {
        pen = 'M';
        return [];
      }
      const point = `${pen}${x(times[index]!).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = 'L';
      return [point];
    });
    return `<path class="line ${kind}" d="${points.join('')}"/>`;
  });
  return [...grid, ...paths, ...names(lines, y, top)];
}

/** At the end of each line, moved apart where they would cover each other. */
function names(lines: readonly Line[], y: (value: number) => number, top: number): string[] {
  const named = lines
    .filter(({ name }) => name !== '')
    .map(({ name, values }) => ({ name, at: y(values.findLast((value) => value !== null) ?? 0) + 4 }))
    .sort((a, b) => a.at - b.at);
  let above = top - 14;
  return named.map(({ name, at }) => {
    above = Math.max(at, above + 14);
    return `<text class="label" x="${LEFT + PLOT + 8}" y="${above.toFixed(1)}">${name}</text>`;
  });
}

function lane(kind: string, times: readonly number[], x: (seconds: number) => number, top: number): string[] {
  return [
    `<text class="label" x="${LEFT - 8}" y="${top + 11}" text-anchor="end">${kind}</text>`,
    ...times.map(
      (at) =>
        `<line class="event" x1="${x(at).toFixed(1)}" x2="${x(at).toFixed(1)}" y1="${top + 2}" y2="${top + 12}"/>`,
    ),
    `<text class="label" x="${LEFT + PLOT + 8}" y="${top + 11}">${times.length}</text>`,
  ];
}

function linear(lines: readonly Line[], top: number): Scale {
  const step = 50;
  const most = Math.ceil(largestOf(lines) / step) * step || step;
  return {
    y: (value) => top + PANEL - (value / most) * PANEL,
    ticks: Array.from({ length: most / step + 1 }, (_, index) => index * step),
  };
}

function logarithmic(lines: readonly Line[], top: number): Scale {
  const decades = Math.max(1, Math.ceil(Math.log10(largestOf(lines) / LEAST_MS)));
  const share = (value: number) => Math.log10(Math.max(value, LEAST_MS) / LEAST_MS) / decades;
  return {
    y: (value) => top + PANEL - share(value) * PANEL,
    ticks: Array.from({ length: decades + 1 }, (_, index) => Number((LEAST_MS * 10 ** index).toPrecision(1))),
  };
}

function largestOf(lines: readonly Line[]): number {
  return Math.max(1, ...lines.flatMap(({ values }) => values.map((value) => value ?? 0)));
}

function minuteTicks(minutes: number): number[] {
  const step = [1, 2, 5, 10, 30, 60].find((candidate) => minutes / candidate <= 8) ?? 120;
  return Array.from({ length: Math.floor(minutes / step) + 1 }, (_, index) => index * step);
}
