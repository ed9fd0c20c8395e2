import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import { ClusterConnection } from '../../../src/fleet/cluster/connection.ts';
import { metaOf } from '../../../src/fleet/cluster/project.ts';
import { Reflector } from '../../../src/fleet/cluster/reflector.ts';
import { WATCHED } from '../../../src/fleet/cluster/resources.ts';
import { cleanUp } from '../../support/clean-up.ts';
import { startApi, temporaryDirectory } from '../../support/fleet-process.ts';
import type { KubernetesApi } from '../../support/kubernetes-api/server.ts';
import { waitFor } from '../../support/wait-for.ts';

const pod = (name: string, labels: Record<string, string> = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'shop', labels },
});

async function reflect(
  api: KubernetesApi,
  options: { readonly selector?: string; readonly watchSeconds?: number } = {},
) {
  const kubeconfig = api.writeKubeconfig(path.join(temporaryDirectory(), 'kubeconfig'));
  const connection = await ClusterConnection.open(
    { kubeconfig, version: 'test', timeoutMs: 2_000 },
    process.env,
  );
  const controller = new AbortController();
  const { selector, watchSeconds } = options;
  const reflector = new Reflector({
    reader: connection,
    request: { resource: WATCHED.Pod, namespace: 'shop', selector },
    project: (object) => metaOf(object).name,
    onChange: () => {},
    signal: controller.signal,
    pauseMs: 10,
    ...(watchSeconds === undefined ? {} : { watchSeconds }),
  });
  cleanUp(async () => {
    controller.abort();
    await reflector.ended;
    await connection.close();
  });
  await reflector.ready;
  return { reflector, names: () => [...reflector.objects].sort().join(' ') };
}

const count = (api: KubernetesApi, verb: string) => api.requests.filter((seen) => seen.verb === verb).length;

describe('Reflector', () => {
  it('lists once, then follows every addition, change and removal', async () => {
    const api = await startApi();
    api.store.putAll(['a', 'b'].map((name) => pod(name)));
    const { names } = await reflect(api);
    assert.equal(names(), 'a b');
    api.store.put(pod('c'));
    api.store.delete('Pod', 'shop', 'a');
    await waitFor('the changes', () => names() === 'b c');
    assert.equal(count(api, 'list'), 1);
  });

  it('follows objects into its selector and out of it', async () => {
    const api = await startApi();
    api.store.putAll([pod('a', { tier: 'service' }), pod('b')]);
    const { names } = await reflect(api, { selector: 'tier in (service)' });
    assert.equal(names(), 'a');
    api.store.put(pod('b', { tier: 'service' }));
    api.store.put(pod('a'));
    await waitFor('the changes', () => names() === 'b');
  });

  it('resumes where it was after a cut connection, without a list', async () => {
    const api = await startApi();
    api.store.put(pod('a'));
    const { names } = await reflect(api);
    await waitFor('the watch', () => api.watching === 1);
    let cut = true;
    api.fault = (seen) => (seen.verb === 'watch' && cut ? { cut: true } : undefined);
    api.cutWatches();
    api.store.put(pod('b'));
    api.store.delete('Pod', 'shop', 'a');
    cut = false;
    await waitFor('what happened meanwhile', () => names() === 'b');
    assert.equal(count(api, 'list'), 1);
  });

  it('lists again when the server has forgotten its version, and drops what is gone', async () => {
    const api = await startApi({ bookmarkMs: 1_000_000 });
    api.store.putAll([pod('a'), pod('b')]);
    const { names } = await reflect(api);
    await waitFor('the watch', () => api.watching === 1);
    let away = true;
    api.fault = (seen) => (seen.verb === 'watch' && away ? { status: 500 } : undefined);
    api.cutWatches();
    api.store.delete('Pod', 'shop', 'a');
    api.store.put(pod('c'));
    api.store.compact();
    away = false;
    await waitFor('a fresh list', () => names() === 'b c');
    assert.equal(count(api, 'list'), 2);
  });

  it('needs no list after a long quiet time, thanks to bookmarks', async () => {
    const api = await startApi({ bookmarkMs: 5 });
    api.store.put(pod('a'));
    const { names } = await reflect(api);
    // Versions go on with other kinds; history before the newest is forgotten.
    for (let i = 0; i < 20; i++)
      api.store.put({ apiVersion: 'v1', kind: 'Service', metadata: { name: `s${i}`, namespace: 'shop' } });
    await waitFor('the watch', () => api.watching === 1);
    api.store.compact();
    const sent = Date.now();
    await waitFor('a bookmark', () => Date.now() - sent > 50);
    api.cutWatches();
    await waitFor('another watch', () => count(api, 'watch') >= 2);
    api.store.put(pod('b'));
    await waitFor('the change', () => names() === 'a b');
    assert.equal(count(api, 'list'), 1);
  });

  it('goes on after 401, 403, 429, 500, hangs up and nonsense, says so while it lasts, and keeps what it knew', async () => {
    const api = await startApi();
    api.store.put(pod('a'));
    const { reflector, names } = await reflect(api);
    const troubles = [
      { status: 401 },
      { status: 403 },
      { status: 429 },
      { status: 500 },
      { cut: true },
      { body: '<html>' },
    ] as const;
    for (const trouble of troubles) {
      await waitFor('a good watch', () => api.watching === 1 && reflector.failure === undefined);
      api.fault = () => trouble;
      api.cutWatches();
      await waitFor(`the failure of ${JSON.stringify(trouble)}`, () => reflector.failure);
      assert.match(reflector.failure!.message, /^cannot watch pods in namespace "shop": /);
      assert.equal(names(), 'a');
      api.fault = undefined;
    }
    await waitFor('the end of trouble', () => reflector.failure === undefined && api.watching === 1);
    api.store.put(pod('b'));
    await waitFor('the change', () => names() === 'a b');
  });

  it('starts over and over while the first list fails, without a storm', async () => {
    const api = await startApi();
    api.store.put(pod('a'));
    api.fault = () => ({ status: 403, reason: 'Forbidden', message: 'no' });
    const { reflector, names } = await reflect(api);
    assert.match(reflector.failure!.message, /cannot list pods/);
    const before = api.requests.length;
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.ok(api.requests.length - before < 10, `${api.requests.length - before}`);
    api.fault = undefined;
    await waitFor('the list', () => names() === 'a', 20_000);
  });

  it('takes a watch that the server ends in time for no failure', async () => {
    const api = await startApi();
    api.store.put(pod('a'));
    const { reflector, names } = await reflect(api, { watchSeconds: 1 });
    await waitFor('the third watch', () => count(api, 'watch') >= 3);
    assert.equal(reflector.failure, undefined);
    api.store.put(pod('b'));
    await waitFor('the change', () => names() === 'a b');
    assert.equal(count(api, 'list'), 1);
  });
});
