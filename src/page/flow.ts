/** Groups → routes → backends → endpoints as a picture: as wide as the traffic is, beside what the table says. */
import type { BackendReport, RouteReport, StatusDocument } from '../admin/status.ts';
import { type Html, html } from './html.ts';
import { heldBy } from './route-parts.ts';
import { backendMark, count, endpointMark, figure, milliseconds, percent } from './words.ts';

/** What a row sent where lately. */
export interface FlowFigures {
  /** Percent of the row's requests; undefined while it has none. */
  readonly share: (route: string, backend: string) => number | undefined;
  /** Requests per second; undefined while that is not known. */
  readonly rate: (route: string) => number | undefined;
  readonly backendRate: (backend: string) => number | undefined;
}

/** More rows or endpoints than this are no picture any more; the tables below have all. */
const MAX_ROUTES = 16;
const MAX_ENDPOINTS = 6;

const WIDTH = 1_160;
const GROUP = { x: 0, width: 130 };
const ROUTE = { x: 250, width: 170 };
const BACKEND = { x: 600, width: 210 };
const ENDPOINT = { x: 900, width: 260 };
const GAP = 14;
const LINE = 18;

interface Box {
  readonly y: number;
  readonly height: number;
}

export function flowPicture(status: StatusDocument, figures: FlowFigures): Html {
  const routes = status.routes.slice(0, MAX_ROUTES);
  const names = new Set(routes.flatMap(({ split }) => Object.keys(split)));
  const backends = status.backends.filter(({ name }) => names.has(name));
  const groups = status.groups
    .map(({ group, routes: met }) => ({
      group,
      met: met.filter((name) => routes.some((row) => row.name === name)),
    }))
    .filter(({ met }) => met.length > 0)
    .slice(0, MAX_ROUTES * 2);
  const incoming = (backend: string) => routes.filter(({ split }) => Object.hasOwn(split, backend));

  const groupBoxes = stacked(groups.map(() => 28));
  const routeBoxes = stacked(routes.map(({ override }) => (override === null ? 48 : 62)));
  const backendBoxes = stacked(
    backends.map(({ name, endpoints }) =>
      Math.max(
        64,
        incoming(name).length * LINE + 10,
        Math.min(endpoints.length, MAX_ENDPOINTS + 1) * (LINE + 4) + 6,
      ),
    ),
  );
  const height = Math.max(...[groupBoxes, routeBoxes, backendBoxes].map(bottom));
  const groupY = centred(groupBoxes, height);
  const routeY = centred(routeBoxes, height);
  const backendY = centred(backendBoxes, height);

  const links: Html[] = [];
  for (const [g, { met }] of groups.entries()) {
    for (const name of met) {
      const r = routes.findIndex((row) => row.name === name);
      const path = curve(GROUP.x + GROUP.width, middle(groupY[g]!), ROUTE.x, middle(routeY[r]!));
      links.push(html`<path class="link" stroke-width="2" d="${path}"/>`);
    }
  }
  const labels: Html[] = [];
  for (const [b, { name }] of backends.entries()) {
    const rows = incoming(name);
    for (const [i, route] of rows.entries()) {
      const r = routes.indexOf(route);
      const y = backendY[b]!.y + backendY[b]!.height / 2 + (i - (rows.length - 1) / 2) * LINE;
      const real = figures.share(route.name, name);
      const set = route.sharesNow[name] ?? 0;
      const width = 1.5 + (real ?? set) / 9;
      const tone = (real ?? set) === 0 ? 'none' : route.override === null ? '' : 'held';
      const path = curve(ROUTE.x + ROUTE.width, middle(routeY[r]!), BACKEND.x, y);
      links.push(html`<path class="link ${tone}" stroke-width="${width.toFixed(1)}" d="${path}"/>`);
      labels.push(
        html`<text x="${BACKEND.x - 8}" y="${y - 4}" text-anchor="end" class="tag">${real === undefined ? '–' : figure(real)}<tspan class="soft"> / ${figure(set)} %</tspan></text>`,
      );
    }
  }
  const summary = `${count(groups.length)} groups, ${count(routes.length)} routes, ${count(backends.length)} backends; the table below has the same figures.`;
  return html`<div class="picture"><svg viewBox="0 -26 ${WIDTH} ${height + 34}" role="img" aria-label="Where requests go: ${summary}">
<text class="soft" x="${GROUP.x}" y="-10">group</text><text class="soft" x="${ROUTE.x}" y="-10">route</text><text class="soft" x="${BACKEND.x - 8}" y="-10" text-anchor="end">real / set</text><text class="soft" x="${BACKEND.x}" y="-10">backend</text><text class="soft" x="${ENDPOINT.x}" y="-10">endpoint</text>
${links}${groups.map(({ group }, i) => groupNode(group, groupY[i]!))}${routes.map((route, i) => routeNode(route, routeY[i]!, figures))}${backends.map((backend, i) => backendNode(backend, backendY[i]!, figures))}${labels}
</svg>${status.routes.length > routes.length && html`<p class="soft">The first ${routes.length} of ${status.routes.length} routes.</p>`}</div>
<div class="cards">${routes.map((route) => routeCard(route, status, figures))}</div>`;
}

