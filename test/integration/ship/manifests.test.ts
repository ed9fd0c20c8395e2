/** deploy/: rendered by the real kubectl and helm, and judged without a cluster. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse, stringify } from 'yaml';
import {
  type KubernetesTools,
  kubernetesTools,
  whyNoKubernetesTools,
} from '../../support/kubernetes-tools.ts';
import { faultsOf, type Manifest, parseManifests } from '../../support/manifest-faults.ts';
import { brokenPolicies } from '../../support/manifest-policies.ts';
import { ManifestRepository } from '../../support/manifest-repository.ts';
import { temporaryDirectory } from '../../support/pointsman-process.ts';

const DEPLOY = fileURLToPath(new URL('../../../deploy/', import.meta.url));
const CHART = path.join(DEPLOY, 'helm/pointsman');
const VALUES = path.join(DEPLOY, 'helm/values-account-service.yaml');

let tools: KubernetesTools;

function run(
  program: string,
  args: readonly string[],
): { status: number | null; stdout: string; stderr: string } {
  const result = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 16 * 1024 ** 2 });
  if (result.error !== undefined) throw result.error;
  return result;
}

function kustomize(directory: string): Manifest[] {
  const { status, stdout, stderr } = run(tools.kubectl, ['kustomize', directory]);
  assert.equal(status, 0, stderr);
  assert.equal(stderr, '', 'no warnings');
  return parseManifests(stdout);
}

function helm(...args: string[]): Manifest[] {
  const all = ['template', 'account-service', CHART, '--namespace', 'shop', '-f', VALUES, ...args];
  const { status, stdout, stderr } = run(tools.helm, all);
  assert.equal(status, 0, stderr);
  return parseManifests(stdout);
}

function find(manifests: readonly Manifest[], kind: string, name: string): Manifest {
  const found = manifests.find((one) => one.kind === kind && one.metadata.name === name);
  assert.ok(found, `${kind}/${name}`);
  return found;
}

/** Nothing to complain about in what was rendered. */
function assertGood(manifests: readonly Manifest[]): void {
  assert.deepEqual(manifests.flatMap(faultsOf), []);
  assert.deepEqual(brokenPolicies(manifests), []);
}

