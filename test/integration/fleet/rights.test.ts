import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as kubernetes from '@kubernetes/client-node';
import { parseAllDocuments, stringify } from 'yaml';
import { FleetProcess, fleet, startApi, temporaryDirectory } from '../../support/fleet-process.ts';
import { Authorizer } from '../../support/kubernetes-api/authorizer.ts';
import { fleetObjects } from '../../support/kubernetes-api/fleet-objects.ts';
import type { KubernetesObject } from '../../support/kubernetes-api/store.ts';
import { SlackReceiver } from '../../support/slack-receiver.ts';
import { waitFor } from '../../support/wait-for.ts';

const DEPLOY = fileURLToPath(new URL('../../../deploy/fleet/', import.meta.url));

function manifests(...files: readonly string[]): KubernetesObject[] {
  return (
    files
      .flatMap((file) =>
        parseAllDocuments(readFileSync(path.join(DEPLOY, file), 'utf8')).map(
          (document) => document.toJS() as KubernetesObject,
        ),
      )
      // As the kustomization does.
      .map((object) =>
        object.kind.startsWith('Cluster')
          ? object
          : { ...object, metadata: { ...object.metadata, namespace: 'shop' } },
      )
  );
}

const BASE = [
  'base/role.yaml',
  'base/service-account.yaml',
  'base/config.yaml',
  'base/serve.yaml',
  'base/alert.yaml',
];
const LOOK = 'system:serviceaccount:shop:pointsman-fleet';
const TELL = 'system:serviceaccount:shop:pointsman-fleet-alert';

async function setUp(files: readonly string[]) {
  const authorizer = new Authorizer(manifests(...files));
  const api = await startApi({ authorizer, tokens: { look: LOOK, tell: TELL } });
  api.store.putAll(fleetObjects(2, { deployedAt: Date.now() - 3 * 86_400_000 }));
  api.store.put({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'pointsman-fleet-state', namespace: 'shop' },
  });
  const directory = temporaryDirectory();
  const look = api.writeKubeconfig(path.join(directory, 'look'), { token: 'look' });
  const tell = api.writeKubeconfig(path.join(directory, 'tell'), { token: 'tell' });
  return { api, authorizer, directory, look, tell };
}

async function useEverything(
  { api, directory, look, tell }: Awaited<ReturnType<typeof setUp>>,
  scope: readonly string[],
): Promise<void> {
  const status = await fleet(['status', '--kubeconfig', look, ...scope]);
  assert.equal(status.code, 0, status.stdout + status.stderr);
  const token = path.join(directory, 'token');
  writeFileSync(token, 'f'.repeat(64));
  const running = [
    new FleetProcess(['watch', '--kubeconfig', look, ...scope]),
    new FleetProcess(['serve', '--kubeconfig', look, '--listen', '127.0.0.1:0', ...scope]),
    new FleetProcess([
      'agent',
      '--kubeconfig',
      look,
      '--to',
      'http://127.0.0.1:1',
      '--insecure',
      '--token-file',
      token,
      ...scope,
    ]),
  ];
  await waitFor('all watches of the three', () => api.watching === 15);
  await waitFor(
    'ConfigMaps of the three',
    () =>
      api.requests.filter(({ plural, verb }) => plural === 'configmaps' && verb === 'get').length >= 4 * 2,
  );
  const ends = await Promise.all(running.map((process) => process.stop()));
  assert.deepEqual(
    ends.map(({ code }) => code),
    [0, 0, 0],
    ends.map(({ stderr }) => stderr).join(''),
  );
  const slack = await new SlackReceiver().start();
  const config = path.join(directory, 'fleet.yaml');
  writeFileSync(config, stringify({ alerts: { slack: { url: slack.url } } }));
  const alert = await fleet([
    'alert',
    '--kubeconfig',
    tell,
    '--config',
    config,
    '--state-configmap',
    'pointsman-fleet-state',
    ...scope,
  ]);
  assert.equal(alert.code, 0, alert.stderr);
}

