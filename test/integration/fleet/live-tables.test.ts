import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { fleet, startApi, temporaryDirectory } from '../../support/fleet-process.ts';
import { serviceObjects } from '../../support/kubernetes-api/fleet-objects.ts';
import { act, TOKEN } from '../../support/operator.ts';
import { startPointsman } from '../../support/pointsman-process.ts';
import { waitFor } from '../../support/wait-for.ts';

/** Four hosts of the service, none of which is there: only the table matters. */
const TRACKS = ['internal', 'production'].map((track) => ({
  track,
  replicas: 2,
  image: 'registry.example/app:1.0.0',
}));
const backends = Object.fromEntries(TRACKS.map(({ track }) => [track, { url: `http://shop-${track}:8080` }]));
const table = (internal: number) => ({
  backends,
  routes: [{ name: 'all', split: { internal, production: 100 - internal } }],
  health: { enabled: false },
  acting: { token: TOKEN },
});

describe('fleet status --proxies direct', () => {
  it('asks real proxies for their tables, and finds those that differ from the ConfigMap, refused it, or are silent', async () => {
    const proxy = await startPointsman(table(5), { ready: false });
    const text = readFileSync(proxy.configPath, 'utf8');
    const api = await startApi();
    // Every pod has the address of the one real process; the last has one where nobody is.
    const objects = serviceObjects({
      name: 'shop',
      tracks: TRACKS,
      proxyReplicas: 4,
      adminPort: proxy.adminPort,
      table: text,
      proxyAddress: () => '127.0.0.1',
      deployedAt: Date.now() - 86_400_000,
    });
    api.store.putAll(objects);
    const kubeconfig = api.writeKubeconfig(path.join(temporaryDirectory(), 'kubeconfig'));
    const status = () => fleet(['status', '--kubeconfig', kubeconfig, '--proxies', 'direct']);

    const same = await status();
    assert.equal(same.code, 0, same.stdout + same.stderr);
    assert.doesNotMatch(same.stdout, /not asked/);

    // What somebody set by hand is told once for all replicas, and is no fault.
    const brake = { route: 'all', weights: { internal: 0 }, for: '1m', reason: 'bad build', by: 'ann' };
    assert.equal((await act(proxy.adminPort, 'split', brake)).status, 200);
    const held = await status();
    assert.equal(held.code, 0, held.stdout);
    assert.equal(held.stdout.match(/set-by-hand/g)?.length, 1, held.stdout);
    assert.match(held.stdout, /split of all: internal 0, until .*ann:\s+bad build/);
    assert.equal((await act(proxy.adminPort, 'end', { override: 'all' })).status, 200);

    // The ConfigMap changed an hour ago, and the file of the pod has not.
    api.store.update('ConfigMap', 'shop', 'shop-proxy', (object) => {
      (object['data'] as Record<string, string>)['pointsman.yaml'] = text.replace(
        'internal: 5',
        'internal: 10',
      );
    });
    const stale = await status();
    assert.equal(stale.code, 2, stale.stdout);
    assert.match(stale.stdout, /✗ shop {2}table-stale/);
    assert.match(stale.stdout, /of 4 route by another table than ConfigMap shop-proxy/);

    // Then the kubelet brings it, and all is well without a restart.
    writeFileSync(proxy.configPath, text.replace('internal: 5', 'internal: 10'));
    await waitFor('the reload', async () => (await status()).code === 0, 20_000);

    // A table with a mistake is refused; the old one stays in use.
    const wrong = text.replace('internal: 5', 'internal: -1');
    writeFileSync(proxy.configPath, wrong);
    api.store.update('ConfigMap', 'shop', 'shop-proxy', (object) => {
      (object['data'] as Record<string, string>)['pointsman.yaml'] = wrong;
    });
    await waitFor('the refusal', async () => (await status()).stdout.includes('table-refused'), 20_000);
    const refused = await status();
    assert.match(refused.stdout, /refused the table and keep the old one:\s+routes\[0\]\.split\.internal: /);
    assert.match(refused.stdout, /table-invalid/);
    assert.equal(refused.code, 2);
  });

  it('calls what nobody answers unknown, not fine, and does not wait for it long', async () => {
    const api = await startApi();
    api.store.putAll(
      serviceObjects({
        name: 'shop',
        tracks: TRACKS,
        adminPort: 1,
        proxyAddress: () => '127.0.0.1',
        deployedAt: Date.now() - 86_400_000,
      }),
    );
    const kubeconfig = api.writeKubeconfig(path.join(temporaryDirectory(), 'kubeconfig'));
    const { code, stdout } = await fleet(['status', '--kubeconfig', kubeconfig, '--proxies', 'direct']);
    assert.equal(code, 3, stdout);
    assert.match(
      stdout,
      /\? shop {2}proxy-silent\n {2}4 of 4 proxies did not say which table they have: .* \(nothing listens there\)/,
    );
  });
});
