/**
 * The overview as one page without scripts, fonts or images from anywhere: it works in a browser that may reach nothing
 * else. It loads itself again; what a reader folded open stays open only until then, so nothing is folded.
 */

import { createHash } from 'node:crypto';
import type { Severity } from '../finding.ts';
import { markOf } from '../output/table.ts';
import { age, clean } from '../output/text.ts';
import type { Cell, ServiceRow } from '../report.ts';
import type { ClusterState } from './clusters.ts';

const STYLE = `
:root{color-scheme:light dark;--ground:#fff;--panel:#f6f7f8;--ink:#17191c;--soft:#5b626b;--line:#d9dde2;--good:#146c2e;--warn:#8a5300;--bad:#b3261e;--dark:#6b3fa0}
@media (prefers-color-scheme:dark){:root{--ground:#121417;--panel:#1b1e22;--ink:#e8eaed;--soft:#a0a7b0;--line:#32373d;--good:#6fd08c;--warn:#f2b45c;--bad:#ff8a80;--dark:#cfa8ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main,header{max-width:1200px;margin:0 auto;padding:0 20px}
header{padding-top:24px}
h1{font-size:20px;margin:0}
h2{font-size:17px;margin:32px 0 4px}
h3{font-size:15px;margin:20px 0 8px}
p{margin:4px 0}
.soft{color:var(--soft)}
.notice{border-left:4px solid var(--bad);background:var(--panel);padding:8px 12px;margin:12px 0}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--soft);padding:4px 0}
th,td{text-align:left;padding:5px 14px 5px 0;border-bottom:1px solid var(--line);white-space:nowrap}
thead th{color:var(--soft);font-weight:600;font-size:13px}
tbody th{font-weight:600}
td.n{text-align:right}
th.n{text-align:right}
.critical{color:var(--bad)}.warning{color:var(--warn)}.unknown{color:var(--dark)}.info{color:var(--soft)}.fine{color:var(--good)}
ul{list-style:none;margin:0;padding:0}
li{background:var(--panel);border-left:4px solid var(--line);padding:8px 12px;margin:0 0 8px}
li.critical{border-color:var(--bad)}li.warning{border-color:var(--warn)}li.unknown{border-color:var(--dark)}
li strong,li>span:not([class]),li code{color:var(--ink)}
li .soft{color:var(--soft)}
code{font:13px/1.5 ui-monospace,monospace;overflow-wrap:anywhere}
a{color:inherit}
footer{max-width:1200px;margin:32px auto;padding:12px 20px;border-top:1px solid var(--line);color:var(--soft)}
`;

/** Everything but this page's own style is forbidden, so that nothing of a cluster could ever run. */
export const PAGE_POLICY = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