/** The kustomizations as somebody has them who follows the comment on monitoring. */
function withMonitoring(): string {
  const copy = temporaryDirectory();
  cpSync(path.join(DEPLOY, 'kustomize'), copy, { recursive: true });
  const file = path.join(copy, 'overlays/account-service/proxies/kustomization.yaml');
  const text = readFileSync(file, 'utf8');
  assert.match(text, /^ {2}# - \.\.\/\.\.\/\.\.\/components\/monitoring$/m);
  writeFileSync(file, text.replace('  # - ../', '  - ../'));
  return path.join(copy, 'overlays/example');
}

suite('the manifests', { skip: whyNoKubernetesTools() }, () => {
  before(() => {
    tools = kubernetesTools();
  });

  for (const overlay of ['account-service', 'example', 'sidecar']) {
    test(`kustomize/overlays/${overlay} is valid and keeps the rules`, () => {
      assertGood(kustomize(path.join(DEPLOY, 'kustomize/overlays', overlay)));
    });
  }

  test('the example holds a service with four tracks, its Services, and its proxies', () => {
    const manifests = kustomize(path.join(DEPLOY, 'kustomize/overlays/example'));
    const replicas = Object.fromEntries(
      manifests
        .filter(({ kind, metadata }) => kind === 'Deployment' && metadata.labels?.['tier'] === 'service')
        .map(({ metadata, spec }) => [metadata.labels?.['track'], spec.replicas]),
    );
    assert.deepEqual(replicas, { internal: 2, canary: 4, paid: 4, production: 10 });
    const names = manifests.filter(({ kind }) => kind === 'Service').map(({ metadata }) => metadata.name);
    assert.deepEqual(names.sort(), [
      'account-service',
      'account-service-canary',
      'account-service-internal',
      'account-service-paid',
      'account-service-pointsman',
      'account-service-production',
    ]);
    for (const { kind, spec } of manifests) {
      if (kind === 'Service') assert.equal(spec.type ?? 'ClusterIP', 'ClusterIP');
    }
    const { spec } = find(manifests, 'HorizontalPodAutoscaler', 'account-service-pointsman');
    assert.equal(spec.minReplicas, 4);
    const { metadata } = find(manifests, 'Namespace', 'shop');
    assert.equal(metadata.labels?.['pod-security.kubernetes.io/enforce'], 'restricted');
    const known = new Set(['v1', 'apps/v1', 'autoscaling/v2', 'policy/v1', 'networking.k8s.io/v1']);
    assert.deepEqual(
      manifests.filter(({ apiVersion }) => !known.has(apiVersion)),
      [],
      'nothing that has to be installed first',
    );
  });

  test('the base by itself has four replicas', () => {
    const manifests = kustomize(path.join(DEPLOY, 'kustomize/base'));
    assert.equal(find(manifests, 'Deployment', 'pointsman')['spec'].replicas, 4);
    assert.deepEqual(manifests.flatMap(faultsOf), []);
  });

  test('with monitoring there is a PodMonitor for the proxies of this service alone', () => {
    const manifests = kustomize(withMonitoring());
    assertGood(manifests);
    const { spec } = find(manifests, 'PodMonitor', 'account-service-pointsman');
    assert.equal(spec.selector.matchLabels.app, 'account-service');
  });

  test('the ConfigMap keeps its name when the table changes, so that proxies reload and do not restart', () => {
    const manifests = kustomize(path.join(DEPLOY, 'kustomize/overlays/account-service'));
    find(manifests, 'ConfigMap', 'account-service-pointsman');
    const { spec } = find(manifests, 'Deployment', 'account-service-pointsman');
    assert.doesNotMatch(JSON.stringify(spec.template.metadata), /checksum|hash/);
  });

  test('the sidecar is a native one: it is ready before the application starts, and outlives it', () => {
    const manifests = kustomize(path.join(DEPLOY, 'kustomize/overlays/sidecar'));
    const { initContainers, containers } = find(manifests, 'Deployment', 'web')['spec'].template.spec;
    assert.equal(initContainers.length, 1);
    assert.equal(initContainers[0].restartPolicy, 'Always');
    assert.equal(initContainers[0].startupProbe.httpGet.path, '/readyz');
    assert.equal(initContainers[0].lifecycle, undefined);
    assert.deepEqual(
      containers.map(({ name }: { name: string }) => name),
      ['web'],
    );
  });

  for (const kustomization of ['fleet', 'fleet/all-namespaces', 'fleet/agent']) {
    test(`${kustomization} is valid and restricted`, () => {
      assertGood(kustomize(path.join(DEPLOY, kustomization)));
    });
  }

  test('what pointsman stage renders from its templates is valid and restricted', async () => {
    const repository = await ManifestRepository.create();
    await repository.done(
      'init',
      'account-service',
      '--image',
      'registry.example/account:1.8.2',
      '--namespace',
      'shop',
    );
    const manifests = kustomize(path.join(repository.directory, 'manifests/account-service'));
    assert.equal(manifests.filter(({ kind }) => kind === 'Deployment').length, 5);
    assertGood(manifests);
  });

  suite('the chart', () => {
    test('passes helm lint', () => {
      const { status, stdout, stderr } = run(tools.helm, ['lint', '--strict', CHART, '-f', VALUES]);
      assert.equal(status, 0, stdout + stderr);
    });

    for (const [what, args] of [
      ['as it is', []],
      [
        'without what can be left out',
        ['autoscaling.enabled=false', 'networkPolicy.enabled=false', 'clientService.enabled=false'],
      ],
      [
        'with all that can be added',
        [
          'podMonitor.enabled=true',
          'service=accounts',
          `image.digest=sha256:${'a'.repeat(64)}`,
          'env[0].name=REDIS_URL,env[0].value=redis://redis:6379',
          'podLabels.team=shop',
          'podAnnotations.note=x',
          'nodeSelector.disk=ssd',
          'tolerations[0].operator=Exists',
          'priorityClassName=high',
          'image.pullSecrets[0].name=registry',
          'shutdown.delaySeconds=20',
          'config.redis.url=${REDIS_URL}',
          'config.pins.user.store=redis',
        ],
      ],
    ] as const) {
      test(`renders ${what} to manifests that are valid and keep the rules`, () => {
        const manifests = helm(...args.flatMap((arg) => ['--set', arg]));
        assertGood(manifests);
        assert.equal(
          new Set(manifests.map(({ kind, metadata }) => kind + metadata.name)).size,
          manifests.length,
        );
      });
    }

    test('comes to the same pods, policies and budget as the kustomization', () => {
      const ours = helm();
      const theirs = kustomize(path.join(DEPLOY, 'kustomize/overlays/account-service'));
      for (const kind of ['Deployment', 'PodDisruptionBudget', 'HorizontalPodAutoscaler', 'NetworkPolicy']) {
        const [left, right] = [ours, theirs].map(
          (all) => find(all, kind, 'account-service-pointsman')['spec'],
        );
        assert.deepEqual(left, right, kind);
      }
      const table = (all: readonly Manifest[]) =>
        parse(find(all, 'ConfigMap', 'account-service-pointsman')['data']['pointsman.yaml']) as object;
      assert.deepEqual(table(ours), { ...table(theirs), listen: '0.0.0.0:8080', admin: '0.0.0.0:9901' });
    });

    test('refuses values that are misspelt, of the wrong kind, or not to be set', () => {
      for (const [value, says] of [
        ['replica=3', /replica/],
        ['replicas=many', /replicas/],
        ['image.tag=latest', /tag/],
        ['config.listen=0.0.0.0:80', /listen/],
        ['autoscaling.max=3', /max/],
        ['service=Accounts', /service/],
      ] as const) {
        const all = ['template', 'x', CHART, '-f', VALUES, '--set', value];
        const { status, stderr } = run(tools.helm, all);
        assert.notEqual(status, 0, value);
        assert.match(stderr, says);
      }
      assert.notEqual(run(tools.helm, ['template', 'x', CHART]).status, 0, 'there is no table by default');
    });

    test('keeps the grace period longer than what shutdown asks for', () => {
      const manifests = helm('--set', 'shutdown.delaySeconds=15', '--set', 'shutdown.timeoutSeconds=60');
      const { spec } = find(manifests, 'Deployment', 'account-service-pointsman');
      assert.equal(spec.template.spec.terminationGracePeriodSeconds, 85);
      assertGood(manifests);
    });
  });

  suite('the judges', () => {
    const good = () => kustomize(path.join(DEPLOY, 'kustomize/overlays/example'));
    const broken = (change: (deployment: Manifest) => void) => {
      const manifests = structuredClone(good());
      change(find(manifests, 'Deployment', 'account-service-pointsman'));
      const faults = manifests.flatMap(faultsOf);
      // The rules read what they take for valid.
      return (faults.length > 0 ? faults : brokenPolicies(manifests)).join('\n');
    };

    for (const [what, change, says] of [
      [
        'an unknown field',
        (d) => (d['spec'].template.spec.containers[0].livnessProbe = {}),
        /livnessProbe: unknown/,
      ],
      ['a wrong type', (d) => (d['spec'].minReadySeconds = 'five'), /minReadySeconds/],
      ['a required field left out', (d) => delete d['spec'].selector, /selector/],
      [
        'an unknown choice',
        (d) => (d['spec'].template.spec.topologySpreadConstraints[0].whenUnsatisfiable = 'Try'),
        /whenUnsatisfiable/,
      ],
      [
        'a pod that runs as root',
        (d) => (d['spec'].template.spec.securityContext.runAsNonRoot = false),
        /runAsNonRoot/,
      ],
      [
        'a root that can be written to',
        (d) => delete d['spec'].template.spec.containers[0].securityContext.readOnlyRootFilesystem,
        /readOnlyRootFilesystem/,
      ],
      [
        'a table mounted by subPath',
        (d) => (d['spec'].template.spec.containers[0].volumeMounts[0].subPath = 'pointsman.yaml'),
        /subPath/,
      ],
      [
        'too short a grace period',
        (d) => (d['spec'].template.spec.terminationGracePeriodSeconds = 30),
        /30 s of grace/,
      ],
      [
        'labels that nothing selects',
        (d) => (d['spec'].template.metadata.labels.app = 'other'),
        /selects 0 kinds/,
      ],
      ['replicas beside an autoscaler', (d) => (d['spec'].replicas = 4), /beside an autoscaler/],
    ] as readonly (readonly [string, (deployment: Manifest) => unknown, RegExp])[]) {
      test(`find ${what}`, () => {
        assert.match(broken(change), says);
      });
    }

    test('find an admin port that everybody may reach', () => {
      for (const change of [
        (ingress: { from?: unknown }[]) => delete ingress[1]!.from,
        (ingress: object[]) => ingress.push({}),
      ]) {
        const manifests = structuredClone(good());
        change(find(manifests, 'NetworkPolicy', 'account-service-pointsman')['spec'].ingress);
        assert.match(brokenPolicies(manifests).join(), /lets everybody to more than the port of traffic/);
      }
    });

    test('find a table that pointsman check refuses', () => {
      const manifests = structuredClone(good());
      const map = find(manifests, 'ConfigMap', 'account-service-pointsman');
      map['data']['pointsman.yaml'] = stringify({ backends: {}, routes: [] });
      assert.match(brokenPolicies(manifests).join('\n'), /ConfigMap\/account-service-pointsman: /);
    });
  });
});
