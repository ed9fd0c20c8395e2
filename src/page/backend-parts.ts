/** A backend with its endpoints, their health, and where they come from. Pure. */
import type { RecentTraffic } from '../admin/recent-traffic.ts';
import type { BackendReport, EndpointReport, ResolutionReport, StatusDocument } from '../admin/status.ts';
import { type Content, type Html, html } from './html.ts';
import type { Window } from './window.ts';
import { ago, backendMark, count, endpointMark, figure, marked, milliseconds } from './words.ts';

export function backendPart(backend: BackendReport, status: StatusDocument, window: Window): Html {
  const mark = backendMark(backend);
  const { circuit } = backend;
  const handDrain = status.overrides.find(
    ({ target }) =>
      target.kind === 'drain' && target.backend === backend.name && target.endpoint === undefined,
  );
  return html`<article id="backend-${backend.name}"><h3><span class="${mark.tone}" aria-hidden="true">${mark.sign}</span> ${backend.name} <span class="soft">${backend.build !== null && `build ${backend.build} · `}${backend.url}</span> ${status.acting && drainButton(backend.name, undefined, handDrain !== undefined)}</h3>
<p><span class="${mark.tone}">${mark.word}</span>${circuit.reason === '' ? '' : html` <span class="soft">${circuit.reason}, for ${ago(circuit.since)}</span>`} · ${backend.usableEndpoints} of ${backend.endpoints.length} endpoints take requests</p>
<p>${sparkline(backend.name, window.recent)} <span class="soft">${backend.inFlight} in flight · ${count(backend.requests)} requests, ${count(backend.errors)} errors since the start · p50 ${milliseconds(backend.latencyMs.p50)}, p99 ${milliseconds(backend.latencyMs.p99)}</span></p>
${names(backend)}
${backend.endpoints.length > 0 && html`<div class="scroll" role="region" aria-label="Endpoints of ${backend.name}" tabindex="0"><table><thead><tr><th scope="col">endpoint</th><th scope="col">state</th><th scope="col">for</th><th scope="col">checks, newest right</th><th scope="col" class="n">requests</th><th scope="col" class="n">errors</th>${status.acting && html`<th scope="col">act</th>`}</tr></thead><tbody>${backend.endpoints.map((endpoint) => endpointRow(endpoint, backend, status))}</tbody></table></div>`}</article>`;
}

/** Each server has a name of its own; of addresses there is nothing to tell. */
function names({ servers, resolution }: BackendReport): Html {
  if (servers.length < 2 || servers.every((server) => server.resolution.state === 'static'))
    return html`<p class="soft">DNS: ${resolutionText(resolution)}</p>`;
  return html`<p class="soft">DNS:</p><ul class="soft">${servers.map((server) => html`<li>${server.url}${server.backup && ' (backup)'}: ${resolutionText(server.resolution)}</li>`)}</ul>`;
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
