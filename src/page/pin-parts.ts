/** Pins: whom they would send where, and whom their stores remember. Pure. */
import type { RouteReport, StatusDocument } from '../admin/status.ts';
import { type Html, html } from './html.ts';
import { ago, count, percent } from './words.ts';

type PinReport = StatusDocument['pins'][number];

export function pinsPart({ pins, routes, workers }: StatusDocument): Html {
  if (pins.length === 0) return html`<p class="soft">No route pins users.</p>`;
  const stores = workers.flatMap(({ pinStore }) => (pinStore === null ? [] : [pinStore]));
  const away = stores.filter(({ state }) => state !== 'closed');
  return html`${stores.length > 0 && html`<p>Redis: ${away.length === 0 ? html`<span class="good"><span aria-hidden="true">●</span> answers</span>` : html`<span class="bad"><span aria-hidden="true">✕</span> away for ${ago(away[0]!.since)}</span>: ${away[0]!.reason}; the hash of the user decides`}</p>`}
${pins.map((pin) =>
  pinPart(
    pin,
    routes.filter((route) => route.pin === pin.name),
  ),
)}`;
}

function pinPart(pin: PinReport, routes: readonly RouteReport[]): Html {
  const entries = Object.entries(pin.lookups).filter(([, value]) => value > 0);
  return html`<article><h3>${pin.name} <span class="soft">store: ${pin.store}</span></h3><p class="soft">${entries.length === 0 ? 'no lookup yet' : entries.map(([result, value]) => `${result} ${count(value)}`).join(' · ')}</p>${rememberedLine(pin)}${routes.map(bucketTable)}</article>`;
}

/** Users per backend as the store has them, which weights changed since may not be. */
function rememberedLine({ store, remembered }: PinReport): Html {
  if (store === 'none')
    return html`<p class="soft">Nobody is remembered: the bucket of the user decides each time.</p>`;
  if (remembered === null)
    return html`<p class="soft">Users remembered: not counted yet; Redis is asked every five minutes.</p>`;
  const users = Object.entries(remembered.byBackend).sort(([a], [b]) => (a < b ? -1 : 1));
  const about = remembered.exact ? '' : 'about ';
  const where =
    store === 'memory'
      ? 'in this replica'
      : html`in Redis, for all replicas, counted ${ago(remembered.at)} ago${!remembered.exact && ' from a sample of the keys'}`;
  return html`<p>Users remembered: ${users.length === 0 ? 'none' : users.map(([backend, value]) => `${backend} ${about}${count(value)}`).join(' · ')} <span class="soft">(${where})</span></p>`;
}

function bucketTable({ name, users }: RouteReport): Html {
  if (users === null) return html``;
  return html`<div class="scroll" role="region" aria-label="Buckets of ${name}" tabindex="0"><table><caption>Buckets of ${name}, of 10,000</caption><thead><tr><th scope="col">backend</th><th scope="col">buckets</th><th scope="col" class="n">of all users</th></tr></thead><tbody>${users.map(({ backend, buckets, percent: part }) => html`<tr><th scope="row">${backend}</th><td>${buckets ?? 'by rendezvous hash'}</td><td class="n">${percent(part)}</td></tr>`)}</tbody></table></div>`;
}
