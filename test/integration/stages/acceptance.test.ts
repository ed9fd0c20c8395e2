/**
 * The whole pipeline: real proxies and upstreams as local processes that follow the commits of a repository, traffic
 * on, and `stage run` moving the builds.
 */

import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { suite, test } from 'node:test';
import { BUCKETS, bucketOf } from '../../../src/routing/bucket.ts';
import { LocalDeployer, TrackHost } from '../../support/local-deployer.ts';
import { image, ManifestRepository } from '../../support/manifest-repository.ts';
import type { PointsmanProcess } from '../../support/pointsman-process.ts';
import { send } from '../../support/request.ts';
import { pause, waitFor } from '../../support/wait-for.ts';

const LONG = process.env['TEST_LONG'] === '1';
const SERVICES = Array.from({ length: LONG ? 30 : 2 }, (_, i) => `service-${i}`);
const TRACKS = ['internal', 'canary', 'paid', 'production'];
/** One user in every ten buckets: 5 % of them are in the first 5 % of the buckets, exactly. */
const USERS = 1_000;

const JUDGE = `judge: { window: 300ms, minRequests: ${LONG ? 20 : 40}, latencyRatio: 100, latencyMargin: 10s }`;
const PIPELINE = `
stages:
  - { name: internal, track: internal, groups: [INTERNAL], gates: { ready: {} } }
  - { name: free, track: canary, groups: [FREE], weights: [5, 10, 25], gates: { ready: {}, ${JUDGE} } }
  - { name: paid, track: paid, weights: [5, 25], gates: { ready: {}, ${JUDGE} } }
  - { name: production, track: production, groups: [ENTERPRISE], gates: { ready: {} } }
values: { port: 8080, proxy_image: "example/pointsman:1" }
run: { interval: 200ms, lease: 30s }
`;

const TABLE = `kind: ConfigMap
metadata: { name: table, labels: { app: "\${service}" } }
data:
  pointsman.yaml: |
    service: \${service}
    listen: 127.0.0.1:0
    admin: 127.0.0.1:0
    health: { interval: 500ms, timeout: 400ms }
    accessLog: { mode: "off" }
    shutdown: { delay: 0ms, timeout: 1s }
    backends:
      internal:   { url: "http://127.0.0.1:\${internal_port}", build: "\${build_internal}" }
      canary:     { url: "http://127.0.0.1:\${canary_port}", build: "\${build_canary}" }
      paid:       { url: "http://127.0.0.1:\${paid_port}", build: "\${build_paid}" }
      production: { url: "http://127.0.0.1:\${production_port}", build: "\${build_production}" }
    routes:
      - { name: internal,   match: { group: INTERNAL },   split: { internal: \${weight_internal}, production: \${rest_internal} }, main: production }
      - { name: free,       match: { group: FREE },       split: { canary: \${weight_canary}, production: \${rest_canary} }, main: production, pin: user }
      - { name: enterprise, match: { group: ENTERPRISE }, split: { production: 100 } }
      - { name: paid,                                     split: { paid: \${weight_paid}, production: \${rest_paid} }, main: production, pin: user }
    pins:
      user: { by: [ { header: X-User-Id } ] }
`;

function usersOf(service: string): string[] {
  const users: (string | undefined)[] = Array.from({ length: USERS });
  for (let i = 0, found = 0; found < USERS; i++) {
    const user = `user-${i}`;
    const slice = Math.floor((bucketOf(service, user) * USERS) / BUCKETS);
    if (users[slice] !== undefined) continue;
    users[slice] = user;
    found++;
  }
  // Neighbours in the list are far apart in the buckets, so that every stretch of traffic is a fair one.
  return users.map((_, i) => users[(i * 617) % USERS]!);
}

/** What clients of one service met. */
class Traffic {
  readonly #proxy: PointsmanProcess;
  readonly #users: readonly string[];
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 8 });
  #running = true;
  #lanes: Promise<void>[] = [];
  /** Free users that met a version, by version. */
  readonly freeUsers = new Map<string, Set<string>>();
  readonly enterprise = new Set<string>();
  /** Versions that a group has met at all. */
  readonly met = new Map<string, Set<string>>();
  failures = 0;
  answered = 0;

  constructor(service: string, proxy: PointsmanProcess) {
    this.#proxy = proxy;
    this.#users = usersOf(service);
  }

  start(lanes: number): void {
    let next = 0;
    this.#lanes = Array.from({ length: lanes }, async () => {
      while (this.#running) {
        await this.#one(next++);
        // Thirty services share two cores with what is tested.
        if (LONG) await pause(20);
      }
    });
  }

  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#lanes);
    this.#agent.destroy();
  }

  async #one(index: number): Promise<void> {
    const turn = index % 16;
    const group = turn === 0 ? 'INTERNAL' : turn === 1 ? 'ENTERPRISE' : turn % 2 === 0 ? 'FREE' : '';
    const user = this.#users[Math.floor(index / 2) % USERS]!;
    const headers = ['X-User-Id', user, ...(group === '' ? [] : ['X-Traffic-Group', group])];
    const answer = await send(this.#proxy.trafficPort, { headers, agent: this.#agent });
    this.answered++;
    if (answer.status !== 200) this.failures++;
    const version = String(answer.headers['x-version']);
    const track = String(answer.headers['x-track']);
    if (group === 'ENTERPRISE') this.enterprise.add(`${track} ${version}`);
    const label = group === '' ? 'PAID' : group;
    if (!this.met.has(label)) this.met.set(label, new Set());
    this.met.get(label)!.add(version);
    if (group !== 'FREE') return;
    if (!this.freeUsers.has(version)) this.freeUsers.set(version, new Set());
    this.freeUsers.get(version)!.add(user);
  }
}

