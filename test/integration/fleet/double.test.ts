/** The double itself, by those who know what a real server does: kubectl, and the types of Kubernetes. */

import assert from 'node:assert/strict';
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import path from 'node:path';
import { describe, it } from 'node:test';
import { Deployment, ReplicaSet } from 'kubernetes-models/apps/v1';
import { EndpointSlice } from 'kubernetes-models/discovery.k8s.io/v1';
import { ConfigMap, Pod, Service } from 'kubernetes-models/v1';
import { cleanUp } from '../../support/clean-up.ts';
import { startApi, temporaryDirectory } from '../../support/fleet-process.ts';
import { fleetObjects } from '../../support/kubernetes-api/fleet-objects.ts';
import { labelSelector } from '../../support/kubernetes-api/selectors.ts';
import { waitFor } from '../../support/wait-for.ts';

const MODELS = { Deployment, ReplicaSet, EndpointSlice, ConfigMap, Pod, Service } as unknown as Record<
  string,
  new (
    object: object,
  ) => { validate(): void }
>;

describe('the objects of the double', () => {
  it('are valid Kubernetes objects of their kinds', () => {
    for (const object of fleetObjects(1, { realistic: true }))
      new MODELS[object.kind]!(structuredClone(object)).validate();
  });
});

describe('selectors of the double', () => {
  it('mean what the documentation of Kubernetes says', () => {
    const labels = { tier: 'service', app: 'a' };
    const fits = (selector: string) => labelSelector(selector)(labels);
    assert.deepEqual(
      [
        'tier=service',
        'tier==service,app=a',
        'tier!=service',
        'track!=x',
        'app',
        '!track',
        '!app',
        'tier in (service, track)',
        'tier in (x)',
        'track notin (x)',
        'app in (a,b),tier=x',
      ].map(fits),
      [true, true, false, true, true, true, false, true, false, true, false],
    );
    assert.throws(() => labelSelector('a b c'), /unable to parse/);
  });
});

const kubectl = spawnSync('kubectl', ['version', '--client']).status === 0;

describe('kubectl against the double', { skip: kubectl ? false : 'kubectl is not installed' }, () => {
  async function setUp() {
    const api = await startApi();
    api.store.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
    api.store.putAll(fleetObjects(2));
    const directory = temporaryDirectory();
    const kubeconfig = api.writeKubeconfig(path.join(directory, 'kubeconfig'));
    const env = { ...process.env, KUBECONFIG: kubeconfig, HOME: directory };
    // The server is in this process, so nothing may block it.
    const run = (...args: string[]) =>
      new Promise<Pick<SpawnSyncReturns<string>, 'status' | 'stdout' | 'stderr'>>((resolve) => {
        const child = spawn('kubectl', ['--cache-dir', path.join(directory, 'cache'), ...args], { env });
        let stdout = '';
        let stderr = '';
        child.stdout.on('data', (text: Buffer) => {
          stdout += text.toString();
        });
        child.stderr.on('data', (text: Buffer) => {
          stderr += text.toString();
        });
        child.once('close', (status) => resolve({ status, stdout, stderr }));
      });
    return { api, env, directory, run };
  }

  it('discovers, lists with selectors and pages, and gets single objects', async () => {
    const { run, api } = await setUp();
    const services = await run('get', 'services', '-l', 'tier=service,track in (canary,paid)', '-o', 'name');
    assert.deepEqual(services.stdout.trim().split('\n'), [
      'service/service-000-canary',
      'service/service-000-paid',
      'service/service-001-canary',
      'service/service-001-paid',
    ]);
    const pods = await run('get', 'pods', '--chunk-size=7', '-o', 'name');
    assert.equal(pods.stdout.trim().split('\n').length, 48);
    assert.ok(api.requests.filter(({ plural, query }) => plural === 'pods' && query['continue']).length >= 6);
    const slices = await run(
      'get',
      'endpointslices.discovery.k8s.io',
      'service-000-a',
      '-o',
      'jsonpath={.endpoints[*].conditions.ready}',
    );
    assert.equal(slices.stdout, 'true true true true', slices.stderr);
    const missing = await run('get', 'deployment', 'ghost');
    assert.match(missing.stderr, /Error from server \(NotFound\): deployments.* "ghost" not found/);
  });

  it('watches, patches and deletes', async () => {
    const { run, api, env, directory } = await setUp();
    const watch = spawn(
      'kubectl',
      ['--cache-dir', path.join(directory, 'cache'), 'get', 'deployments', '--watch-only', '-o', 'name'],
      { env },
    );
    cleanUp(() => watch.kill('SIGKILL'));
    let seen = '';
    watch.stdout.on('data', (text: Buffer) => {
      seen += text.toString();
    });
    await waitFor('the watch', () => api.watching === 1);
    const patched = await run(
      'patch',
      'deployment',
      'service-000-paid',
      '--type=merge',
      '-p',
      '{"spec":{"paused":true}}',
    );
    assert.equal(patched.status, 0, patched.stderr);
    await waitFor('the change', () => seen.includes('deployment.apps/service-000-paid'));
    assert.equal(
      (api.store.get('Deployment', 'shop', 'service-000-paid')!['spec'] as { paused: boolean }).paused,
      true,
    );
    const deleted = await run('delete', 'deployment', 'service-001', '--wait=false');
    assert.equal(deleted.status, 0, deleted.stderr);
    assert.equal(api.store.get('Deployment', 'shop', 'service-001'), undefined);
  });

  it('hears of forbidden and unauthorized as from a real server', async () => {
    const { run, api } = await setUp();
    api.fault = () => ({
      status: 403,
      reason: 'Forbidden',
      message: 'pods is forbidden: User "x" cannot list resource "pods"',
    });
    assert.match(
      (await run('get', '--raw', '/api/v1/namespaces/shop/pods')).stderr,
      /Error from server \(Forbidden\): pods is forbidden/,
    );
    api.fault = undefined;
    api.tokens = {};
    assert.match(
      (await run('get', '--raw', '/api/v1/namespaces/shop/pods')).stderr,
      /must be logged in to the server|Unauthorized/,
    );
  });
});
