import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { parse, stringify } from 'yaml';
import type { FleetReport } from '../../../src/fleet/report.ts';
import { selfSigned } from '../../support/certificate.ts';
import { reserveClosedPort } from '../../support/closed-port.ts';
import { fleet, startApi, temporaryDirectory } from '../../support/fleet-process.ts';
import { fleetObjects } from '../../support/kubernetes-api/fleet-objects.ts';
import type { KubernetesApi } from '../../support/kubernetes-api/server.ts';

const DEPLOYED = Date.now() - 3 * 86_400_000;

async function setUp(services = 3) {
  const api = await startApi();
  api.store.putAll(fleetObjects(services, { deployedAt: DEPLOYED }));
  return { api, kubeconfig: kubeconfigOf(api) };
}

function kubeconfigOf(
  api: KubernetesApi,
  options: Parameters<KubernetesApi['writeKubeconfig']>[1] = {},
): string {
  return api.writeKubeconfig(path.join(temporaryDirectory(), 'kubeconfig'), options);
}

const pauseRollout = (api: KubernetesApi) =>
  api.store.update('Deployment', 'shop', 'service-001-paid', (object) => {
    (object['spec'] as { paused: boolean }).paused = true;
  });

describe('fleet status', () => {
  it('exits 0 over a healthy fleet, and says that it looked', async () => {
    const { kubeconfig } = await setUp();
    const { code, stdout, stderr } = await fleet(['status', '--kubeconfig', kubeconfig]);
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /^shop-eu {2}namespace shop/);
    assert.match(stdout, /3 services · 72 pods · 3 fine/);
    assert.match(stdout, /Note: proxies were not asked for their live tables\./);
  });

  it('exits 1 on warnings, 2 on something critical, 0 with --exit-zero, and prints where, what and what to do', async () => {
    const { api, kubeconfig } = await setUp();
    pauseRollout(api);
    const warned = await fleet(['status', '--kubeconfig', kubeconfig]);
    assert.equal(warned.code, 1, warned.stdout);
    assert.match(warned.stdout, /▲ service-001 {2}rollout-paused/);
    assert.match(warned.stdout, /→ kubectl -n shop rollout resume deployment service-001-paid/);
    api.store.delete('Deployment', 'shop', 'service-002');
    assert.equal((await fleet(['status', '--kubeconfig', kubeconfig])).code, 2);
    assert.equal((await fleet(['status', '--kubeconfig', kubeconfig, '--exit-zero'])).code, 0);
    const one = await fleet(['status', '--kubeconfig', kubeconfig, 'service-001', '-o', 'json']);
    assert.equal(one.code, 1);
    assert.deepEqual(
      (JSON.parse(one.stdout) as FleetReport).services.map(({ name }) => name),
      ['service-001'],
    );
  });

  it('says the same as JSON, YAML and Markdown', async () => {
    const { api, kubeconfig } = await setUp();
    pauseRollout(api);
    const json = JSON.parse(
      (await fleet(['status', '--kubeconfig', kubeconfig, '-o', 'json'])).stdout,
    ) as FleetReport;
    assert.deepEqual(
      json.findings.map(({ kind }) => kind),
      ['rollout-paused'],
    );
    assert.deepEqual(
      json.services[1]?.tracks.map(({ track, ready, wanted, builds }) => [track, ready, wanted, builds]),
      [
        ['internal', 2, 2, ['1.9.0']],
        ['canary', 4, 4, ['1.8.2']],
        ['paid', 4, 4, ['1.8.1']],
        ['production', 10, 10, ['1.8.0']],
      ],
    );
    const yaml = parse(
      (await fleet(['status', '--kubeconfig', kubeconfig, '-o', 'yaml'])).stdout,
    ) as FleetReport;
    assert.deepEqual({ ...yaml, at: '' }, { ...json, at: '' });
    const { stdout } = await fleet(['status', '--kubeconfig', kubeconfig, '-o', 'markdown']);
    assert.match(stdout, /\| ▲ \| service-001 \| rollout-paused \|/);
  });

  it('looks into the namespaces it is told to, and into all', async () => {
    const { api, kubeconfig } = await setUp(1);
    api.store.putAll(fleetObjects(2, { namespace: 'billing', deployedAt: DEPLOYED }));
    const count = async (...args: string[]) =>
      (
        JSON.parse(
          (await fleet(['status', '--kubeconfig', kubeconfig, '-o', 'json', ...args])).stdout,
        ) as FleetReport
      ).services.length;
    assert.deepEqual(
      [
        await count(),
        await count('-n', 'billing'),
        await count('-n', 'billing', '-n', 'shop'),
        await count('-A'),
      ],
      [1, 2, 3, 3],
    );
    const none = await fleet(['status', '--kubeconfig', kubeconfig, '-n', 'empty']);
    assert.equal(none.code, 3);
    assert.match(none.stdout, /no Service in namespace empty has the label/);
  });

  it('compares with manifests', async () => {
    const { kubeconfig } = await setUp(1);
    const directory = temporaryDirectory();
    const manifests = fleetObjects(1).filter(({ kind }) =>
      ['Deployment', 'Service', 'ConfigMap'].includes(kind),
    );
    const file = path.join(directory, 'all.yaml');
    writeFileSync(file, manifests.map((object) => stringify(object)).join('---\n'));
    const same = await fleet(['status', '--kubeconfig', kubeconfig, '--repo', directory]);
    assert.equal(same.code, 0, same.stdout);
    writeFileSync(
      file,
      manifests
        .map((object) =>
          stringify(object).replace('app:1.8.0', 'app:1.8.1').replace('production: 95', 'production: 90'),
        )
        .join('---\n'),
    );
    const { code, stdout } = await fleet(['status', '--kubeconfig', kubeconfig, '--repo', directory]);
    assert.equal(code, 1);
    assert.match(
      stdout,
      /service-000-production is registry\.example\/app:1\.8\.0, in git registry\.example\/app:1\.8\.1\s+\(.*all\.yaml\)/,
    );
    assert.match(stdout, /ConfigMap service-000-proxy differs from git in pointsman\.yaml \(/);
  });
});