const repository = await ManifestRepository.create();
const deployer = new LocalDeployer(repository);
repository.write('pipeline.yaml', PIPELINE);
for (const service of SERVICES) {
  const host = await TrackHost.start(TRACKS);
  deployer.add(service, host);
  const ports = Object.entries(host.ports).map(([track, port]) => `  ${track}_port: ${port}`);
  repository.write(`services/${service}/service.yaml`, `values:\n${ports.join('\n')}\n`);
  repository.write(`services/${service}/templates/pointsman/configmap.yaml`, TABLE);
}
await repository.commitAll('Begin');
for (const service of SERVICES) await repository.done('init', service, '--image', image('1.0'));
await deployer.sync();
for (const service of SERVICES) {
  const before = repository.read(`services/${service}/service.yaml`);
  repository.write(
    `services/${service}/service.yaml`,
    `${before}proxies: ["http://127.0.0.1:${deployer.proxy(service).adminPort}"]\n`,
  );
}
await repository.commitAll('Name the proxies');
deployer.follow();

const traffic = new Map(SERVICES.map((service) => [service, new Traffic(service, deployer.proxy(service))]));
const TIMEOUT = LONG ? 1_200_000 : 180_000;

suite(`a pipeline of ${SERVICES.length} services with traffic on`, { timeout: TIMEOUT }, () => {
  test('a good build goes through all four stages, and enterprise meets it only in production', {
    timeout: TIMEOUT,
  }, async () => {
    for (const one of traffic.values()) one.start(LONG ? 1 : 6);
    const run = repository.start('run');
    for (const service of SERVICES) await repository.done('deploy', service, image('2.0'));
    for (const service of SERVICES) {
      await waitFor(
        `${service} to run 2.0 in production`,
        async () => {
          const { status, image: there } = (await repository.state(service)).stages['production']!;
          return status === 'stable' && there === image('2.0');
        },
        TIMEOUT,
      );
    }
    run.child.kill('SIGTERM');
    assert.equal((await run.ended).code, 0, (await run.ended).stderr);
    for (const service of SERVICES) {
      const subjects = (
        await repository.git('log', '--reverse', '--format=%s', '--grep', `Stage-Service: ${service}$`)
      ).split('\n');
      assert.deepEqual(
        subjects.slice(1).map((line) => line.replace(/\(.*\)/, '')),
        [
          'deploy: internal 1.0 → 2.0',
          'promote: free 1.0 → 2.0',
          'advance: free 2.0 5 % → 10 %',
          'advance: free 2.0 10 % → 25 %',
          'promote: paid 1.0 → 2.0',
          'advance: paid 2.0 5 % → 25 %',
          'promote: production 1.0 → 2.0',
          'advance: production keeps 2.0',
        ],
      );
      const one = traffic.get(service)!;
      await waitFor('enterprise traffic on 2.0', () => one.enterprise.has('production 2.0'), 30_000);
      assert.deepEqual([...one.enterprise].sort(), ['production 1.0', 'production 2.0']);
      assert.equal(one.failures, 0, 'no request failed while the build moved');
    }
  });

  for (const [what, tag] of [
    ['that answers 500', '3.0-bad'],
    ['whose 503 is hidden by a retry on production', '3.1-bad-retried'],
  ] as const) {
    test(`a bad build ${what} is caught at the free stage, with at most 5 % of free users having met it`, {
      timeout: TIMEOUT,
    }, async () => {
      const run = repository.start('run');
      for (const service of SERVICES) await repository.done('deploy', service, image(tag));
      for (const service of SERVICES) {
        await waitFor(
          `${service} to be rolled back`,
          async () => {
            const { held } = await repository.state(service);
            return held.some((one) => one.image === image(tag));
          },
          TIMEOUT,
        );
      }
      run.child.kill('SIGTERM');
      assert.equal((await run.ended).code, 0);
      for (const service of SERVICES) {
        const one = traffic.get(service)!;
        const hurt = one.freeUsers.get(tag)?.size ?? 0;
        assert.ok(hurt > 0, 'the build was met');
        assert.ok(hurt <= USERS * 0.05, `${hurt} of ${USERS} free users met the bad build`);
        assert.ok(!one.met.get('PAID')!.has(tag), 'no paid user met it');
        assert.ok(!one.met.get('ENTERPRISE')!.has(tag), 'no enterprise user met it');
        const message = await repository.git('log', '-1', '--format=%B', '--grep', `^rollback(${service})`);
        assert.match(
          message,
          /Stage-Gates: .*judge=fail \(errors: \d+\.\d+ % of \d+ failed, production 0\.00 %/,
        );
        const counted =
          /^Stage-Users: about (\d+) users met (\S+) in the last 24 h, about \d+ of them an error \(/m;
        const [, users, build] = counted.exec(message) ?? [message];
        assert.equal(build, tag);
        assert.ok(Number(users) > 0 && Number(users) <= USERS * 0.06, `${users} users`);
        assert.deepEqual(await repository.slot(service, 'free'), {
          status: 'stable',
          version: '2.0',
          weight: 0,
        });
      }
    });
  }

  test('every step was one commit, and the repository is whole', async () => {
    for (const one of traffic.values()) await one.stop();
    await deployer.stop();
    await repository.git('fsck', '--strict');
    assert.equal(await repository.git('status', '--porcelain'), '');
    assert.equal(await repository.git('rev-list', '--merges', '--count', 'HEAD'), '0');
    for (const one of traffic.values()) assert.ok(one.answered > 1_000, `${one.answered} requests`);
  });
});
