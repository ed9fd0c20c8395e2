/** A proxy with a secret in every place where there may be one, and everything that can be heard of it. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import path from 'node:path';
import { suite, test } from 'node:test';
import { stringify } from 'yaml';
import { Notifier } from '../../../src/alerts/notifier.ts';
import { check } from '../../../src/commands/check.ts';
import { explain } from '../../../src/commands/explain.ts';
import { plan } from '../../../src/commands/plan.ts';
import { readConfig } from '../../../src/config/load.ts';
import { type HttpUpstream, startHttpUpstream } from '../../support/http-upstream.ts';
import { MailServer } from '../../support/mail-server.ts';
import { act } from '../../support/operator.ts';
import { configText, startPointsman, temporaryDirectory } from '../../support/pointsman-process.ts';
import { startRedis } from '../../support/redis-server.ts';
import { inParallel, send } from '../../support/request.ts';
import { leaksIn, MARK, secretTable } from '../../support/secret-table.ts';
import { waitFor } from '../../support/wait-for.ts';

/** Part of the id of every user here. */
const USER = 'user-d41d8cd98f00';

/** A server that says what it was asked, and with which fields: the worst that one can do with a secret. */
function startEcho(status: number): Promise<HttpUpstream> {
  const quote = (req: IncomingMessage) =>
    `Cannot POST ${req.url} ${decodeURIComponent(req.url ?? '')} ${req.rawHeaders.join(' ')}`;
  return startHttpUpstream('echo', {
    behaviours: Object.fromEntries(
      ['services', 'hooks'].map((name) => [name, (req, res) => res.writeHead(status).end(quote(req))]),
    ),
  });
}

function assertNothing(text: string, where: string): void {
  assert.ok(text.length > 40, `${where}: ${text}`);
  assert.deepEqual(leaksIn(text), [], where);
  assert.ok(
    !text.includes(USER),
    `${where} has no user: ${text.slice(text.indexOf(USER) - 200, text.indexOf(USER) + 50)}`,
  );
}

