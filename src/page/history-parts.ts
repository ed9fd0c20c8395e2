/** What happened lately: failed requests, states that changed, reloads with what they changed. Pure. */
import type { StatusDocument } from '../admin/status.ts';
import { type Html, html } from './html.ts';
import { ago, clock, count, milliseconds } from './words.ts';

const SHOWN_FAILURES = 20;
const SHOWN_CHANGES = 20;

export function historyPart({ history, failures }: StatusDocument): {
  readonly failures: Html;
  readonly changes: Html;
  readonly reloads: Html;
} {
  const byReason = Object.entries(failures).filter(([, value]) => value > 0);
  return {
    failures: html`${byReason.length > 0 && html`<p class="soft">Answers of Pointsman's own since the start: ${byReason.map(([reason, value]) => `${reason} ${count(value)}`).join(' · ')}</p>`}${
      history.failures.length === 0
        ? html`<p class="soft">None.</p>`
        : html`<div class="scroll" role="region" aria-label="Failed requests" tabindex="0"><table><caption>Newest first. Clients, queries and whatever may be an id are left out; the access log has the rest, by request id.</caption><thead><tr><th scope="col">ago</th><th scope="col">request</th><th scope="col">group</th><th scope="col">went to</th><th scope="col" class="n">status</th><th scope="col">reason</th><th scope="col" class="n">took</th><th scope="col">request id</th></tr></thead><tbody>${[
            ...history.failures,
          ]
            .reverse()
            .slice(0, SHOWN_FAILURES)
            .map(
              (one) =>
                html`<tr><td>${ago(one.at)}</td><td><code>${one.method} ${one.path}</code></td><td>${one.group ?? '–'}</td><td>${[one.route, one.backend, one.endpoint].filter((part) => part !== null).join(' → ') || '–'}</td><td class="n bad">${one.status ?? '–'}</td><td>${one.reason ?? 'answered by the upstream'} <span class="soft">${one.termination}${one.retries > 0 ? `, ${one.retries} retries` : ''}</span></td><td class="n">${milliseconds(one.durationMs)}</td><td><code>${one.requestId ?? '–'}</code></td></tr>`,
            )}</tbody></table></div>`
    }`,
    changes:
      history.changes.length === 0
        ? html`<p class="soft">No state has changed yet.</p>`
        : html`<ol reversed>${[...history.changes]
            .reverse()
            .slice(0, SHOWN_CHANGES)
            .map(
              ({ at, kind, backend, endpoint, to }) =>
                html`<li>${clock(at)} ${backend}${endpoint === null ? '' : ` ${endpoint}`}: ${kind} <strong class="${toneOf(to)}">${to}</strong></li>`,
            )}</ol>`,
    reloads:
      history.reloads.length === 0
        ? html`<p class="soft">Not reloaded since the start.</p>`
        : html`${[...history.reloads]
            .reverse()
            .map(
              ({ at, result, hash, changes, problems }) =>
                html`<article><h3>${clock(at)} ${result === 'ok' ? html`<span class="good">taken over</span>` : html`<span class="bad">refused</span>`} <span class="soft"><code>${hash.slice(0, 12)}</code></span></h3>${result === 'ok' && changes.length === 0 && html`<p class="soft">nothing that counts</p>`}<ul>${changes.map((text) => html`<li>${text}</li>`)}${problems.map((text) => html`<li class="bad">${text}</li>`)}</ul></article>`,
            )}`,
  };
}

function toneOf(state: string): string {
  if (['up', 'resolved', 'closed', 'ready', 'none'].includes(state)) return 'good';
  return ['down', 'failed', 'open', 'panic'].includes(state) ? 'bad' : 'warn';
}
