/** A row of the table: its backends side by side, how their canaries are guarded, and who met them. Pure. */
import type { GuardReport, RouteReport, StatusDocument } from '../admin/status.ts';
import { GUARD } from '../canary-guard/brake.ts';
import { type Html, html } from './html.ts';
import type { Window } from './window.ts';
import { ago, count, figure, left, type Mark, marked, milliseconds, percent } from './words.ts';

/** Backends of one row side by side, the main one first. */
export function routePart(route: RouteReport, status: StatusDocument, window: Window): Html {
  const names = Object.keys(route.split).sort((a, b) => Number(b === route.main) - Number(a === route.main));
  const groups = status.groups.filter(({ routes }) => routes.includes(route.name)).map(({ group }) => group);
  const guards = status.guards.filter((guard) => guard.route === route.name);
  const weights = JSON.stringify(route.override?.weights ?? route.split);
  const countsUsers = route.pin !== null;
  return html`<article id="route-${route.name}"><h3>${route.name} <span class="soft">${groups.slice(0, 8).join(', ')}${groups.length > 8 ? ' …' : ''}${countsUsers && ` · pin ${route.pin}`}</span> ${status.acting && names.length > 1 && html`<button class="small" data-act="split" data-route="${route.name}" data-weights="${weights}" data-title="Split of ${route.name}">Change split…</button>`}</h3>${heldLine(route, guards)}${guards.map(guardLine)}<div class="scroll" role="region" aria-label="Backends of ${route.name}" tabindex="0"><table><thead><tr><th scope="col">backend</th><th scope="col" class="n">file</th><th scope="col" class="n">set now</th><th scope="col" class="n">real</th><th scope="col" class="n">req/s</th><th scope="col" class="n">errors</th><th scope="col" class="n">p50</th><th scope="col" class="n">p99</th><th scope="col" class="n">requests</th>${countsUsers && html`<th scope="col" class="n">users, 24 h</th><th scope="col" class="n">met errors</th>`}</tr></thead><tbody>${names.map((name) => backendRow(name, names.length > 1, route, status, window))}</tbody></table></div></article>`;
}

function backendRow(
  name: string,
  hasOthers: boolean,
  route: RouteReport,
  { backends, exposure }: StatusDocument,
  window: Window,
): Html {
  const isMain = name === route.main;
  const main = window.row(route.name, route.main);
  const sums = window.row(route.name, name);
  const real = window.share(route.name, name);
  const { p50, p99 } = sums.latency();
  const errors = sums.requests === 0 ? undefined : (100 * sums.errors) / sums.requests;
  const mainErrors = main.requests === 0 ? 0 : (100 * main.errors) / main.requests;
  const worse = !isMain && errors !== undefined && sums.errors >= 5 && errors > 2 * mainErrors + 0.5;
  const mainP99 = main.latency().p99;
  const slower = !isMain && p99 !== null && mainP99 !== null && sums.requests >= 50 && p99 > 2 * mainP99;
  const build = backends.find((backend) => backend.name === name)?.build ?? null;
  const users = exposure.rows.find((row) => row.route === route.name && row.backend === name);
  return html`<tr><th scope="row">${name}${build !== null && html` <span class="soft">${build}</span>`}${hasOthers && !isMain && html` <span class="soft">canary</span>`}</th><td class="n">${percent(route.shares[name] ?? 0)}</td><td class="n${route.override === null ? '' : ' warn'}">${percent(route.sharesNow[name] ?? 0)}</td><td class="n">${real === undefined ? '–' : percent(real)}</td><td class="n">${window.known ? figure(sums.requests / window.seconds) : '–'}</td><td class="n${worse ? ' bad' : ''}">${errors === undefined ? '–' : percent(errors)}${worse && html` <span aria-label="worse than ${route.main}">▲</span>`}</td><td class="n">${milliseconds(p50)}</td><td class="n${slower ? ' bad' : ''}">${milliseconds(p99)}${slower && html` <span aria-label="slower than ${route.main}">▲</span>`}</td><td class="n">${count(route.requestsByBackend[name] ?? 0)}</td>${route.pin !== null && html`<td class="n">${count(users?.exposed ?? 0)}</td><td class="n">${count(users?.hurt ?? 0)}</td>`}</tr>`;
}

/** Since when requests are counted, and whose users. */
export function countsLine({ routes, exposure }: StatusDocument): Html {
  const requests = 'Requests are counted since the start, all else lately.';
  if (routes.every(({ pin }) => pin === null)) return html`<p class="soft">${requests}</p>`;
  const { of, asOf, why } = exposure;
  const whose =
    of === 'all'
      ? 'over all replicas'
      : of === 'partly'
        ? html`over all replicas until ${ago(asOf!)} ago, since then here alone (${why})`
        : `in this replica alone (${why})`;
  return html`<p class="soft">${requests} Users are different ones of the last 24 to 28 hours, estimated to 1.6 %, counted ${whose}; of a backend with a build, those who met that build.</p>`;
}

/** What its own guard did is told by the line of the guard. */
function heldLine({ override }: RouteReport, guards: readonly GuardReport[]): Html {
  if (override === null) return html``;
  const { by, until, reason } = override;
  if (by === GUARD && guards.some(({ phase }) => phase !== 'watching')) {
    return html`<p class="warn">▲ ${heldBy(by)}</p>`;
  }
  return html`<p class="warn">▲ ${heldBy(by)} for ${left(until)} more, ${by}: ${reason}</p>`;
}

export function heldBy(by: string): string {
  return by === GUARD ? 'braked by its guard' : 'set by hand';
}

/** What is worth a look at once. */
export function guardMark({ mode, phase }: Pick<GuardReport, 'mode' | 'phase'>): Mark {
  const acts = mode === 'act';
  switch (phase) {
    case 'watching':
      return { sign: '●', tone: 'good', word: 'watching' };
    case 'braked':
      return { sign: '▲', tone: 'bad', word: acts ? 'braked' : 'worse than production' };
    case 'probing':
      return { sign: '▲', tone: 'warn', word: acts ? 'on trial with a small share' : 'looked at again' };
    case 'latched':
      return { sign: '✕', tone: 'bad', word: acts ? 'braked until somebody acts' : 'stays worse' };
  }
}

function guardLine(guard: GuardReport): Html {
  const { backend, mode, phase, since, until, trips, latchAfter, evidence, verdict } = guard;
  const judged = phase === 'watching' || phase === 'probing' || mode === 'warn';
  const share = (value: number) => percent(Math.round(100 * value));
  return html`<p class="soft">guard of ${backend}${mode === 'warn' && ' (only warns)'}: ${marked(guardMark(guard))} for ${ago(since)}${until !== null && html`, tried again in ${left(until)}`}${judged && ` · evidence against it, of what brakes it: errors ${share(evidence.errors)}, slowness ${share(evidence.latency)}`}${trips > 0 && ` · ${trips} of ${latchAfter} verdicts that latch`}${verdict !== null && ` · last verdict: ${verdict}`}</p>`;
}
