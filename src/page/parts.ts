/** The parts of the page that change while one looks at it, each by the id of its element. Pure. */
import type { RecentTraffic } from '../admin/recent-traffic.ts';
import type {
  BackendReport,
  EndpointReport,
  ResolutionReport,
  RouteReport,
  StatusDocument,
} from '../admin/status.ts';
import type { RequestSums } from '../admin/traffic-sums.ts';
import { type FlowFigures, flowPicture } from './flow.ts';
import { historyPart } from './history-parts.ts';
import { type Content, type Html, html } from './html.ts';
import {
  ago,
  backendMark,
  count,
  endpointMark,
  figure,
  left,
  marked,
  milliseconds,
  percent,
} from './words.ts';

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
    ['routes', html`${status.routes.map((route) => routePart(route, status, window))}`.text],
    ['backends', html`${status.backends.map((backend) => backendPart(backend, status, window))}`.text],
    ['pins', pinsPart(status).text],
    ['failures', history.failures.text],
    ['changes', history.changes.text],
    ['reloads', history.reloads.text],
  ]);
}

interface Window {
  readonly known: boolean;
  readonly seconds: number;
  readonly recent: RecentTraffic;
  readonly share: (route: string, backend: string) => number | undefined;
  readonly row: (route: string, backend: string) => RequestSums;
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
  const online = status.workers.filter(({ state }) => state === 'online').length;
  return html`<h1>${status.service} <span class="soft">Pointsman</span></h1>
<p>${ready.ok ? html`<span class="good"><span aria-hidden="true">●</span> ready</span>` : html`<span class="bad"><span aria-hidden="true">✕</span> not ready: ${ready.reasons.join('; ')}</span>`} · ${sick.length === 0 ? html`<span class="good">every backend is well</span>` : html`<span class="bad">to look at: ${sick.map(({ name }) => name).join(', ')}</span>`}</p>
<p class="soft">configuration <code>${config.hash.slice(0, 12)}</code>, taken over ${ago(config.loadedAt)} ago · ${online} of ${status.workers.length} ${status.workers.length === 1 ? 'worker' : 'workers'} · up since ${ago(status.startedAt)} · version ${status.version}</p>
<dl class="figures"><div><dt>requests/s</dt><dd>${totals === undefined ? '–' : figure(totals.perSecond)}</dd></div><div><dt>errors (5xx)</dt><dd class="${totals !== undefined && totals.errorPercent >= 1 ? 'bad' : ''}">${totals === undefined ? '–' : percent(totals.errorPercent)}</dd></div><div><dt>in flight</dt><dd>${count(inFlight)}</dd></div><div><dt>clients</dt><dd>${count(status.connections.client)}</dd></div><div><dt>tunnels</dt><dd>${count(status.connections.tunnels)}</dd></div></dl>
<p class="soft">${totals === undefined ? 'Rates follow in a second.' : `Rates and shares of the last ${Math.round(seconds)} s.`}</p>
${config.lastError !== null && html`<p class="notice bad" role="alert"><strong>The configuration on disk is refused since ${ago(config.lastError.at)}; the last good one stays.</strong> ${config.lastError.problems.slice(0, 3).map(({ message, path, line }) => html`<br>${line === undefined || line === 0 ? '' : `line ${line}: `}${path ?? ''} ${message}`)}</p>`}
${config.restartNeeded.length > 0 && html`<p class="notice">Changed in the file and waiting for a restart: ${config.restartNeeded.join(', ')}</p>`}`;
}

function overridesPart({ overrides, overridesShared, acting }: StatusDocument): Html {
  if (overrides.length === 0) return html``;
  const reach =
    overridesShared === null
      ? 'They hold in this replica alone.'
      : overridesShared.state === 'closed'
        ? 'All replicas share them.'
        : `Redis is away (${overridesShared.reason}): other replicas follow once it is back.`;
  return html`<section aria-labelledby="by-hand"><h2 id="by-hand">Set by hand</h2>${overrides.map(
    ({ id, text, reason, by, until, state, why }) =>
      html`<div class="notice"><strong>${text}</strong> for ${left(until)} more${state === 'void' && html`, <span class="bad">but does nothing: ${why}</span>`}<br><span class="soft">${by}: ${reason}</span> ${acting && html`<button class="small" data-act="end" data-override="${id}" data-title="End: ${text}">End it now</button>`}</div>`,
  )}<p class="soft">${reach}</p></section>`;
}

