/**
 * The status page as one document: its style and script are in it, nothing is fetched from anywhere, and the policy
 * allows no more than that. It is whole without the script too, only not live.
 */
import { createHash } from 'node:crypto';
import { Html, html } from './html.ts';
import { SCRIPT } from './script.ts';
import { STYLE } from './style.ts';

/** Of the page: what is written here may run and style, and it may talk to where it came from. */
export const PAGE_POLICY = [
  "default-src 'none'",
  `style-src '${digest(STYLE)}'`,
  `script-src '${digest(SCRIPT)}'`,
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

export interface PageFacts {
  readonly service: string;
  readonly version: string;
  readonly acting: boolean;
  /** A pin remembers users. */
  readonly remembers: boolean;
}

/** @param parts by id, as `pageParts` makes them */
export function pageDocument(parts: ReadonlyMap<string, string>, facts: PageFacts): string {
  const part = (id: string) => html`<div id="part-${id}">${new Html(parts.get(id) ?? '')}</div>`;
  const section = (id: string, title: string) =>
    html`<section aria-labelledby="title-${id}"><h2 id="title-${id}">${title}</h2>${part(id)}</section>`;
  const { service, version, acting, remembers } = facts;
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${service} – Pointsman</title>
<style>${new Html(STYLE)}</style>
</head>
<body>
<a class="skip" href="#flow">Skip to the picture</a>
<div id="contact" class="contact" role="alert"></div>
<header>${part('head')}<noscript><p class="notice">Without JavaScript this page shows the moment it was loaded; load it again for a newer one.</p></noscript><p id="said" class="soft" role="status"></p></header>
<main>
${part('overrides')}
<section id="flow" aria-labelledby="title-flow"><h2 id="title-flow">Who goes where</h2>${part('flow')}</section>
${section('routes', 'Routes, side by side')}
${section('backends', 'Backends and endpoints')}
${part('sets')}
<section aria-labelledby="title-explain"><h2 id="title-explain">Explain a request</h2>
<p class="soft">By the code that traffic runs through, with what is down or set by hand now.</p>
<form id="explain"><div class="row"><label>group<input name="group" autocomplete="off" spellcheck="false"></label><label>user<input name="user" autocomplete="off" spellcheck="false"></label><label>method<input name="method" value="GET" size="8" autocomplete="off"></label><label>path or URL<input name="url" value="/" size="32" autocomplete="off" spellcheck="false"></label></div><div class="row"><label>further fields, one a line<textarea name="headers" spellcheck="false" placeholder="X-User-Id: 4711"></textarea></label></div><button class="primary">Explain</button></form>
<div id="explained" class="answer" role="status"></div></section>
${section('failures', 'Failed requests')}
${section('pins', 'Pins')}
${section('changes', 'States that changed')}
${section('reloads', 'Reloads')}
<section aria-labelledby="title-acting"><h2 id="title-acting">Act</h2>${
    acting
      ? html`<p><button data-act="check" data-title="Check every endpoint now">Check now…</button> <button data-act="reload" data-title="Read the configuration again">Reload…</button> ${remembers && html`<button data-act="forget-pin" data-title="Forget the pin of a user">Forget a pin…</button>`}</p><p class="soft">Splits and drains have their buttons above. Each action needs the token, which this page keeps until it is closed. The same from a shell: <code>pointsman ctl --help</code>.</p>`
      : html`<p class="soft">Nobody may act here: the configuration has no <code>acting</code>.</p>`
  }</section>
</main>
<dialog id="act" aria-labelledby="act-title"><form id="act-form" method="dialog"><h2 id="act-title"></h2><div id="act-fields" class="row"></div><p><button class="primary">Do it</button> <button type="button" id="act-cancel">Cancel</button></p><p id="act-answer" class="bad" role="alert"></p></form></dialog>
<footer>Pointsman ${version} · <a href="status">status as JSON</a> · <a href="metrics">metrics</a></footer>
<script>${new Html(SCRIPT)}</script>
</body>
</html>
`.text;
}

function digest(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`;
}
