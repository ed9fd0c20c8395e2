/**
 * What runs in the browser: takes over the parts that changed without disturbing who reads or types, counts ages on,
 * says when contact is lost, asks for explanations, and acts. No library, and no markup made from data: parts come
 * escaped from the server, everything else is set as text.
 */
export const SCRIPT = `
'use strict';
(() => {
const byId = (id) => document.getElementById(id);
let token = '';
let skew = 0;
let lastHeard = Date.now();

// ---- parts ----
const parser = new DOMParser();
function morph(from, to) {
  const olds = [...from.childNodes], news = [...to.childNodes];
  for (let i = 0; i < Math.max(olds.length, news.length); i++) {
    const a = olds[i], b = news[i];
    if (b === undefined) a.remove();
    else if (a === undefined) from.append(document.importNode(b, true));
    else if (a.nodeType !== b.nodeType || a.nodeName !== b.nodeName) a.replaceWith(document.importNode(b, true));
    else if (a.nodeType === Node.TEXT_NODE) { if (a.data !== b.data) a.data = b.data; }
    else if (a.nodeType === Node.ELEMENT_NODE) {
      for (const { name } of [...a.attributes]) if (!b.hasAttribute(name)) a.removeAttribute(name);
      for (const { name, value } of [...b.attributes]) if (a.getAttribute(name) !== value) a.setAttribute(name, value);
      if (a.nodeName === 'TIME') { if (a.dateTime !== a.told) { a.textContent = b.textContent; a.told = a.dateTime; } }
      else morph(a, b);
    }
  }
}
function take({ now, parts }) {
  skew = now - Date.now();
  for (const [id, text] of Object.entries(parts)) {
    const place = byId('part-' + id);
    if (place !== null) morph(place, parser.parseFromString(text, 'text/html').body);
  }
  ages();
}
const UNITS = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
function span(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  for (const [size, unit] of UNITS) if (seconds >= size * (size === 1 ? 0 : 1)) return Math.floor(seconds / size) + ' ' + unit;
  return '0 s';
}
function ages() {
  const now = Date.now() + skew;
  for (const time of document.querySelectorAll('time[data-age]')) time.textContent = span(now - Date.parse(time.dateTime));
  for (const time of document.querySelectorAll('time[data-left]')) time.textContent = span(Date.parse(time.dateTime) - now);
}

// ---- contact ----
const LOST_AFTER = 4000;
const contact = byId('contact');
function look() {
  const silent = Date.now() - lastHeard;
  const lost = silent > LOST_AFTER;
  document.body.classList.toggle('lost', lost);
  const text = lost ? 'No contact with Pointsman for ' + span(silent) + '. What follows is old; trying again.' : '';
  if (contact.textContent !== text) contact.textContent = text;
  ages();
}
let source;
function connect() {
  source = new EventSource('events');
  source.addEventListener('parts', (event) => { lastHeard = Date.now(); take(JSON.parse(event.data)); look(); });
  source.addEventListener('error', () => {
    // A browser gives up for good when the answer is no stream.
    if (source.readyState === EventSource.CLOSED) { source.close(); setTimeout(connect, 3000); }
  });
}
connect();
setInterval(look, 1000);
ages();

// ---- asking and acting ----
async function post(path, body, bearer) {
  const headers = { 'content-type': 'application/json' };
  if (bearer) headers.authorization = 'Bearer ' + bearer;
  try {
    const response = await fetch(path, { method: 'POST', headers, body: JSON.stringify(body), cache: 'no-store', credentials: 'omit', redirect: 'error' });
    return { status: response.status, body: await response.json() };
  } catch (error) {
    return { status: 0, body: { ok: false, message: 'no answer: ' + error.message } };
  }
}
const explain = byId('explain');
explain.addEventListener('submit', async (event) => {
  event.preventDefault();
  const form = new FormData(explain);
  const text = (name) => String(form.get(name) ?? '').trim();
  const headers = text('headers').split('\\n').map((line) => line.trim()).filter((line) => line !== '');
  const body = { method: text('method') || 'GET', url: text('url') || '/', headers };
  if (text('group') !== '') body.group = text('group');
  if (text('user') !== '') body.user = text('user');
  const { body: answer } = await post('explain', body);
  byId('explained').textContent = answer.text ?? answer.message;
});

const dialog = byId('act');
const fields = byId('act-fields');
let pending;
function field(label, name, value, options = {}) {
  const element = document.createElement('label');
  element.textContent = label;
  const input = document.createElement('input');
  Object.assign(input, { name, value, ...options });
  element.append(input);
  fields.append(element);
  return input;
}
document.addEventListener('click', (event) => {
  const button = event.target instanceof Element ? event.target.closest('button[data-act]') : null;
  if (button === null) return;
  pending = { ...button.dataset };
  byId('act-title').textContent = pending.title;
  byId('act-answer').textContent = '';
  fields.replaceChildren();
  if (pending.act === 'split') {
    for (const [name, weight] of Object.entries(JSON.parse(pending.weights))) {
      field('weight of ' + name, 'weight ' + name, String(weight), { type: 'number', min: '0', max: '1000000', step: '1', required: true });
    }
  }
  if (pending.act === 'forget-pin') field('user', 'user', '', { required: true, autocomplete: 'off' });
  if (pending.act === 'split' || pending.act === 'drain') {
    field('for (such as 30m, 2h)', 'for', '30m', { required: true, pattern: '[0-9]+(ms|s|m|h|d)' });
    field('reason', 'reason', '', { required: true, maxLength: 200 });
  }
  const input = field('token', 'token', token, { type: 'password', required: true, autocomplete: 'off' });
  dialog.showModal();
  if (fields.firstElementChild !== null && fields.children.length > 1) fields.querySelector('input').focus(); else input.focus();
});
byId('act-cancel').addEventListener('click', () => dialog.close());
byId('act-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  token = String(form.get('token'));
  const body = { by: 'page' };
  if (pending.act === 'split') {
    body.route = pending.route;
    body.weights = {};
    for (const [name, value] of form) if (name.startsWith('weight ')) body.weights[name.slice(7)] = Number(value);
  }
  if (pending.act === 'drain' || pending.act === 'undrain') {
    body.backend = pending.backend;
    if (pending.endpoint !== undefined) body.endpoint = pending.endpoint;
  }
  if (pending.act === 'end') body.override = pending.override;
  if (pending.act === 'forget-pin') body.user = form.get('user');
  if (form.has('for')) { body.for = form.get('for'); body.reason = form.get('reason'); }
  const { status, body: answer } = await post('actions/' + pending.act, body, token);
  if (status === 401 || status === 403) token = '';
  byId('act-answer').textContent = answer.message + (answer.shared === undefined ? '' : '\\n' + answer.shared);
  if (status === 200) {
    byId('said').textContent = 'Done: ' + answer.message;
    dialog.close();
  }
});
})();
`;
