import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { FleetReport } from '../../../src/fleet/report.ts';
import { selfSigned } from '../../support/certificate.ts';
import { parseExposition } from '../../support/exposition.ts';
import { FleetProcess, startApi, temporaryDirectory } from '../../support/fleet-process.ts';
import { fleetObjects } from '../../support/kubernetes-api/fleet-objects.ts';
import { waitFor } from '../../support/wait-for.ts';

const DEPLOYED = Date.now() - 3 * 86_400_000;
const TOKEN = 'a'.repeat(40);

interface ReportAnswer {
  readonly clusters: readonly {
    readonly cluster: string;
    readonly remote: boolean;
    readonly silent: boolean;
    readonly report: FleetReport;
  }[];
}

async function cluster(services = 2) {
  const api = await startApi();
  api.store.putAll(fleetObjects(services, { deployedAt: DEPLOYED }));
  const directory = temporaryDirectory();
  return { api, directory, kubeconfig: api.writeKubeconfig(path.join(directory, 'kubeconfig')) };
}

async function serve(args: readonly string[]): Promise<{ process: FleetProcess; url: string }> {
  const process = new FleetProcess(['serve', '--listen', '127.0.0.1:0', ...args]);
  const url = await waitFor('the address', () => {
    if (process.child.exitCode !== null) throw new Error(process.stderr);
    return /listening on (\S+)\/\n/.exec(process.stdout)?.[1];
  });
  return { process, url };
}

const report = async (url: string) => (await (await fetch(`${url}/report`)).json()) as ReportAnswer;