describe('an API server in trouble', () => {
  const lists = (plural: string) => (seen: { plural: string; verb: string }) =>
    seen.plural === plural && seen.verb === 'list';

  it('that is away is one clear line, and exit code 3', async () => {
    const { api } = await setUp(1);
    const kubeconfig = kubeconfigOf(api, { server: `http://127.0.0.1:${await reserveClosedPort()}` });
    const { code, stdout, stderr } = await fleet(['status', '--kubeconfig', kubeconfig]);
    assert.deepEqual([code, stdout], [3, '']);
    assert.match(
      stderr,
      /^pointsman fleet status: cannot list \w+ in namespace "shop": nothing listens at http:\/\/127\.0\.0\.1:\d+; .*\n$/,
    );
  });

  it('that never answers is given up on', async () => {
    const { api, kubeconfig } = await setUp(1);
    api.fault = () => ({ hang: true });
    const { code, stderr } = await fleet(['status', '--kubeconfig', kubeconfig, '--timeout', '200ms']);
    assert.equal(code, 3);
    assert.match(stderr, /did not answer in time\n$/);
  });

  it('that forbids one kind leaves a partial survey that says what it could not see', async () => {
    const { api, kubeconfig } = await setUp(2);
    api.fault = (seen) =>
      lists('pods')(seen)
        ? {
            status: 403,
            reason: 'Forbidden',
            message: 'pods is forbidden: User "fleet" cannot list resource "pods"',
          }
        : undefined;
    const { code, stdout } = await fleet(['status', '--kubeconfig', kubeconfig]);
    assert.equal(code, 3, stdout);
    assert.match(
      stdout,
      /\? Kind\/Pod {2}not-seen\n {2}cannot list pods in namespace "shop": forbidden \(pods is forbidden/,
    );
    assert.match(stdout, /2 services · 0 pods · 2 fine · 1 unknown/);
  });

  it('that does not accept the token says what to do, after one more try with a fresh one', async () => {
    const { api, kubeconfig } = await setUp(1);
    api.tokens = { good: 'system:admin' };
    const { code, stderr } = await fleet(['status', '--kubeconfig', kubeconfig]);
    assert.equal(code, 3);
    assert.match(
      stderr,
      /does not accept the credentials \(Unauthorized\); the token may have expired: sign in again/,
    );
  });

  it('that is busy or fails is asked again, as late as it asks for', async () => {
    const { api, kubeconfig } = await setUp(1);
    let busy = 0;
    let failed = 0;
    let cut = 0;
    api.fault = (seen) => {
      if (lists('pods')(seen) && busy++ === 0)
        return { status: 429, reason: 'TooManyRequests', headers: { 'retry-after': '1' } };
      if (lists('services')(seen) && failed++ === 0)
        return { status: 500, reason: 'InternalError', message: 'etcd is away' };
      if (lists('deployments')(seen) && cut++ === 0) return { cut: true };
      return undefined;
    };
    const { code, stdout, stderr } = await fleet(['status', '--kubeconfig', kubeconfig]);
    assert.equal(code, 0, stdout + stderr);
    assert.deepEqual([busy, failed, cut], [2, 2, 2]);
  });

  it('that sends null, nothing, slow pieces, and forgets its continue tokens, is surveyed all the same', async () => {
    const { api, kubeconfig } = await setUp(30);
    let pages = 0;
    api.fault = (seen) => {
      if (lists('pods')(seen) && pages++ === 1) api.store.compact();
      if (lists('replicasets')(seen)) return { change: (list) => ({ ...list, items: null }) };
      if (lists('endpointslices')(seen)) return { pieces: 20_000 };
      return undefined;
    };
    const { code, stdout, stderr } = await fleet(['status', '--kubeconfig', kubeconfig]);
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /30 services · 720 pods · 30 fine/);
    assert.ok(pages >= 4, `${pages}`);
  });

  it('that is none says so', async () => {
    const { api, kubeconfig } = await setUp(1);
    api.fault = () => ({ body: '<html>Welcome to nginx!</html>' });
    const { code, stderr } = await fleet(['status', '--kubeconfig', kubeconfig]);
    assert.equal(code, 3);
    assert.match(stderr, /answered something that is no JSON; is it an API server\?\n$/);
  });
});