export function renderPage(
  states: readonly ClusterState[],
  options: {
    readonly now: number;
    readonly version: string;
    readonly refreshSeconds: number;
  },
): string {
  const { now, version } = options;
  const total = (severity: Severity) =>
    states.reduce((sum, { report }) => sum + report.counts.findings[severity], 0);
  const services = states.reduce((sum, { report }) => sum + report.counts.services, 0);
  const fine = states.reduce((sum, { report }) => sum + report.counts.fine, 0);
  const worst =
    total('critical') > 0
      ? `${total('critical')} critical`
      : fine === services
        ? 'all fine'
        : `${services - fine} to look at`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="${options.refreshSeconds}">
<title>${escaped(worst)} – Pointsman fleet</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>Fleet</h1>
<p>${summary(services, fine, total)}</p>
</header>
<main>
${states.length === 0 ? '<p>No survey yet.</p>' : states.map((state) => cluster(state, now)).join('\n')}
</main>
<footer>Pointsman ${escaped(version)} · ${new Date(now).toISOString().slice(0, 19).replace('T', ' ')} UTC · <a href="report">JSON</a> · <a href="metrics">metrics</a></footer>
</body>
</html>
`;
}

function summary(services: number, fine: number, total: (severity: Severity) => number): string {
  const parts = [`${services} services`, `<span class="fine">${fine} fine</span>`];
  for (const severity of ['critical', 'unknown', 'warning'] as const) {
    if (total(severity) > 0)
      parts.push(`<span class="${severity}">${markOf(severity)} ${total(severity)} ${severity}</span>`);
  }
  return parts.join(' · ');
}

function cluster({ cluster: name, report, receivedAt, silent, remote }: ClusterState, now: number): string {
  const where = report.namespaces.length === 0 ? 'all namespaces' : report.namespaces.join(', ');
  const notices = [
    ...(silent
      ? [
          `${remote ? 'The agent of this cluster' : 'This cluster'} has not reported for ${age(now - receivedAt)}; what follows is old.`,
        ]
      : []),
  ];
  return `<section aria-labelledby="${idOf(name)}">
<h2 id="${idOf(name)}">${escaped(name)}</h2>
<p class="soft">${escaped(where)} · ${report.counts.pods} pods · surveyed ${age(now - Date.parse(report.at))} ago${remote ? ', by an agent' : ''}</p>
${notices.map((notice) => `<p class="notice" role="alert">${escaped(notice)}</p>`).join('')}
${findings(report.findings, Date.parse(report.at))}
${table(report.services, report.tracks)}
${report.notes.map((note) => `<p class="soft">Note: ${escaped(note)}.</p>`).join('')}
</section>`;
}

function findings(all: ClusterState['report']['findings'], at: number): string {
  if (all.length === 0) return '';
  const shown = all.slice(0, 200);
  const items = shown.map(
    ({ severity, service, object, namespace, kind, message, since, advice }) =>
      `<li class="${severity}"><span class="${severity}"><span aria-hidden="true">${markOf(severity)}</span> ${severity}</span> <strong>${escaped(service || object)}</strong> <span class="soft">${escaped([namespace, kind, since === 0 ? '' : `for ${age(at - since)}`].filter((part) => part !== '').join(' · '))}</span><br><span>${escaped(message)}</span><br><code class="soft">${escaped(advice)}</code></li>`,
  );
  const rest = all.length - shown.length;
  return `<h3>What is wrong</h3><ul>${items.join('\n')}</ul>${rest > 0 ? `<p class="soft">… and ${rest} more, in the <a href="report">JSON</a>.</p>` : ''}`;
}

function table(rows: readonly ServiceRow[], tracks: readonly string[]): string {
  if (rows.length === 0) return '';
  const plain = rows.some(({ proxy }) => proxy === null);
  const columns = [...tracks, ...(plain ? [''] : [])];
  const head =
    ['Namespace', 'Service'].map((title) => `<th scope="col">${title}</th>`).join('') +
    ['Proxy', ...tracks, ...(plain ? ['Pods'] : [])]
      .map((title) => `<th scope="col" class="n">${escaped(title)}</th>`)
      .join('');
  const body = rows.map(({ worst, namespace, name, proxy, tracks: cells }) => {
    const mark = `<span class="${worst ?? 'fine'}" role="img" aria-label="${worst ?? 'fine'}">${markOf(worst)}</span>`;
    const values = [proxy, ...columns.map((track) => cells.find((one) => one.track === track))];
    return `<tr><td>${mark} ${escaped(namespace)}</td><th scope="row">${escaped(name)}</th>${values.map(cell).join('')}</tr>`;
  });
  return `<h3>Services</h3><div class="scroll" role="region" aria-label="Services" tabindex="0"><table><caption>Ready of wanted pods, and the build</caption><thead><tr>${head}</tr></thead><tbody>${body.join('\n')}</tbody></table></div>`;
}

function cell(value: Cell | null | undefined): string {
  if (value === null || value === undefined) return '<td class="n soft">–</td>';
  const style = value.ready >= value.wanted ? '' : value.ready === 0 ? ' critical' : ' warning';
  return `<td class="n${style}">${value.ready}/${value.wanted} <span class="soft">${escaped(value.builds.slice(0, 2).join(', '))}</span></td>`;
}

function idOf(name: string): string {
  return `cluster-${name.replaceAll(/[^A-Za-z0-9_-]/g, '-')}`;
}

function escaped(text: string): string {
  return clean(text)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
