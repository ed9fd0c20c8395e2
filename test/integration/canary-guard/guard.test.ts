/** A canary that turns bad under real traffic: its guard takes its share away, says so, tries again, and lets it back. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { startHttpUpstream } from '../../support/http-upstream.ts';
import { MailServer, readable } from '../../support/mail-server.ts';
import { act, TOKEN } from '../../support/operator.ts';
import { startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { inParallel, send } from '../../support/request.ts';
import { SlackReceiver } from '../../support/slack-receiver.ts';
import { waitFor } from '../../support/wait-for.ts';

/** Of ten answers of the canary, so many fail. */
let failing = 0;
let answered = 0;
const canary = await startHttpUpstream('canary', {
  behaviours: {
    work: (req, res) => {
      req.resume();
      res.writeHead(answered++ % 10 < failing ? 500 : 200).end('canary');
    },
  },
});
const production = await startHttpUpstream('production', {
  behaviours: {
    work: (req, res) => {
      req.resume();
      res.writeHead(200).end('production');
    },
  },
});

const table = (guard: 'off' | 'warn' | 'act', more: Partial<TestConfig> = {}): TestConfig => ({
  service: 'account-service',
  backends: { canary: { url: canary.url }, production: { url: production.url } },
  routes: [
    { name: 'free', match: { group: 'FREE' }, split: { canary: 20, production: 80 }, guard },
    { name: 'rest', split: { production: 1 } },
  ],
  guard: { latency: false, hold: '1s', probe: 50, latchAfter: 2 },
  acting: { token: '${POINTSMAN_TEST_TOKEN}' },
  ...more,
});
const env = { POINTSMAN_TEST_TOKEN: TOKEN };

/** How many of so many requests the canary answered. */
async function traffic(port: number, count: number): Promise<number> {
  const answers = await inParallel(count, 8, () =>
    send(port, { path: '/work', headers: ['X-Traffic-Group', 'FREE'] }),
  );
  const byCanary = answers.filter(({ status, text }) => status === 500 || text === 'canary');
  return byCanary.length;
}

type Proxy = Awaited<ReturnType<typeof startPointsman>>;

async function overrideOf(proxy: Proxy) {
  return (await proxy.status()).overrides[0];
}

/** Traffic until the guard is in that state. */
async function until(proxy: Proxy, state: string): Promise<void> {
  await waitFor(
    `the guard to be ${state}`,
    async () => {
      await traffic(proxy.trafficPort, 100);
      return (await proxy.metric('pointsman_guard_state', { state })) === 1;
    },
    30_000,
  );
}

/** Production has to have answered some requests that were counted. */
async function settle(proxy: Proxy): Promise<void> {
  failing = 0;
  for (let i = 0; i < 6; i++) await traffic(proxy.trafficPort, 100);
  assert.equal(await proxy.metric('pointsman_guard_state', { state: 'watching' }), 1);
}

suite('the guard of a canary', () => {
  test('takes its share away with a reason, tells three channels, tries it, and gives the share back', async () => {
    const slack = await new SlackReceiver().start();
    const mail = await new MailServer().start({ tls: false });
    const posted: { title: string; severity: string; facts: object }[] = [];
    const hook = await startHttpUpstream('hook', {
      behaviours: {
        alert: async (req, res) => {
          const chunks: Buffer[] = [];
          for await (const chunk of req as AsyncIterable<Buffer>) chunks.push(chunk);
          assert.equal(req.headers['authorization'], 'Bearer hook-secret');
          posted.push(JSON.parse(Buffer.concat(chunks).toString()));
          res.end();
        },
      },
    });
    const proxy = await startPointsman(
      table('act', {
        alerts: {
          slack: { url: slack.url },
          webhook: { url: `${hook.url}/alert`, headers: { Authorization: 'Bearer hook-secret' } },
          email: {
            server: `smtp://127.0.0.1:${mail.port}`,
            tls: 'off',
            from: 'pointsman@example.com',
            to: 'team@example.com',
          },
        },
      }),
      { env },
    );
    await settle(proxy);

    failing = 5;
    await until(proxy, 'braked');
    const override = await overrideOf(proxy);
    assert.equal(override?.by, 'canary guard');
    assert.match(override.text, /canary 0/);
    assert.match(override.reason, /canary braked: \d+ of \d+ requests failed/);
    assert.equal(await traffic(proxy.trafficPort, 50), 0);
    assert.equal(await proxy.metric('pointsman_guard_trips_total', { cause: 'errors' }), 1);

    failing = 0;
    await until(proxy, 'probing');
    await until(proxy, 'watching');
    await waitFor('the override to end', async () => (await overrideOf(proxy)) === undefined);
    assert.equal(await traffic(proxy.trafficPort, 100), 20);

    await waitFor(
      'two alerts by each channel',
      () => slack.messages.length >= 2 && mail.mails.length >= 2 && posted.length >= 2,
    );
    assert.match(slack.messages[0]!.text, /^account-service: Canary canary of route free is braked$/);
    assert.match(
      readable(mail.mails[0]!.raw),
      /\[critical\] account-service: Canary canary of route free is braked/,
    );
    assert.deepEqual(
      posted.map(({ severity }) => severity),
      ['critical', 'resolved'],
    );
    assert.deepEqual(posted[0]!.facts, { route: 'free', backend: 'canary', event: 'brake', mode: 'act' });
    await waitFor(
      'the alerts to be counted',
      async () => (await proxy.metric('pointsman_alerts_total', { result: 'sent' })) === 6,
    );
    const config = JSON.stringify((await act(proxy.adminPort, 'dump')).json());
    assert.ok(!config.includes('hook-secret') && !config.includes('SECRET'));
  });

  test('latches when the canary stays bad, until somebody ends the override', async () => {
    const proxy = await startPointsman(table('act'), { env, workers: 2 });
    await settle(proxy);
    failing = 5;
    await until(proxy, 'latched');
    assert.equal(await traffic(proxy.trafficPort, 50), 0);
    const override = await overrideOf(proxy);
    assert.match(override?.reason ?? '', /latched/);

    failing = 0;
    assert.equal((await act(proxy.adminPort, 'end', { override: override!.id })).status, 200);
    await until(proxy, 'watching');
    assert.equal(await traffic(proxy.trafficPort, 100), 20);
    assert.equal((await proxy.status()).overrides.length, 0);
  });

  test('that only warns leaves the share alone', async () => {
    const proxy = await startPointsman(table('warn'), { env });
    await settle(proxy);
    failing = 5;
    await until(proxy, 'braked');
    const { level } = await proxy.waitForLog(
      (line) => line.msg === 'Canary canary of route free is worse than production',
    );
    assert.equal(level, 'warn');
    assert.equal(await traffic(proxy.trafficPort, 100), 20);
    assert.equal(await overrideOf(proxy), undefined);
  });

  test('lets its brake go when the row is changed in the file', async () => {
    const proxy = await startPointsman(table('act', { guard: { latency: false, hold: '10m' } }), { env });
    await settle(proxy);
    failing = 5;
    await until(proxy, 'braked');
    failing = 0;
    const next = table('act', { guard: { latency: false, hold: '10m' } });
    next.routes[0]!.split = { canary: 10, production: 90 };
    await proxy.reload(next);
    await waitFor('the override to end', async () => (await overrideOf(proxy)) === undefined);
    assert.equal(await traffic(proxy.trafficPort, 100), 10);
  });
});
