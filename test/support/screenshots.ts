/**
 * Makes the pictures of the README anew, of the real page over real traffic: `node test/support/screenshots.ts`. They
 * differ from run to run in their figures, so no test compares them.
 */

import { mkdirSync, statSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openPage } from './browser.ts';
import { designTable, startTracks } from './design-table.ts';
import { startHttpUpstream } from './http-upstream.ts';
import { TOKEN } from './operator.ts';
import { startPointsman } from './pointsman-process.ts';
import { send } from './request.ts';
import { pause } from './wait-for.ts';

const IMAGES = fileURLToPath(new URL('../../deploy/images/', import.meta.url));
const GROUPS = ['FREE', 'FREE', 'FREE', 'INTERNAL', 'ENTERPRISE', 'PAID', 'PAID', 'PAID'];
/** Of the answers of the canary, one in so many is followed by a failure, once its build is sick. */
const CANARY_FAILS = 2;

// As a test, so that everything it starts is ended with it.
test('the pictures of the README', async () => {
  const tracks = await startTracks();
  const second = await startHttpUpstream('production');
  const gone = await startHttpUpstream('production');
  const table = designTable(tracks);
  const proxy = await startPointsman({
    ...table,
    acting: { token: TOKEN },
    accessLog: { mode: 'off' },
    pins: { user: { by: [{ header: 'X-User-Id' }], store: 'memory' } },
    backends: {
      ...table.backends,
      canary: { url: tracks.canary.url, build: '1.7.0' },
      production: {
        servers: [{ url: tracks.production.url }, { url: second.url }, { url: gone.url }],
        build: '1.6.2',
      },
    },
    routes: table.routes.map((route) =>
      route.name === 'free' ? { ...route, pin: 'user', guard: 'act' } : route,
    ),
    guard: { latency: false },
  });
  await gone.close();

  let sent = 0;
  let canaries = 0;
  let isSick = false;
  const traffic = setInterval(() => {
    for (let i = 0; i < 4; i++) {
      const user = `u${sent % 4_001}`;
      const group = GROUPS[sent++ % GROUPS.length]!;
      const headers = ['X-Traffic-Group', group, 'X-User-Id', user];
      void send(proxy.trafficPort, { path: '/orders', headers })
        .then((answer) => {
          if (!isSick || answer.echo().upstream !== 'canary' || canaries++ % CANARY_FAILS !== 0) return;
          return send(proxy.trafficPort, { path: '/status/500', headers });
        })
        .catch(() => {});
    }
  }, 25);

  mkdirSync(IMAGES, { recursive: true });
  const open = async (options: Parameters<typeof openPage>[1]) => {
    const { page } = await openPage(`http://127.0.0.1:${proxy.adminPort}/`, options);
    await page.getByText(/Rates and shares of the last 1\d s/).waitFor({ timeout: 30_000 });
    return page;
  };

  const light = await open({ colorScheme: 'light', viewport: { width: 1000, height: 640 } });
  await light.screenshot({ path: `${IMAGES}flow.png` });
  isSick = true;
  const dark = await open({ colorScheme: 'dark', viewport: { width: 1000, height: 330 } });
  const row = dark.locator('#route-free');
  await row.getByText('▲ braked by its guard').waitFor({ timeout: 60_000 });
  await row.scrollIntoViewIfNeeded();
  await dark.evaluate('scrollTo(0, document.querySelector("#route-free").offsetTop - 12)');
  await dark.screenshot({ path: `${IMAGES}brake.png` });
  const phone = await open({ colorScheme: 'light', viewport: { width: 390, height: 640 } });
  await phone.screenshot({ path: `${IMAGES}phone.png` });
  clearInterval(traffic);
  await pause(200);
  for (const name of ['flow', 'brake', 'phone']) {
    console.log(`deploy/images/${name}.png`, statSync(`${IMAGES}${name}.png`).size, 'bytes');
  }
});