describe('fleet serve', () => {
  it('shows the fleet as page, JSON and metrics, and follows what changes', async () => {
    const { api, kubeconfig } = await cluster();
    const { process, url } = await serve(['--kubeconfig', kubeconfig]);
    await waitFor('the first survey', async () => (await report(url)).clusters.length === 1);
    const first = (await report(url)).clusters[0]!;
    assert.deepEqual(
      [first.cluster, first.remote, first.silent, first.report.counts.fine],
      ['shop-eu', false, false, 2],
    );
    api.store.delete('Deployment', 'shop', 'service-001');
    await waitFor('the finding', async () =>
      (await report(url)).clusters[0]!.report.findings.some(({ kind }) => kind === 'proxy-missing'),
    );
    const lists = api.requests.filter(({ verb }) => verb === 'list').length;
    assert.equal(lists, 5, 'watched, not polled');

    const page = await fetch(`${url}/`);
    const html = await page.text();
    assert.match(html, /<title>1 critical – Pointsman fleet<\/title>/);
    assert.match(html, /no Deployment runs the proxy of service-001/);
    assert.match(page.headers.get('content-security-policy')!, /^default-src 'none'; style-src 'sha256-/);
    assert.doesNotMatch(html, /<script|src=|href="http/);

    const metrics = parseExposition(await (await fetch(`${url}/metrics`)).text());
    const value = (name: string, labels: Record<string, string>) =>
      metrics
        .get(name)
        ?.samples.find((sample) => Object.entries(labels).every(([key, text]) => sample.labels[key] === text))
        ?.value;
    assert.equal(value('pointsman_fleet_services', { cluster: 'shop-eu' }), 2);
    assert.equal(
      value('pointsman_fleet_problem', {
        service: 'service-001',
        kind: 'proxy-missing',
        severity: 'critical',
      }),
      1,
    );
    assert.equal(value('pointsman_fleet_ready', { service: 'service-000', track: 'production' }), 10);
    assert.deepEqual(
      [
        (await fetch(`${url}/readyz`)).status,
        (await fetch(`${url}/livez`)).status,
        (await fetch(`${url}/x`)).status,
      ],
      [200, 200, 404],
    );
    assert.equal((await fetch(`${url}/`, { method: 'DELETE' })).status, 405);
    assert.equal((await process.stop()).code, 0);
  });

  it('says what it cannot see while the API is away, and keeps showing what it knew', async () => {
    const { api, kubeconfig } = await cluster();
    const { url } = await serve(['--kubeconfig', kubeconfig]);
    await waitFor('the first survey', async () => (await report(url)).clusters.length === 1);
    await waitFor('all watches', () => api.watching === 5);
    api.fault = () => ({ status: 503, reason: 'ServiceUnavailable', message: 'etcd is away' });
    api.cutWatches();
    await waitFor(
      'the gaps',
      async () => (await report(url)).clusters[0]!.report.counts.findings.unknown >= 5,
      20_000,
    );
    const { report: now } = (await report(url)).clusters[0]!;
    assert.equal(now.counts.services, 2);
    assert.match(now.findings[0]!.message, /failed with 503 \(etcd is away\)/);
  });

  it('says that its port is taken', async () => {
    const { kubeconfig } = await cluster();
    const { url } = await serve(['--kubeconfig', kubeconfig]);
    const second = await new FleetProcess([
      'serve',
      '--kubeconfig',
      kubeconfig,
      '--listen',
      new URL(url).host,
    ]).exited;
    assert.equal(second.code, 1);
    assert.match(second.stderr, /cannot listen on 127\.0\.0\.1:\d+: the port is taken/);
  });
});

describe('fleet agent', () => {
  async function centre(tokens = `# agents\non-premise ${TOKEN}\n`, args: readonly string[] = []) {
    const directory = temporaryDirectory();
    const certificate = selfSigned('localhost', '127.0.0.1');
    const file = (name: string, text: string) => {
      writeFileSync(path.join(directory, name), text);
      return path.join(directory, name);
    };
    const cert = file('cert.pem', certificate.cert);
    const all = [
      '--no-survey',
      '--agents',
      file('agents', tokens),
      '--tls-cert',
      cert,
      '--tls-key',
      file('key.pem', certificate.key),
      ...args,
    ];
    const { process, url } = await serve(all);
    const get = (target: string, options: https.RequestOptions = {}, body?: Buffer | string) =>
      new Promise<{ status: number; text: string }>((resolve, reject) => {
        const request = https.request(
          `${url}${target}`,
          { ca: certificate.cert, agent: false, ...options },
          (response) => {
            const chunks: Buffer[] = [];
            response.on('data', (chunk: Buffer) => chunks.push(chunk));
            response.on('end', () =>
              resolve({ status: response.statusCode!, text: Buffer.concat(chunks).toString('utf8') }),
            );
          },
        );
        request.once('error', reject);
        request.end(body);
      });
    const clusters = async () => (JSON.parse((await get('/report')).text) as ReportAnswer).clusters;
    return { process, url, get, clusters, cert, token: file('token', `${TOKEN}\n`), all };
  }

  it('sends its survey over HTTPS, again when something changes and as a sign of life', async () => {
    const { api, kubeconfig } = await cluster();
    const { url, clusters, cert, token, get } = await centre();
    const agent = new FleetProcess([
      'agent',
      '--kubeconfig',
      kubeconfig,
      '--cluster',
      'on-premise',
      '--to',
      url,
      '--token-file',
      token,
      '--ca-file',
      cert,
      '--every',
      '500ms',
    ]);
    await waitFor('the report', async () => (await clusters()).length === 1);
    const [first] = await clusters();
    assert.deepEqual(
      [first?.cluster, first?.remote, first?.silent, first?.report.counts.fine],
      ['on-premise', true, false, 2],
    );
    api.store.delete('Deployment', 'shop', 'service-000');
    await waitFor('the finding', async () => (await clusters())[0]!.report.counts.findings.critical === 1);
    const { at } = (await clusters())[0]!.report;
    await waitFor('a sign of life', async () => (await clusters())[0]!.report.at > at);
    assert.match((await get('/')).text, /by an agent/);
    assert.equal((await agent.stop()).code, 0);
  });

  it('keeps the newest reports while the other side is away, and says so once', async () => {
    const { api, kubeconfig } = await cluster();
    const { process, url, cert, token, all, clusters } = await centre();
    await process.stop();
    const agent = new FleetProcess([
      'agent',
      '--kubeconfig',
      kubeconfig,
      '--cluster',
      'on-premise',
      '--to',
      url,
      '--token-file',
      token,
      '--ca-file',
      cert,
      '--buffer',
      '2',
    ]);
    await waitFor('word of it', () => agent.stderr.includes('cannot be reached'));
    for (const service of ['service-000', 'service-001']) {
      api.store.delete('Deployment', 'shop', service);
      await waitFor('the change to be seen', () => api.watching === 5);
    }
    const again = new FleetProcess(['serve', '--listen', new URL(url).host, ...all]);
    const critical = async () => (await clusters().catch(() => []))[0]?.report.counts.findings.critical;
    await waitFor('the newest report', async () => (await critical()) === 2, 20_000);
    await waitFor('word of the return', () => agent.stderr.includes('reports arrive again'), 20_000);
    assert.equal(agent.stderr.match(/cannot be reached/g)!.length, 1);
    assert.doesNotMatch(agent.stderr, new RegExp(TOKEN));
    await again.stop();
  });

  it('is refused without the right token, for another cluster, too large, or of no form: before anything is kept', async () => {
    const { clusters, get } = await centre(`on-premise ${TOKEN}\nother ${'b'.repeat(40)}\n`);
    const { kubeconfig } = await cluster(1);
    const { stdout } = await new FleetProcess([
      'status',
      '--kubeconfig',
      kubeconfig,
      '-o',
      'json',
      '--cluster',
      'on-premise',
    ]).exited;
    const body = (change: object = {}) => JSON.stringify({ ...(JSON.parse(stdout) as object), ...change });
    const post = async (text: Buffer | string, headers: Record<string, string> = {}) =>
      (
        await get(
          '/agents/report',
          {
            method: 'POST',
            headers: { authorization: `Bearer ${TOKEN}`, 'x-pointsman-cluster': 'on-premise', ...headers },
          },
          text,
        )
      ).status;
    assert.deepEqual(
      [
        await post(body(), { authorization: 'Bearer wrong' }),
        await post(body(), { authorization: '' }),
        await post(body(), { authorization: `Bearer ${'b'.repeat(40)}` }),
        await post(body(), { 'x-pointsman-cluster': 'nobody' }),
        await post(body({ cluster: 'other' })),
        await post(body({ extra: 1 })),
        await post('{"version":'),
        await post(gzipSync(Buffer.alloc(20 * 1024 ** 2, 32)), { 'content-encoding': 'gzip' }),
        await post('x', { 'content-encoding': 'br' }),
      ],
      [401, 401, 401, 401, 403, 422, 400, 413, 415],
    );
    assert.deepEqual(await clusters(), []);
    assert.equal(await post(body()), 204);
    assert.equal(
      await post(gzipSync(body({ at: '2020-01-01T00:00:00Z' })), { 'content-encoding': 'gzip' }),
      204,
    );
    assert.notEqual(
      (await clusters())[0]!.report.at,
      '2020-01-01T00:00:00Z',
      'an older report changes nothing',
    );
  });

  it('that falls silent is called so, on the page and in the metrics', async () => {
    const { kubeconfig } = await cluster(1);
    const { url, clusters, cert, token, get } = await centre(undefined, ['--silent', '1s']);
    const agent = new FleetProcess([
      'agent',
      '--kubeconfig',
      kubeconfig,
      '--cluster',
      'on-premise',
      '--to',
      url,
      '--token-file',
      token,
      '--ca-file',
      cert,
    ]);
    await waitFor('the report', async () => (await clusters()).length === 1);
    await agent.stop('SIGKILL');
    await waitFor('silence', async () => (await clusters())[0]!.silent);
    assert.match(
      (await get('/')).text,
      /The agent of this cluster has not reported for \d+s; what follows is old\./,
    );
    assert.match((await get('/metrics')).text, /pointsman_fleet_silent\{cluster="on-premise"\} 1/);
  });

  it('trusts nobody else: an unknown certificate gets no token', async () => {
    const { kubeconfig } = await cluster(1);
    const { url, token, clusters } = await centre();
    const agent = new FleetProcess([
      'agent',
      '--kubeconfig',
      kubeconfig,
      '--cluster',
      'on-premise',
      '--to',
      url,
      '--token-file',
      token,
    ]);
    await waitFor('word of it', () =>
      /cannot be reached \((DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED\w*|UNABLE\w*)\)/.test(agent.stderr),
    );
    assert.deepEqual(await clusters(), []);
  });

  it('is told of short tokens before anything starts, without their being shown', async () => {
    const file = path.join(temporaryDirectory(), 'agents');
    writeFileSync(file, 'on-premise shortsecret\n');
    const { code, stderr } = await new FleetProcess(['serve', '--no-survey', '--agents', file]).exited;
    assert.equal(code, 64);
    assert.match(stderr, /agents:1: the token is shorter than 32 characters/);
    assert.doesNotMatch(stderr, new RegExp(readFileSync(file, 'utf8').split(' ')[1]!.trim()));
  });
});

describe('fleet watch', () => {
  it('prints the table again when something changes, and not otherwise', async () => {
    const { api, kubeconfig } = await cluster();
    const watch = new FleetProcess(['watch', '--kubeconfig', kubeconfig]);
    await waitFor('the table', () => watch.stdout.includes('2 fine'));
    api.store.delete('Deployment', 'shop', 'service-001');
    await waitFor('the finding', () => watch.stdout.includes('proxy-missing'));
    assert.equal(watch.stdout.match(/SERVICE +PROXY/g)!.length, 2);
    assert.equal((await watch.stop('SIGINT')).code, 0);
    assert.equal(api.requests.filter(({ verb }) => verb === 'list').length, 5);
  });
});