describe('the manifests of deploy/fleet', () => {
  it('grant exactly what the commands use, and nothing that they use is refused', async () => {
    const setting = await setUp(BASE);
    await useEverything(setting, []);
    const { authorizer } = setting;
    assert.deepEqual(
      authorizer.attempts.filter(({ allowed }) => !allowed),
      [],
    );
    for (const user of [LOOK, TELL])
      assert.deepEqual([...authorizer.usedBy(user)].sort(), [...authorizer.granted(user)].sort(), user);
  });

  it('do the same for all namespaces', async () => {
    const setting = await setUp([
      'all-namespaces/cluster-role.yaml',
      'base/role.yaml',
      'base/service-account.yaml',
    ]);
    await useEverything(setting, ['--all-namespaces']);
    const { authorizer } = setting;
    assert.deepEqual(
      authorizer.attempts.filter(({ allowed }) => !allowed),
      [],
    );
    for (const user of [LOOK, TELL])
      assert.deepEqual([...authorizer.usedBy(user)].sort(), [...authorizer.granted(user)].sort(), user);
  });

  it('refuse what the overview has no business with', async () => {
    const { authorizer } = await setUp([...BASE, 'all-namespaces/cluster-role.yaml']);
    for (const user of [LOOK, TELL]) {
      for (const [verb, group, resource, name] of [
        ['get', '', 'secrets', 'x'],
        ['list', '', 'secrets', ''],
        ['list', '', 'configmaps', ''],
        ['create', '', 'pods/exec', 'x'],
        ['get', '', 'pods/proxy', 'x'],
        ['delete', '', 'pods', 'x'],
        ['patch', 'apps', 'deployments', 'x'],
        ['update', '', 'configmaps', 'account-service-proxy'],
      ] as const) {
        assert.equal(
          authorizer.allows({ user, verb, group, resource, name, namespace: 'shop' }),
          false,
          `${user} ${verb} ${resource}`,
        );
      }
    }
  });

  it('say what is missing when a right is', async () => {
    const setting = await setUp([]);
    const { code, stderr } = await fleet(['status', '--kubeconfig', setting.look]);
    assert.equal(code, 3);
    assert.match(
      stderr,
      /cannot list services in namespace "shop": forbidden \(services is forbidden: User "system:serviceaccount:shop:pointsman-fleet" cannot list resource "services" in API group "" in the namespace "shop"\); grant the verb as deploy\/fleet does/,
    );
  });

  it('have no field that Kubernetes does not know', () => {
    for (const object of manifests(...BASE, 'all-namespaces/cluster-role.yaml')) {
      assert.deepEqual(unknownFields(object, `V1${object.kind}`, object.kind), []);
    }
  });

  it('hold the same rules in the Role and the ClusterRole', () => {
    const roles = manifests('base/role.yaml');
    for (const cluster of manifests('all-namespaces/cluster-role.yaml').filter(
      ({ kind }) => kind === 'ClusterRole',
    )) {
      const role = roles.find(({ metadata }) => metadata.name === cluster.metadata.name)!;
      const rules = (role['rules'] as { resourceNames?: string[] }[]).filter(
        ({ resourceNames }) => resourceNames === undefined,
      );
      assert.deepEqual(cluster['rules'], rules);
    }
  });

  const kubectl = spawnSync('kubectl', ['version', '--client']).status === 0;
  it('are built by kustomize in all three variants', {
    skip: kubectl ? false : 'kubectl is not installed',
  }, () => {
    for (const variant of ['.', 'all-namespaces', 'agent']) {
      const { status, stdout, stderr } = spawnSync('kubectl', ['kustomize', path.join(DEPLOY, variant)], {
        encoding: 'utf8',
      });
      assert.equal(status, 0, stderr);
      const objects = parseAllDocuments(stdout).map((document) => document.toJS() as KubernetesObject);
      for (const object of objects) {
        assert.deepEqual(unknownFields(object, `V1${object.kind}`, object.kind), []);
        if (!object.kind.startsWith('Cluster')) assert.equal(object.metadata.namespace, 'shop');
      }
    }
  });
});

/** The official client's own types say which fields there are. */
function unknownFields(value: unknown, type: string, at: string): string[] {
  if (value === null || value === undefined) return [];
  const list = /^Array<(.*)>$/.exec(type);
  if (list !== null)
    return (value as unknown[]).flatMap((item, index) => unknownFields(item, list[1]!, `${at}[${index}]`));
  const map = /^\{ \[key: string\]: (.*?);? \}$/.exec(type);
  if (map !== null)
    return Object.entries(value as object).flatMap(([key, item]) =>
      unknownFields(item, map[1]!, `${at}.${key}`),
    );
  const known = (
    kubernetes as unknown as Record<
      string,
      { getAttributeTypeMap?: () => { baseName: string; type: string }[] } | undefined
    >
  )[type];
  if (known?.getAttributeTypeMap === undefined) return [];
  const types = new Map(known.getAttributeTypeMap().map(({ baseName, type: of }) => [baseName, of]));
  return Object.entries(value as object).flatMap(([key, item]) => {
    const of = types.get(key);
    return of === undefined
      ? [`${at}.${key} is no field of ${type}`]
      : unknownFields(item, of, `${at}.${key}`);
  });
}