suite('no secret, and no id of a user, is in', () => {
  test('what a proxy logs, shows and stores, whatever goes wrong', async () => {
    const upstream = await startHttpUpstream('main');
    const first = secretTable({ upstream: upstream.url, redis: '127.0.0.1:0' });
    const { name, password } = first.redisUser;
    const redis = await startRedis({
      lines: ['user default off', `user ${name} on >${password} ~* &* +@all`],
      client: { username: name, password },
    });
    const at = { upstream: upstream.url, redis: `127.0.0.1:${redis.port}` };
    const { config, env } = secretTable(at);
    // Of a later table, with whose user Redis lets nobody in.
    const other = secretTable({ ...at, edition: 2 });
    const proxy = await startPointsman(config, { env, workers: 2 });
    await proxy.waitForLog(({ msg }) => /connected to Redis; pins/.test(msg), 'pins', 10_000);

    const ofEnvironment = (reference: string) => env[reference.slice(2, -1)]!;
    const { acting } = config as { acting: { token: string } };
    const token = ofEnvironment(acting.token);
    const debug = ofEnvironment(config.debug!.token!);
    const claim = Buffer.from(JSON.stringify({ sub: `${USER}-claim` })).toString('base64url');
    const askers = [
      ['X-User-Id', `${USER}-field`, 'X-Pointsman-Debug', debug],
      ['Cookie', `uid=${USER}-cookie`, 'X-Pointsman-Debug', `${debug}-wrong`],
      ['Authorization', `Bearer eyJhbGciOiJub25lIn0.${claim}.x`, 'X-Tenant', 'none'],
      [],
    ];
    const answers = await inParallel(40, 4, (i) =>
      send(proxy.trafficPort, { path: i % 7 === 6 ? '/reset' : '/x', headers: askers[i % 4]! }),
    );
    const asked = answers.find(({ headers }) => headers['x-pointsman-route'] !== undefined);
    assert.equal(asked?.headers['x-pointsman-route'], 'all', 'the debug token is the one that counts');
    assert.ok(answers.some(({ status }) => status === 502));
    const whole = JSON.stringify(answers[0]!.echo().rawHeaders);
    assert.ok(
      whole.includes('X-Upstream-Key') && whole.includes(MARK),
      'the upstream gets what is meant for it',
    );
    assert.ok(!whole.includes(debug), 'and not what is meant for the proxy');

    for (const body of [{}, { user: `${USER}-explained`, headers: ['X-Tenant: x', 'Cookie: session=y'] }]) {
      const explained = await send(proxy.adminPort, {
        method: 'POST',
        path: '/explain',
        headers: ['Content-Type', 'application/json'],
        body: JSON.stringify(body),
      });
      assert.equal(explained.status, 200);
      assertNothing(explained.text, 'an explanation');
    }
    assert.equal(
      (await act(proxy.adminPort, 'forget-pin', { user: `${USER}-field` }, { token })).status,
      200,
    );
    assert.equal((await act(proxy.adminPort, 'check', {}, { token: `${token}x` })).status, 403);
    const keys = await redis.client.keys('*');
    assert.ok(keys.length >= 2);
    assertNothing(keys.join(' '), 'the keys in Redis');

    const listen = async () => {
      assertNothing((await act(proxy.adminPort, 'dump', {}, { token })).text, 'a dump');
      assertNothing(await proxy.metrics(), 'metrics');
      assertNothing(JSON.stringify(await proxy.status()), 'the status');
      const page = await send(proxy.adminPort, { path: '/', headers: ['Accept', 'text/html'] });
      assertNothing(page.text, 'the page');
    };
    await listen();

    for (const wrong of [
      { redis: `redis://${MARK}@${at.redis}` },
      { ...config, acting: { token: MARK } },
      { ...config, debug: { tokn: MARK }, tracing: [MARK], redis: { url: MARK, password: [MARK] } },
    ]) {
      const { rejected } = (await proxy.status()).config.reloads;
      proxy.writeConfig(stringify(wrong));
      await proxy.waitFor(
        'it to be refused',
        async () => (await proxy.status()).config.reloads.rejected > rejected,
      );
      await listen();
    }

    await proxy.reload({ ...other.config, acting, workers: 2 });
    await proxy.waitForLog(({ msg, reason }) => /Redis is away/.test(msg) && /password/.test(String(reason)));
    await send(proxy.trafficPort, { headers: askers[0]! });
    await listen();

    assert.equal(await proxy.stop(), 0);
    const { stdout, stderr } = await proxy.exited;
    assert.match(stdout, /response\.set\.X-Answer-Key changed/);
    assertNothing(stdout, 'the log');
    assert.equal(stderr, '');
  });

  test('what becomes of alerts that nobody takes, though the servers quote them', async () => {
    const [echo, mail] = await Promise.all([
      startEcho(404),
      new MailServer().start({ user: 'mailer', password: 'another', tls: false }),
    ]);
    const at = {
      upstream: 'http://127.0.0.1:9',
      redis: '127.0.0.1:9',
      hook: echo.url,
      smtp: `127.0.0.1:${mail.port}`,
    };
    const { config, env } = secretTable(at);
    const file = path.join(temporaryDirectory(), 'pointsman.yaml');
    writeFileSync(file, configText(config));
    const read = await readConfig(file, env);
    const told = new Map<string, string>();
    const notifier = new Notifier({
      onResult: (channel, result, error) => told.set(channel, `${result}: ${error}`),
      now: () => performance.now(),
    });
    notifier.configure(read.config!.alerts);
    notifier.notify({
      id: 'a',
      at: Date.now(),
      severity: 'warning',
      kind: 'canary_guard',
      service: 's',
      host: 'h',
      title: 't',
      text: '',
      facts: {},
    });
    await waitFor('all three to fail', () => told.size === 3, 10_000);
    notifier.close();
    assert.match(told.get('slack')!, /Cannot POST … .*alerts\.slack\.url/);
    assert.match(told.get('webhook')!, /Cannot POST .*alerts\.webhook\.url/);
    assert.match(told.get('email')!, /does not accept user and password of alerts\.email\.server/);
    assert.ok(
      echo.requests.some(({ url }) => leaksIn(url ?? '').length > 0),
      'they were sent',
    );
    assertNothing([...told.values()].join(' '), 'what is said of it');
  });

  test('what check, explain and plan print', async () => {
    const at = { upstream: 'http://127.0.0.1:9', redis: '127.0.0.1:9' };
    const tables = [secretTable(at), secretTable({ ...at, edition: 2 })];
    const [from, to, wrong] = ['from', 'to', 'wrong'].map((name) =>
      path.join(temporaryDirectory(), `${name}.yaml`),
    );
    writeFileSync(from!, configText(tables[0]!.config));
    writeFileSync(to!, configText(tables[1]!.config));
    writeFileSync(wrong!, `${configText(tables[0]!.config)}\nhelth: { path: ${MARK} }\n`);
    let printed = '';
    const io = {
      stdout: (text: string) => {
        printed += text;
      },
      stderr: (text: string) => {
        printed += text;
      },
      environment: tables[0]!.env,
      version: '0',
    };
    assert.equal(await check([from!], io), 0);
    assert.equal(await check([wrong!], io), 1);
    assert.equal(await explain(['--config', from!, '--user', 'x', '--header', 'X-Tenant: y'], io), 0);
    await plan(['--from', from!, '--to', to!], io);
    await plan(['--from', from!, '--to', to!, '--output', 'json'], io);
    assert.match(printed, /X-Tenant is not what the row wants/);
    assert.match(printed, /response\.set\.X-Answer-Key changed/);
    assertNothing(printed, 'what they print');
  });
});
