/** Draws `comparison.svg` from the results: CPU per request beside HAProxy's, in light and dark. */

import { writeFileSync } from 'node:fs';
import type { Results } from './results.ts';
import { PARTS } from './standard.ts';

const FILE = new URL('./comparison.svg', import.meta.url);

const WIDTH = 820;
const LABELS = 178;
const BAR = 15;
const GAP = 4;
const GROUP_GAP = 34;
const TOP = 56;
/** Multiples of HAProxy's that the picture is wide; what is longer is cut off and says so. */
const LARGEST = 5.5;

/** Drawn from top to bottom; what is ours stands out. */
const COLOURS: Readonly<Record<string, string>> = {
  'pointsman-pipelining': 'own-light',
  pointsman: 'own',
  'pointsman-full': 'own-pale',
  haproxy: 'reference',
  nginx: 'other',
  httpxy: 'other',
  'http-proxy-3': 'other',
};

interface Bar {
  readonly subject: string;
  readonly ratio: number;
}

export function writePicture(results: Results): void {
  writeFileSync(FILE, picture(results));
}

export function picture(results: Results): string {
  const groups = new Map<string, Bar[]>();
  for (const part of PARTS) {
    for (const { title, subject, cpu } of results[part]?.ratios ?? []) {
      if (cpu === undefined || part === 'latency' || part === 'cost' || COLOURS[subject] === undefined)
        continue;
      groups.set(title, [...(groups.get(title) ?? []), { subject, ratio: cpu }]);
    }
  }
  let y = TOP;
  const parts: string[] = [];
  for (const [title, bars] of groups) {
    parts.push(`<text class="title" x="16" y="${y + 12}">${escaped(title)}</text>`);
    y += 22;
    for (const subject of Object.keys(COLOURS)) {
      const bar = bars.find((one) => one.subject === subject);
      if (bar === undefined) continue;
      const width = (Math.min(bar.ratio, LARGEST) / LARGEST) * (WIDTH - LABELS - 70);
      const cut = bar.ratio > LARGEST ? ' (cut off)' : '';
      parts.push(
        `<text class="label" x="${LABELS - 8}" y="${y + 12}" text-anchor="end">${escaped(subject)}</text>`,
        `<rect class="${COLOURS[subject]}" x="${LABELS}" y="${y}" width="${width.toFixed(1)}" height="${BAR}" rx="2"/>`,
        `<text class="value" x="${(LABELS + width + 6).toFixed(1)}" y="${y + 12}">${bar.ratio.toFixed(2)}${cut}</text>`,
      );
      y += BAR + GAP;
    }
    y += GROUP_GAP - 22;
  }
  const one = LABELS + (WIDTH - LABELS - 70) / LARGEST;
  const height = y + 8;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="CPU per request as a multiple of HAProxy's">
<style>
  text { font: 12px system-ui, sans-serif; fill: #1f2328; }
  .heading { font-size: 15px; font-weight: 600; }
  .title { font-weight: 600; }
  .title, .value { paint-order: stroke; stroke: #ffffff; stroke-width: 4px; }
  .value { font-variant-numeric: tabular-nums; }
  .background { fill: #ffffff; }
  .own { fill: #1a7f5a; } .own-light { fill: #57b894; } .own-pale { fill: #a3d3c1; }
  .reference { fill: #57606a; } .other { fill: #b4bac1; }
  .line { stroke: #57606a; stroke-dasharray: 3 3; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .title, .value { stroke: #0d1117; } .background { fill: #0d1117; }
    .own { fill: #3fb68b; } .own-light { fill: #7fd8b8; } .own-pale { fill: #2c6b55; }
    .reference { fill: #8b949e; } .other { fill: #484f58; } .line { stroke: #8b949e; }
  }
</style>
<rect class="background" width="${WIDTH}" height="${height}"/>
<text class="heading" x="16" y="26">CPU per request, as a multiple of HAProxy's in the same run (less is better)</text>
<line class="line" x1="${one}" x2="${one}" y1="${TOP - 12}" y2="${height - 10}"/>
${parts.join('\n')}
</svg>
`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
