/** The report as Markdown, for issues, pull requests and chat. */

import type { Cell, FleetReport } from '../report.ts';
import { markOf } from './table.ts';
import { age, clean } from './text.ts';

export function renderMarkdown(report: FleetReport): string {
  const { counts, tracks, services, findings, cluster, at } = report;
  const lines = [
    `## Fleet of ${escaped(cluster)}`,
    '',
    `${counts.services} services, ${counts.pods} pods, ${counts.fine} services fine, ${counts.findings.critical} critical, ${counts.findings.unknown} unknown, ${counts.findings.warning} warnings; ${at}`,
    '',
    row(['', 'Namespace', 'Service', 'Proxy', ...tracks]),
    row(['---', '---', '---', ...['', ...tracks].map(() => '---:')]),
    ...services.map(({ worst, namespace, name, proxy, tracks: cells }) =>
      row([
        markOf(worst),
        namespace,
        name,
        cellText(proxy),
        ...tracks.map((track) => cellText(cells.find((cell) => cell.track === track))),
      ]),
    ),
  ];
  if (findings.length > 0) {
    lines.push(
      '',
      row(['', 'Service', 'Kind', 'What', 'For', 'To do']),
      row(Array.from({ length: 6 }, () => '---')),
    );
    for (const one of findings) {
      const since = one.since === 0 ? '' : age(Date.parse(at) - one.since);
      lines.push(
        row([markOf(one.severity), one.service || one.object, one.kind, one.message, since, one.advice]),
      );
    }
  }
  if (report.notes.length > 0) lines.push('', ...report.notes.map((note) => `Note: ${escaped(note)}.`));
  return `${lines.join('\n')}\n`;
}

function cellText(cell: Cell | null | undefined): string {
  return cell === null || cell === undefined ? '–' : `${cell.ready}/${cell.wanted}`;
}

function row(cells: readonly string[]): string {
  return `| ${cells.map(escaped).join(' | ')} |`;
}

/** Names of objects must neither break the table nor become HTML or links. */
function escaped(text: string): string {
  return clean(text)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll(/([|\\`*_[\]])/g, '\\$1');
}