/** Backends of one row side by side, the main one first. */
function routePart(route: RouteReport, status: StatusDocument, window: Window): Html {
  const names = Object.keys(route.split).sort((a, b) => Number(b === route.main) - Number(a === route.main));
  const main = window.row(route.name, route.main);
  const rows = names.map((name) => {
    const sums = window.row(route.name, name);
    const real = window.share(route.name, name);
    const { p50, p99 } = sums.latency();
    const errors = sums.requests === 0 ? undefined : (100 * sums.errors) / sums.requests;
    const mainErrors = main.requests === 0 ? 0 : (100 * main.errors) / main.requests;
    const worse =
      name !== route.main && errors !== undefined && sums.errors >= 5 && errors > 2 * mainErrors + 0.5;
    const mainP99 = main.latency().p99;
    const slower =
      name !== route.main && p99 !== null && mainP99 !== null && sums.requests >= 50 && p99 > 2 * mainP99;
    return html`<tr><th scope="row">${name}${name === route.main && names.length > 1 ? '' : names.length > 1 && html` <span class="soft">canary</span>`}</th><td class="n">${percent(route.shares[name] ?? 0)}</td><td class="n${route.override === null ? '' : ' warn'}">${percent(route.sharesNow[name] ?? 0)}</td><td class="n">${real === undefined ? '–' : percent(real)}</td><td class="n">${window.known ? figure(sums.requests / window.seconds) : '–'}</td><td class="n${worse ? ' bad' : ''}">${errors === undefined ? '–' : percent(errors)}${worse && html` <span aria-label="worse than ${route.main}">▲</span>`}</td><td class="n">${milliseconds(p50)}</td><td class="n${slower ? ' bad' : ''}">${milliseconds(p99)}${slower && html` <span aria-label="slower than ${route.main}">▲</span>`}</td><td class="n">${count(route.requestsByBackend[name] ?? 0)}</td></tr>`;
  });
  const groups = status.groups.filter(({ routes }) => routes.includes(route.name)).map(({ group }) => group);
  const weights = JSON.stringify(route.override?.weights ?? route.split);
  return html`<article id="route-${route.name}"><h3>${route.name} <span class="soft">${groups.slice(0, 8).join(', ')}${groups.length > 8 ? ' …' : ''}${route.pin === null ? '' : ` · pin ${route.pin}`}</span> ${status.acting && names.length > 1 && html`<button class="small" data-act="split" data-route="${route.name}" data-weights="${weights}" data-title="Split of ${route.name}">Change split…</button>`}</h3>${route.override !== null && html`<p class="warn">▲ set by hand for ${left(route.override.until)} more, ${route.override.by}: ${route.override.reason}</p>`}<div class="scroll" role="region" aria-label="Backends of ${route.name}" tabindex="0"><table><thead><tr><th scope="col">backend</th><th scope="col" class="n">file</th><th scope="col" class="n">set now</th><th scope="col" class="n">real</th><th scope="col" class="n">req/s</th><th scope="col" class="n">errors</th><th scope="col" class="n">p50</th><th scope="col" class="n">p99</th><th scope="col" class="n">requests since start</th></tr></thead><tbody>${rows}</tbody></table></div></article>`;
}

function backendPart(backend: BackendReport, status: StatusDocument, window: Window): Html {
  const mark = backendMark(backend);
  const { resolution, circuit } = backend;
  const handDrain = status.overrides.find(
    ({ target }) =>
      target.kind === 'drain' && target.backend === backend.name && target.endpoint === undefined,
  );
  return html`<article id="backend-${backend.name}"><h3><span class="${mark.tone}" aria-hidden="true">${mark.sign}</span> ${backend.name} <span class="soft">${backend.url}</span> ${status.acting && drainButton(backend.name, undefined, handDrain !== undefined)}</h3>
<p><span class="${mark.tone}">${mark.word}</span>${circuit.reason === '' ? '' : html` <span class="soft">${circuit.reason}, for ${ago(circuit.since)}</span>`} · ${backend.usableEndpoints} of ${backend.endpoints.length} endpoints take requests</p>
<p>${sparkline(backend.name, window.recent)} <span class="soft">${backend.inFlight} in flight · ${count(backend.requests)} requests, ${count(backend.errors)} errors since the start · p50 ${milliseconds(backend.latencyMs.p50)}, p99 ${milliseconds(backend.latencyMs.p99)}</span></p>
<p class="soft">DNS: ${resolutionText(resolution)}</p>
${backend.endpoints.length > 0 && html`<div class="scroll" role="region" aria-label="Endpoints of ${backend.name}" tabindex="0"><table><thead><tr><th scope="col">endpoint</th><th scope="col">state</th><th scope="col">for</th><th scope="col">checks, newest right</th><th scope="col" class="n">requests</th><th scope="col" class="n">errors</th>${status.acting && html`<th scope="col">act</th>`}</tr></thead><tbody>${backend.endpoints.map((endpoint) => endpointRow(endpoint, backend, status))}</tbody></table></div>`}</article>`;
}

