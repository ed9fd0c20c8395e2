/** The parts of the page that change while one looks at it, each by the id of its element. Pure. */
import type { RecentTraffic } from '../admin/recent-traffic.ts';
import type { StatusDocument } from '../admin/status.ts';
import { GUARD } from '../canary-guard/brake.ts';
import { backendPart } from './backend-parts.ts';
import { type FlowFigures, flowPicture } from './flow.ts';
import { historyPart } from './history-parts.ts';
import { type Html, html } from './html.ts';
import { pinsPart } from './pin-parts.ts';
import { countsLine, guardMark, routePart } from './route-parts.ts';
import { setNotices, setsPart } from './set-parts.ts';
import type { Window } from './window.ts';
import { ago, backendMark, count, figure, left, percent } from './words.ts';

export interface PageInput {
  readonly status: StatusDocument;
  readonly recent: RecentTraffic;
}

/** In the order of the page. */
export function pageParts({ status, recent }: PageInput): ReadonlyMap<string, string> {
  const { seconds, sums } = recent.window();
  const known = seconds >= 1;
  const share = (route: string, backend: string): number | undefined => {
    const { total, byBackend } = sums.route(route);
    return known && total.requests > 0 ? (100 * (byBackend.get(backend) ?? 0)) / total.requests : undefined;
  };
  const rate = (requests: number) => (known ? requests / seconds : undefined);
  const figures: FlowFigures = {
    share: (route, backend) => share(route, backend) ?? sinceStart(status, route, backend),
    rate: (route) => rate(sums.route(route).total.requests),
    backendRate: (backend) => rate(sums.backend(backend).requests),
  };
  const window: Window = { known, seconds, recent, share, row: (route, backend) => sums.row(route, backend) };
  const history = historyPart(status);
  return new Map<string, string>([
    ['head', headPart(status, known ? totalOf(status, window) : undefined, seconds).text],
    ['overrides', overridesPart(status).text],
    ['flow', flowPicture(status, figures).text],
    [
      'routes',
      html`${status.routes.map((route) => routePart(route, status, window))}${countsLine(status)}`.text,
    ],
    ['backends', html`${status.backends.map((backend) => backendPart(backend, status, window))}`.text],
    ['sets', setsPart(status).text],
    ['pins', pinsPart(status).text],
    ['failures', history.failures.text],
    ['changes', history.changes.text],
    ['reloads', history.reloads.text],
  ]);
}

interface Totals {
  readonly perSecond: number;
  readonly errorPercent: number;
}

function totalOf({ routes }: StatusDocument, { row, seconds }: Window): Totals {
  let requests = 0;
  let errors = 0;
  for (const { name, split } of routes) {
    for (const backend of [...Object.keys(split), '-']) {
      const sums = row(name, backend);
      requests += sums.requests;
      errors += sums.errors;
    }
  }
  return { perSecond: requests / seconds, errorPercent: requests === 0 ? 0 : (100 * errors) / requests };
}

function sinceStart(status: StatusDocument, route: string, backend: string): number | undefined {
  const row = status.routes.find(({ name }) => name === route);
  return row === undefined || row.requests === 0
    ? undefined
    : (100 * (row.requestsByBackend[backend] ?? 0)) / row.requests;
}

function headPart(status: StatusDocument, totals: Totals | undefined, seconds: number): Html {
  const { config, ready, backends } = status;
  const inFlight = backends.reduce((sum, backend) => sum + backend.inFlight, 0);
  const sick = backends.filter(
    (backend) => backendMark(backend).tone === 'bad' || backendMark(backend).tone === 'warn',
  );
  const braked = status.guards
    .filter((guard) => guardMark(guard).tone === 'bad')
    .map((guard) => `${guard.backend} of ${guard.route} (${guardMark(guard).word})`);
  const toLookAt = [...sick.map(({ name }) => name), ...braked];
  const online = status.workers.filter(({ state }) => state === 'online').length;
  return html`<h1>${status.service} <span class="soft">Pointsman</span></h1>
<p>${ready.ok ? html`<span class="good"><span aria-hidden="true">●</span> ready</span>` : html`<span class="bad"><span aria-hidden="true">✕</span> not ready: ${ready.reasons.join('; ')}</span>`} · ${toLookAt.length === 0 ? html`<span class="good">every backend is well</span>` : html`<span class="bad">to look at: ${toLookAt.join(', ')}</span>`}</p>
<p class="soft">configuration <code>${config.hash.slice(0, 12)}</code>, taken over ${ago(config.loadedAt)} ago · ${online} of ${status.workers.length} ${status.workers.length === 1 ? 'worker' : 'workers'} · up for ${ago(status.startedAt)} · version ${status.version}</p>
<dl class="figures"><div><dt>requests/s</dt><dd>${totals === undefined ? '–' : figure(totals.perSecond)}</dd></div><div><dt>errors (5xx)</dt><dd class="${totals !== undefined && totals.errorPercent >= 1 ? 'bad' : ''}">${totals === undefined ? '–' : percent(totals.errorPercent)}</dd></div><div><dt>in flight</dt><dd>${count(inFlight)}</dd></div><div><dt>clients</dt><dd>${count(status.connections.client)}</dd></div><div><dt>tunnels</dt><dd>${count(status.connections.tunnels)}</dd></div></dl>
<p class="soft">${totals === undefined ? 'Rates follow in a second.' : `Rates and shares of the last ${Math.round(seconds)} s.`}</p>
${config.lastError !== null && html`<p class="notice bad" role="alert"><strong>The configuration on disk is refused since ${ago(config.lastError.at)}; the last good one stays.</strong> ${config.lastError.problems.slice(0, 3).map(({ message, path, line }) => html`<br>${line === undefined || line === 0 ? '' : `line ${line}: `}${path ?? ''} ${message}`)}</p>`}
${config.restartNeeded.length > 0 && html`<p class="notice">Changed in the file and waiting for a restart: ${config.restartNeeded.join(', ')}</p>`}`;
}

function overridesPart(status: StatusDocument): Html {
  const { overrides, overridesShared, acting } = status;
  const sets = setNotices(status);
  if (overrides.length === 0 && sets.length === 0) return html``;
  const reach =
    overridesShared === null
      ? 'They hold in this replica alone.'
      : overridesShared.state === 'closed'
        ? 'All replicas share them.'
        : `Redis is away (${overridesShared.reason}): other replicas follow once it is back.`;
  const guards = overrides.filter(({ by }) => by === GUARD).length;
  const title =
    overrides.length === 0
      ? 'Release sets that lost a member'
      : guards === 0
        ? 'Set by hand'
        : guards === overrides.length
          ? 'Braked by guards'
          : 'Set by hand, and braked by guards';
  return html`<section aria-labelledby="by-hand"><h2 id="by-hand">${title}</h2>${overrides.map(
    ({ id, text, reason, by, until, state, why }) =>
      html`<div class="notice"><strong>${text}</strong> for ${left(until)} more${state === 'void' && html`, <span class="bad">but does nothing: ${why}</span>`}<br><span class="soft">${by}: ${reason}</span> ${acting && html`<button class="small" data-act="end" data-override="${id}" data-title="End: ${text}">End it now</button>`}</div>`,
  )}${sets}${overrides.length > 0 && html`<p class="soft">${reach}</p>`}</section>`;
}