describe('the way to the API server', () => {
  it('is TLS with the authority of the kubeconfig, and a client certificate where it has one', async () => {
    const tls = selfSigned('127.0.0.1', 'localhost');
    const api = await startApi({ tls, tokens: { good: 'system:admin' } });
    api.store.putAll(fleetObjects(1, { deployedAt: DEPLOYED }));
    const status = (kubeconfig: string) => fleet(['status', '--kubeconfig', kubeconfig]);
    const byToken = await status(kubeconfigOf(api, { ca: tls.cert, token: 'good' }));
    assert.equal(byToken.code, 0, byToken.stderr);
    const byCertificate = await status(kubeconfigOf(api, { ca: tls.cert, client: selfSigned('somebody') }));
    assert.equal(byCertificate.code, 0, byCertificate.stderr);
    const untrusted = await status(kubeconfigOf(api, { ca: selfSigned('127.0.0.1').cert, token: 'good' }));
    assert.equal(untrusted.code, 3);
    assert.match(
      untrusted.stderr,
      /the certificate of https:\/\/127\.0\.0\.1:\d+ is not trusted \(\w+\); is certificate-authority/,
    );
    const unverified = await status(kubeconfigOf(api, { token: 'good' }));
    assert.equal(unverified.code, 0, unverified.stderr);
  });

  it('signs in by a plugin of the kubeconfig, and asks it again when its token has expired', async () => {
    const { api } = await setUp(1);
    api.tokens = { fresh: 'system:admin' };
    const directory = temporaryDirectory();
    const plugin = path.join(directory, 'plugin');
    const said = path.join(directory, 'said');
    // The first token is one that the server has forgotten already.
    writeFileSync(
      plugin,
      `#!/bin/sh
test -e ${said} && token=fresh || token=old
touch ${said}
echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"'$token'"}}'
`,
      { mode: 0o755 },
    );
    const kubeconfig = path.join(directory, 'kubeconfig');
    const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: plugin, interactiveMode: 'Never' };
    const users = [{ name: 'fleet', user: { exec } }];
    writeFileSync(kubeconfig, stringify({ ...parse(readFileSync(kubeconfigOf(api), 'utf8')), users }));
    const { code, stderr } = await fleet(['status', '--kubeconfig', kubeconfig]);
    assert.equal(code, 0, stderr);
    writeFileSync(plugin, '#!/bin/sh\nexit 3\n', { mode: 0o755 });
    const failed = await fleet(['status', '--kubeconfig', kubeconfig]);
    assert.equal(failed.code, 3);
    assert.equal(failed.stderr.trim().split('\n').length, 1, failed.stderr);
  });
});

describe('wrong usage', () => {
  it('exits 64 with one line and a hint, and never with a code of a severity', async () => {
    const { kubeconfig } = await setUp(1);
    const cases: [string[], RegExp][] = [
      [[], /^Usage/],
      [['stats'], /there is no subcommand "stats"/],
      [['status', '--nonsense'], /--nonsense/],
      [['status', '--output', 'xml'], /--output is table, wide, json, yaml, markdown; not "xml"/],
      [['status', '-A', '-n', 'x'], /not both/],
      [['status', '--timeout', 'soon'], /--timeout is a duration/],
      [['status', '--config', '/nowhere.yaml'], /nowhere\.yaml: there is no such file/],
      [
        ['status', '--kubeconfig', kubeconfig, '--repo', '/nowhere'],
        /--repo \/nowhere: there is no such file or directory/,
      ],
      [['status', '--kubeconfig', kubeconfig, 'ghost'], /there is no service "ghost"/],
      [['alert', '--kubeconfig', kubeconfig], /give either --state-file or --state-configmap/],
      [
        ['alert', '--kubeconfig', kubeconfig, '--state-file', '/tmp/x'],
        /name neither alerts\.slack nor alerts\.email/,
      ],
      [['agent', '--to', 'http://x', '--token-file', '/x'], /plain http/],
      [['serve', '--no-survey'], /would show nothing/],
    ];
    await Promise.all(
      cases.map(async ([args, expected]) => {
        const { code, stderr, stdout } = await fleet(args);
        assert.equal(code, 64, `${args}: ${stderr}`);
        assert.match(stderr, expected);
        assert.equal(stdout, '');
        assert.doesNotMatch(stderr, / {4}at /);
      }),
    );
  });

  it('names a kubeconfig that is not there, and a context that it has not', async () => {
    const { kubeconfig } = await setUp(1);
    const missing = await fleet(['status', '--kubeconfig', '/nowhere/kubeconfig']);
    assert.deepEqual(
      [missing.code, missing.stderr],
      [3, 'pointsman fleet status: /nowhere/kubeconfig: there is no such file\n'],
    );
    const context = await fleet(['status', '--kubeconfig', kubeconfig, '--context', 'prod']);
    assert.equal(
      context.stderr,
      'pointsman fleet status: there is no context "prod" in the kubeconfig; there are: test\n',
    );
  });
});