function groupNode(group: string, { y, height }: Box): Html {
  return html`<rect class="node" x="${GROUP.x}" y="${y}" width="${GROUP.width}" height="${height}" rx="5"/><text x="${GROUP.x + 10}" y="${y + 19}">${short(group, 16)}</text>`;
}

function routeNode(route: RouteReport, { y, height }: Box, figures: FlowFigures): Html {
  const rate = figures.rate(route.name);
  const pin = route.pin === null ? '' : ` · pin ${route.pin}`;
  return html`<rect class="node${route.override === null ? '' : ' warn'}" x="${ROUTE.x}" y="${y}" width="${ROUTE.width}" height="${height}" rx="5"/><text class="strong" x="${ROUTE.x + 10}" y="${y + 20}">${short(route.name, 20)}</text><text class="soft" x="${ROUTE.x + 10}" y="${y + 38}">${rate === undefined ? `${count(route.requests)} requests` : `${figure(rate)} req/s`}${short(pin, 14)}</text>${route.override !== null && html`<text class="soft warn" x="${ROUTE.x + 10}" y="${y + 54}">▲ ${heldBy(route.override.by)}</text>`}`;
}

function backendNode(backend: BackendReport, { y, height }: Box, figures: FlowFigures): Html {
  const mark = backendMark(backend);
  const rate = figures.backendRate(backend.name);
  const edge = mark.tone === 'bad' ? ' bad' : mark.tone === 'warn' ? ' warn' : '';
  const top = y + height / 2 - 24;
  const shown = backend.endpoints.slice(0, MAX_ENDPOINTS);
  const hidden = backend.endpoints.length - shown.length;
  const lines = shown.length + (hidden > 0 ? 1 : 0);
  const first = y + height / 2 - ((lines - 1) * (LINE + 4)) / 2;
  const x = BACKEND.x + BACKEND.width;
  return html`<rect class="node${edge}" x="${BACKEND.x}" y="${y}" width="${BACKEND.width}" height="${height}" rx="5"/><text x="${BACKEND.x + 12}" y="${top + 12}"><tspan class="${mark.tone}">${mark.sign}</tspan> <tspan class="strong">${short(backend.name, 18)}</tspan>${backend.build !== null && html` <tspan class="soft">${short(backend.build, 25 - Math.min(18, backend.name.length))}</tspan>`}</text><text class="soft" x="${BACKEND.x + 12}" y="${top + 30}">${rate === undefined ? `${count(backend.requests)} requests` : `${figure(rate)} req/s`} · ${backend.inFlight} in flight</text><text class="soft" x="${BACKEND.x + 12}" y="${top + 46}">p99 ${milliseconds(backend.latencyMs.p99)}</text>${shown.map(
    (endpoint, i) => {
      const at = first + i * (LINE + 4);
      const { sign, tone, word } = endpointMark(endpoint);
      const line = curve(x, y + height / 2, ENDPOINT.x, at);
      return html`<path class="link${tone === 'good' ? '' : ' none'}" stroke-width="1.5" d="${line}"/><text x="${ENDPOINT.x + 6}" y="${at + 4}"><tspan class="${tone}">${sign}</tspan> ${short(endpoint.endpoint, 24)} <tspan class="soft">${word}</tspan></text>`;
    },
  )}${hidden > 0 && html`<text class="soft" x="${ENDPOINT.x + 6}" y="${first + shown.length * (LINE + 4) + 4}">and ${hidden} more</text>`}${shown.length === 0 && html`<text class="soft" x="${ENDPOINT.x + 6}" y="${y + height / 2 + 4}">no endpoint: ${short(backend.resolution.reason, 30)}</text>`}`;
}

/** The same where there is no room for a picture. */
function routeCard(route: RouteReport, status: StatusDocument, figures: FlowFigures): Html {
  const groups = status.groups.filter(({ routes }) => routes.includes(route.name)).map(({ group }) => group);
  return html`<article><h3>${groups.join(', ')} → ${route.name}</h3><ul>${Object.keys(route.split).map(
    (name) => {
      const backend = status.backends.find((one) => one.name === name);
      const real = figures.share(route.name, name);
      return html`<li>${backend !== undefined && html`<span class="${backendMark(backend).tone}" aria-hidden="true">${backendMark(backend).sign}</span> `}${name}: ${real === undefined ? '–' : percent(real)} <span class="soft">of ${percent(route.sharesNow[name] ?? 0)} set${backend !== undefined && `, ${backend.usableEndpoints} of ${backend.endpoints.length} endpoints`}</span></li>`;
    },
  )}</ul></article>`;
}

function stacked(heights: readonly number[]): Box[] {
  let y = 0;
  return heights.map((height) => {
    const box = { y, height };
    y += height + GAP;
    return box;
  });
}

function bottom(boxes: readonly Box[]): number {
  const last = boxes.at(-1);
  return last === undefined ? 0 : last.y + last.height;
}

/** Spread over the whole height, so that links cross little. */
function centred(boxes: readonly Box[], height: number): Box[] {
  const spare = Math.max(0, height - bottom(boxes));
  const gap = spare / (boxes.length + 1);
  return boxes.map((box, i) => ({ ...box, y: Math.round(box.y + gap * (i + 1)) }));
}

function middle({ y, height }: Box): number {
  return y + height / 2;
}

function curve(x1: number, y1: number, x2: number, y2: number): string {
  const bend = (x2 - x1) / 2;
  return `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
}

function short(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}
