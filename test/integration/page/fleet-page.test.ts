/** The page of `pointsman fleet serve` in a real browser, over a cluster with something wrong. */

import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { faintTexts, openPage, overflows } from '../../support/browser.ts';
import { FleetProcess, startApi, temporaryDirectory } from '../../support/fleet-process.ts';
import { fleetObjects } from '../../support/kubernetes-api/fleet-objects.ts';
import { waitFor } from '../../support/wait-for.ts';

const api = await startApi();
api.store.putAll(fleetObjects(3, { deployedAt: Date.now() - 3 * 86_400_000 }));
const kubeconfig = api.writeKubeconfig(path.join(temporaryDirectory(), 'kubeconfig'));
const fleet = new FleetProcess(['serve', '--listen', '127.0.0.1:0', '--kubeconfig', kubeconfig]);
const url = await waitFor('the address', () => {
  if (fleet.child.exitCode !== null) throw new Error(fleet.stderr);
  return /listening on (\S+)\n/.exec(fleet.stdout)?.[1];
});
api.store.delete('Deployment', 'shop', 'service-001');
await waitFor('the finding', async () => (await (await fetch(url)).text()).includes('service-001</strong>'));

test('shows what is wrong first, then every service, and asks for nothing else', async () => {
  const { page, complaints, requests } = await openPage(url);
  assert.equal(await page.title(), '1 critical – Pointsman fleet');
  assert.deepEqual(await page.getByRole('heading').allTextContents(), [
    'Fleet',
    'shop-eu',
    'What is wrong',
    'Services',
  ]);
  const finding = page.getByRole('listitem').filter({ hasText: 'service-001' });
  assert.match((await finding.textContent())!, /critical.*no Deployment runs the proxy of service-001/);
  const services = page.getByRole('region', { name: 'Services' });
  assert.equal(await services.getByRole('rowheader').count(), 3);
  assert.equal(await services.getByRole('img', { name: 'critical' }).count(), 1);
  assert.deepEqual([complaints, requests], [[], []]);
});

for (const colorScheme of ['light', 'dark'] as const) {
  test(`every text stands out from its ground (${colorScheme})`, async () => {
    const { page } = await openPage(url, { colorScheme });
    assert.deepEqual(await faintTexts(page), []);
  });
}

test('fits a phone: the table alone moves sideways, also by keyboard', async () => {
  const { page } = await openPage(url, { viewport: { width: 360, height: 740 } });
  assert.equal(await overflows(page), false);
  const services = page.getByRole('region', { name: 'Services' });
  await services.focus();
  await page.keyboard.press('ArrowRight');
  await waitFor('the table to move', async () =>
    page.evaluate('document.querySelector(".scroll").scrollLeft > 0'),
  );
});
