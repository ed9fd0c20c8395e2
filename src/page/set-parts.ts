/** Release sets: who belongs together, and what befell a member here or in the table of another service. Pure. */
import type { StatusDocument } from '../admin/status.ts';
import { type Html, html } from './html.ts';
import { ago, left, percent } from './words.ts';

type SetReport = StatusDocument['sets'][number];
type Fate = SetReport['here'];

/** What is worth a look at once: sets that lost something. */
export function setNotices({ sets }: StatusDocument): Html[] {
  return sets.flatMap(({ name, here, elsewhere }) =>
    [{ service: undefined, ...here }, ...elsewhere].flatMap((fate) => fateLines(name, fate)),
  );
}

function fateLines(
  set: string,
  { service, fallen, lost }: Fate & { readonly service?: string | undefined },
): Html[] {
  const whose = (backend: string) => (service === undefined ? backend : `${backend} of ${service}`);
  const lines: Html[] = [];
  if (fallen !== undefined) {
    const share = fallen.ratio === 0 ? 'no share' : `${percent(100 * fallen.ratio)} of its share`;
    lines.push(
      html`<div class="notice"><strong>release set ${set}: ${whose(fallen.backend)} has ${share}</strong>, and so have all members, for ${left(new Date(fallen.until).toISOString())} more<br><span class="soft">${fallen.by}: ${fallen.reason}</span></div>`,
    );
  }
  if (lost !== undefined) {
    lines.push(
      html`<div class="notice"><strong>release set ${set}: ${whose(lost.backend)} takes no requests</strong>, and so none of its members does<br><span class="soft">${lost.reason}</span></div>`,
    );
  }
  return lines;
}

/** Nothing where there are none. */
export function setsPart(status: StatusDocument): Html {
  const { sets, setsShared } = status;
  if (sets.length === 0) return html``;
  const reach =
    setsShared === null
      ? 'What befalls a member stays in this replica: no Redis is configured.'
      : setsShared.state === 'closed'
        ? 'Shared through Redis with every service whose table names the same set.'
        : html`<span class="bad">Redis is away for ${ago(setsShared.since)}</span> (${setsShared.reason}): what was known last counts for a minute, then this service acts alone.`;
  return html`<section aria-labelledby="title-sets"><h2 id="title-sets">Release sets</h2><div class="scroll" role="region" aria-label="Release sets" tabindex="0"><table><thead><tr><th scope="col">set</th><th scope="col">members here</th><th scope="col">state</th></tr></thead><tbody>${sets.map((set) => html`<tr><th scope="row">${set.name}</th><td>${set.members.join(', ')}</td><td>${stateOf(set)}</td></tr>`)}</tbody></table></div><p class="soft">${reach}</p></section>`;
}

function stateOf({ here, elsewhere }: SetReport): Html {
  const fates = [here, ...elsewhere];
  if (fates.some(({ lost }) => lost !== undefined)) {
    return html`<span class="bad"><span aria-hidden="true">✕</span> left out, with a member that takes no requests</span>`;
  }
  if (fates.some(({ fallen }) => fallen !== undefined)) {
    return html`<span class="warn"><span aria-hidden="true">▲</span> lowered, with a member that is</span>`;
  }
  return html`<span class="good"><span aria-hidden="true">●</span> together</span>`;
}
