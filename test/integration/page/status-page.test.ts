/** The status page in a real browser, over the real process with traffic on. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { faintTexts, openPage, overflows } from '../../support/browser.ts';
import { cleanUp } from '../../support/clean-up.ts';
import { designTable, startTracks } from '../../support/design-table.ts';
import { startHttpUpstream } from '../../support/http-upstream.ts';
import { TOKEN } from '../../support/operator.ts';
import { startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { send } from '../../support/request.ts';
import { waitFor } from '../../support/wait-for.ts';

const tracks = await startTracks();
const gone = await startHttpUpstream('gone');
const table = (canary = 5): TestConfig => ({
  ...designTable(tracks),
  acting: { token: TOKEN },
  accessLog: { mode: 'off' },
  pins: { user: { by: [{ header: 'X-User-Id' }], store: 'memory' } },
  backends: {
    ...designTable(tracks).backends,
    production: { servers: [{ url: tracks.production.url }, { url: gone.url }] },
  },
  routes: designTable(tracks).routes.map((route) =>
    route.name === 'free'
      ? { ...route, split: { canary, production: 100 - canary }, guard: 'warn' }
      : route.name === 'paid'
        ? { ...route, pin: 'user' }
        : route,
  ),
});
const proxy = await startPointsman(table());
await gone.close();
const url = `http://127.0.0.1:${proxy.adminPort}/`;

let sent = 0;
let ticks = 0;
const traffic = setInterval(() => {
  ticks++;
  for (const group of ['FREE', 'INTERNAL', 'ENTERPRISE', 'OTHER']) {
    const path = group === 'INTERNAL' && ticks % 10 === 0 ? '/status/500' : '/';
    void send(proxy.trafficPort, {
      path,
      headers: ['X-Traffic-Group', group, 'X-User-Id', `u${sent++ % 97}`],
    }).catch(() => {});
  }
}, 20);
cleanUp(() => clearInterval(traffic));

const watch = async (options: Parameters<typeof openPage>[1] = {}) => {
  const open = await openPage(url, options);
  await open.page.getByText(/Rates and shares of the last [2-9]\d* s/).waitFor();
  return open;
};

suite('the status page', () => {
  test('is one document that asks for nothing but its events, without a complaint', async () => {
    const { page, complaints, requests } = await watch();
    assert.deepEqual(requests, [`${url}events`]);
    assert.deepEqual(complaints, []);
    assert.equal(await page.title(), 'account-service – Pointsman');
    const policy = String(
      (await send(proxy.adminPort, { headers: ['Accept', 'text/html'] })).headers['content-security-policy'],
    );
    assert.match(
      policy,
      /^default-src 'none'; style-src 'sha256-[^']+'; script-src 'sha256-[^']+'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'$/,
    );
    assert.doesNotMatch(policy, /unsafe/);
  });

  test('pictures groups, routes, backends and endpoints with real shares beside the weights', async () => {
    const { page } = await watch();
    const picture = page.getByRole('img', { name: /^Where requests go: 5 groups, 4 routes, 4 backends/ });
    await picture.waitFor();
    await picture.getByText('down').waitFor();
    const text = (await picture.textContent())!;
    for (const name of [
      'INTERNAL',
      'FREE',
      'ENTERPRISE',
      '(none)',
      '(other)',
      'canary',
      'production',
      'down',
    ]) {
      assert.ok(text.includes(name), name);
    }
    await waitFor('a share near its weight', async () =>
      /[3456](\.\d+)? \/ 5 %/.test((await picture.textContent())!),
    );
  });

  test('puts canary and production side by side: weights, real share, rate, errors, p50 and p99', async () => {
    const { page } = await watch();
    const row = page.getByRole('region', { name: 'Backends of free' });
    assert.deepEqual(await row.getByRole('columnheader').allTextContents(), [
      'backend',
      'file',
      'set now',
      'real',
      'req/s',
      'errors',
      'p50',
      'p99',
      'requests',
    ]);
    assert.deepEqual(
      (await row.getByRole('rowheader').allTextContents()).map((text) => text.trim()),
      ['production', 'canary canary'],
    );
    const cells = await row.getByRole('row').nth(1).getByRole('cell').allTextContents();
    assert.deepEqual(cells.slice(0, 2), ['95 %', '95 %']);
    assert.match(cells[2]!, /^9[4567](\.\d)? %$/);
    assert.match(cells[6]!, / ms$/);
    const pinned = page.getByRole('region', { name: 'Backends of paid' });
    assert.deepEqual((await pinned.getByRole('columnheader').allTextContents()).slice(-2), [
      'users, 24 h',
      'met errors',
    ]);
    await waitFor('users to be counted', async () =>
      /^9\d$/.test((await pinned.getByRole('row').nth(1).getByRole('cell').allTextContents()).at(-2)!),
    );
    await page
      .locator('#part-routes')
      .getByText(/counted in this replica alone/)
      .waitFor();
    const internal = page.getByRole('region', { name: 'Backends of internal' });
    await internal.getByText(/^(9|1\d)(\.\d+)? %$/).waitFor();
  });

  test('shows how a canary is guarded', async () => {
    const { page } = await watch();
    await page
      .locator('#route-free')
      .getByText(/^guard of canary \(only warns\): ● watching for .* evidence against it/)
      .waitFor();
  });

  test('shows health with its history, DNS, in-flight and curves', async () => {
    const { page } = await watch();
    const backend = page.locator('#backend-production');
    await backend.getByText('✕ down').waitFor();
    await backend.getByText('connection refused').waitFor();
    await backend.getByRole('img', { name: /^0 of the last \d+ checks were good$/ }).waitFor();
    await backend.getByRole('img', { name: /requests per second now/ }).waitFor();
    assert.match(
      (await backend.textContent())!,
      /1 of 2 endpoints take requests.*in flight.*DNS: an address/s,
    );
  });

  test('lists failed requests with reasons, pins with buckets, and states that changed', async () => {
    const { page } = await watch();
    await page
      .getByRole('region', { name: 'Failed requests' })
      .getByText('answered by the upstream')
      .first()
      .waitFor();
    assert.match(
      (await page.locator('#part-pins').textContent())!,
      /user store: memory.*Users remembered: .*production \d+ \(in this replica\).*Buckets of paid.*paid0–4995 %/s,
    );
    assert.match(
      (await page.locator('#part-changes').textContent())!,
      /production 127\.0\.0\.1:\d+: health down/,
    );
    assert.doesNotMatch(await page.content(), /u\d\d?"|X-User-Id: u/);
  });

  test('follows a reload and shows what it changed, and one that is refused with the reason', async () => {
    const { page } = await watch();
    await proxy.reload(table(10));
    await page.locator('#part-reloads').getByText('route free: canary 5 → 10').waitFor();
    proxy.writeConfig('backends: {}\n');
    await page.getByRole('alert').getByText('The configuration on disk is refused').waitFor();
    await page.locator('#part-reloads').getByText('refused', { exact: true }).first().waitFor();
    await proxy.reload(table());
    await page.getByText('The configuration on disk is refused').waitFor({ state: 'detached' });
  });

  test('explains a request', async () => {
    const { page } = await watch();
    await page.getByRole('textbox', { name: 'group' }).fill('free');
    await page.getByLabel('path or URL').fill('/cart');
    await page.getByRole('button', { name: 'Explain' }).click();
    await page.getByText(/route {4}free\n/).waitFor();
    const answer = (await page.locator('#explained').textContent())!;
    assert.match(answer, /canary 5.00 %, production 95.00 %/);
    await page.getByLabel('path or URL').fill('cart');
    await page.getByRole('button', { name: 'Explain' }).click();
    await page.getByText(/url is no path/).waitFor();
  });

  test('keeps what somebody types, and his place, while it changes around him', async () => {
    const { page } = await watch();
    await page.getByLabel('further fields').fill('X-User-Id: 1');
    const button = page.locator('#route-free').getByRole('button', { name: 'Change split…' });
    await button.focus();
    const before = await page.locator('#route-free tbody').textContent();
    await waitFor(
      'new figures',
      async () => (await page.locator('#route-free tbody').textContent()) !== before,
    );
    assert.equal(await page.getByLabel('further fields').inputValue(), 'X-User-Id: 1');
    assert.equal(await page.evaluate('document.activeElement.dataset.route'), 'free');
  });
});

suite('acting from the page', () => {
  test('by keyboard alone: the split of a route is changed for a time and ended, a wrong token changes nothing', async () => {
    const { page, complaints } = await watch();
    await page.locator('#route-free').getByRole('button', { name: 'Change split…' }).focus();
    await page.keyboard.press('Enter');
    const dialog = page.getByRole('dialog', { name: 'Split of free' });
    await dialog.waitFor();
    assert.equal(await page.evaluate('document.activeElement.name'), 'weight canary');
    await page.keyboard.press('Control+A');
    await page.keyboard.type('0');
    await dialog.getByLabel('for (such as 30m, 2h)').fill('5m');
    await dialog.getByLabel('reason').fill('<b>500s</b>');
    await dialog.getByLabel('token').fill('wrong');
    await page.keyboard.press('Enter');
    await dialog.getByText('the token is wrong').waitFor();
    assert.deepEqual((await proxy.status()).overrides, []);
    await dialog.getByLabel('token').fill(TOKEN);
    await page.keyboard.press('Enter');
    await dialog.waitFor({ state: 'hidden' });
    const notice = page.locator('#part-overrides');
    await notice.getByText('split of free: canary 0').waitFor();
    await notice.getByText('page: <b>500s</b>').waitFor();
    assert.match((await page.locator('#part-flow svg').textContent())!, /set by hand/);
    await page.locator('#said').getByText('Done: split of free').waitFor();
    await notice.getByRole('button', { name: 'End it now' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Do it' }).click();
    await notice.getByText('split of free').waitFor({ state: 'detached' });
    assert.deepEqual(
      complaints.filter((text) => !text.includes('403')),
      [],
    );
  });

  test('drain and undrain of an endpoint', async () => {
    const { page } = await watch();
    const canary = page.locator('#backend-canary');
    await canary.getByRole('button', { name: /^Drain 127/ }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('reason').fill('node goes');
    await dialog.getByLabel('token').fill(TOKEN);
    await dialog.getByRole('button', { name: 'Do it' }).click();
    await canary.getByText('◧ drained').first().waitFor();
    await canary.getByRole('button', { name: /^Undrain 127/ }).click();
    await dialog.getByRole('button', { name: 'Do it' }).click();
    await canary.getByText('● up').waitFor();
  });

  test('is not possible from a page of another origin, whatever it sends', async () => {
    const elsewhere = await startHttpUpstream('elsewhere');
    const { page } = await openPage(`${elsewhere.url}/`);
    const outcome = (await page.evaluate(`(async () => {
      const target = ${JSON.stringify(`${url}actions/split`)};
      const body = JSON.stringify({ route: 'free', weights: { canary: 0 }, for: '5m', reason: 'evil' });
      const attempts = [
        { mode: 'cors', headers: { 'content-type': 'application/json', authorization: 'Bearer ${TOKEN}' } },
        { mode: 'no-cors', headers: { 'content-type': 'text/plain' } },
        { mode: 'no-cors', credentials: 'include', headers: { 'content-type': 'application/x-www-form-urlencoded' } },
      ];
      const results = [];
      for (const attempt of attempts) {
        try { const answer = await fetch(target, { method: 'POST', body, ...attempt }); results.push(answer.type); }
        catch (error) { results.push(error.name); }
      }
      return results;
    })()`)) as string[];
    assert.deepEqual(outcome, ['TypeError', 'opaque', 'opaque']);
    assert.deepEqual((await proxy.status()).overrides, []);
    const framed = await page.evaluate(`new Promise((resolve) => {
      const frame = document.createElement('iframe');
      frame.src = ${JSON.stringify(url)};
      frame.onload = () => { try { resolve(frame.contentDocument === null ? 'refused' : 'shown'); } catch { resolve('refused'); } };
      document.body.append(frame);
    })`);
    assert.equal(framed, 'refused');
  });
});

suite('for everybody', () => {
  for (const colorScheme of ['light', 'dark'] as const) {
    test(`every text stands out from its ground (${colorScheme})`, async () => {
      const { page } = await watch({ colorScheme });
      assert.deepEqual(await faintTexts(page), []);
    });
  }

  test('fits a phone, with the same facts as a list', async () => {
    const { page } = await watch({ viewport: { width: 360, height: 740 } });
    assert.equal(await overflows(page), false);
    await page
      .locator('.cards')
      .getByText(/canary: [\d.]+ %/)
      .waitFor();
    assert.equal(await page.locator('.picture').isVisible(), false);
  });

  test('has a heading for every part, names for every control, and a way past them by keyboard', async () => {
    const { page } = await watch();
    assert.deepEqual(await page.getByRole('heading', { level: 2 }).allTextContents(), [
      'Who goes where',
      'Routes, side by side',
      'Backends and endpoints',
      'Explain a request',
      'Failed requests',
      'Pins',
      'States that changed',
      'Reloads',
      'Act',
    ]);
    const unnamed =
      await page.evaluate(`[...document.querySelectorAll('button, input, textarea, select, [role=region], [role=img]')]
      .filter((element) => element.checkVisibility() && (element.getAttribute('aria-label') ?? element.labels?.[0]?.textContent ?? element.textContent).trim() === '').length`);
    assert.equal(unnamed, 0);
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate('document.activeElement.textContent'), 'Skip to the picture');
  });

  test('without JavaScript it shows the moment it was loaded', async () => {
    const { page } = await openPage(url, { javaScriptEnabled: false });
    await page.locator('#backend-canary').getByText('● up').waitFor();
  });
});

suite('contact', () => {
  test('says when it is lost, counts on, and goes on when the proxy is back on its port', async () => {
    const own = await startPointsman({
      ...table(),
      pins: {},
      routes: [{ name: 'all', split: { canary: 1 } }],
    });
    const { page } = await openPage(`http://127.0.0.1:${own.adminPort}/`);
    await page.getByText(/Rates and shares/).waitFor();
    await own.kill();
    await page
      .getByRole('alert')
      .getByText(/^No contact with Pointsman for \d+ s\. What follows is old/)
      .waitFor();
    const config = {
      ...table(),
      pins: {},
      admin: `127.0.0.1:${own.adminPort}`,
      routes: [{ name: 'another', split: { canary: 1 } }],
    };
    await startPointsman(config);
    await page.locator('#route-another').waitFor();
    await page.getByText('No contact').waitFor({ state: 'detached' });
  });

  test('more who watch than are allowed are told, and nobody is disturbed', async () => {
    const own = await startPointsman(table());
    const streams = await Promise.all(
      Array.from({ length: 16 }, () => fetch(`http://127.0.0.1:${own.adminPort}/events`)),
    );
    assert.ok(streams.every(({ status }) => status === 200));
    const refused = await send(own.adminPort, { path: '/events' });
    assert.equal(refused.status, 503);
    assert.equal((await send(own.adminPort, { path: '/livez' })).status, 200);
    await streams[0]!.body!.cancel();
    await own.waitFor('a place', async () => {
      const next = await fetch(`http://127.0.0.1:${own.adminPort}/events`);
      if (next.status !== 200) await next.body?.cancel();
      return next.status === 200;
    });
  });
});