function endpointRow(endpoint: EndpointReport, backend: BackendReport, status: StatusDocument): Html {
  const { admin, ejection, checks } = endpoint;
  const byTraffic = ejection !== null && endpoint.health !== 'down' ? ejection : undefined;
  const { reason: why, since } = admin.state === 'drain' ? admin : (byTraffic ?? endpoint);
  const good = checks.filter(({ ok }) => ok).length;
  const byHand = status.overrides.some(
    ({ target }) =>
      target.kind === 'drain' && target.backend === backend.name && target.endpoint === endpoint.endpoint,
  );
  return html`<tr><th scope="row">${endpoint.endpoint}</th><td>${marked(endpointMark(endpoint))} <span class="soft">${why}</span></td><td>${ago(since)}</td><td><span class="checks" role="img" aria-label="${good} of the last ${checks.length} checks were good">${checks.map(({ ok, detail, durationMs }) => html`<i class="${ok ? '' : 'no'}" title="${detail}, ${figure(durationMs)} ms"></i>`)}</span></td><td class="n">${count(endpoint.requests)}</td><td class="n">${count(endpoint.errors)}</td>${status.acting && html`<td>${drainButton(backend.name, endpoint.endpoint, byHand)}</td>`}</tr>`;
}

function drainButton(backend: string, endpoint: string | undefined, drained: boolean): Html {
  const what = endpoint === undefined ? backend : `${endpoint} of ${backend}`;
  const data: Content = endpoint === undefined ? '' : html` data-endpoint="${endpoint}"`;
  return drained
    ? html`<button class="small" data-act="undrain" data-backend="${backend}"${data} data-title="Undrain ${what}" aria-label="Undrain ${what}">Undrain</button>`
    : html`<button class="small" data-act="drain" data-backend="${backend}"${data} data-title="Drain ${what}" aria-label="Drain ${what}">Drain…</button>`;
}

function resolutionText({ state, reason, since, answeredAt, ttlMs }: ResolutionReport): Html {
  if (state === 'static') return html`an address, nothing to ask`;
  const answer =
    answeredAt === null
      ? html`never answered`
      : html`answered ${ago(answeredAt)} ago${ttlMs === null ? '' : `, TTL ${figure(ttlMs / 1_000)} s`}`;
  const tone = state === 'resolved' ? 'good' : state === 'pending' ? 'soft' : 'bad';
  return html`<span class="${tone}">${state}</span> for ${ago(since)}, ${answer}${reason === '' ? '' : `: ${reason}`}`;
}

function sparkline(backend: string, recent: RecentTraffic): Html {
  const points = recent.curve(backend);
  if (points.length < 2) return html``;
  const most = Math.max(1, ...points.map(({ perSecond }) => perSecond));
  const line = (value: (point: (typeof points)[number]) => number) =>
    points
      .map((point, i) => `${(i * 120) / (points.length - 1)},${(22 - (20 * value(point)) / most).toFixed(1)}`)
      .join(' ');
  const now = points.at(-1)!.perSecond;
  return html`<svg class="spark" viewBox="0 0 120 24" role="img" aria-label="${figure(now)} requests per second now, at most ${figure(most)} lately"><polyline class="curve" points="${line((point) => point.perSecond)}"/><polyline class="curve bad" points="${line((point) => point.errorsPerSecond)}"/></svg>`;
}

function pinsPart({ pins, routes, workers }: StatusDocument): Html {
  if (pins.length === 0) return html`<p class="soft">No route pins users.</p>`;
  const stores = workers.flatMap(({ pinStore }) => (pinStore === null ? [] : [pinStore]));
  const away = stores.filter(({ state }) => state !== 'closed');
  return html`${stores.length > 0 && html`<p>Redis: ${away.length === 0 ? html`<span class="good"><span aria-hidden="true">●</span> answers</span>` : html`<span class="bad"><span aria-hidden="true">✕</span> away for ${ago(away[0]!.since)}</span>: ${away[0]!.reason}; the hash of the user decides`}</p>`}
${pins.map(({ name, store, lookups }) => {
  const entries = Object.entries(lookups).filter(([, value]) => value > 0);
  const rows = routes.filter(({ pin }) => pin === name);
  return html`<article><h3>${name} <span class="soft">store: ${store}</span></h3><p class="soft">${entries.length === 0 ? 'no lookup yet' : entries.map(([result, value]) => `${result} ${count(value)}`).join(' · ')}</p>${rows.map(({ name: route, users }) => users !== null && html`<div class="scroll" role="region" aria-label="Buckets of ${route}" tabindex="0"><table><caption>Buckets of ${route}, of 10,000</caption><thead><tr><th scope="col">backend</th><th scope="col">buckets</th><th scope="col" class="n">of all users</th></tr></thead><tbody>${users.map(({ backend, buckets, percent: part }) => html`<tr><th scope="row">${backend}</th><td>${buckets ?? 'by rendezvous hash'}</td><td class="n">${percent(part)}</td></tr>`)}</tbody></table></div>`)}</article>`;
})}`;
}
