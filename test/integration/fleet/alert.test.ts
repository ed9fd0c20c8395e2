import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { stringify } from 'yaml';
import type { AlertState } from '../../../src/fleet/alerts/state.ts';
import {
  FleetProcess,
  type FleetRun,
  fleet,
  startApi,
  temporaryDirectory,
} from '../../support/fleet-process.ts';
import { fleetObjects } from '../../support/kubernetes-api/fleet-objects.ts';
import type { KubernetesApi } from '../../support/kubernetes-api/server.ts';
import { MailServer, readable } from '../../support/mail-server.ts';
import { SlackReceiver } from '../../support/slack-receiver.ts';
import { waitFor } from '../../support/wait-for.ts';

interface Setting {
  readonly api: KubernetesApi;
  readonly directory: string;
  readonly state: string;
  readonly alert: (...args: string[]) => Promise<FleetRun>;
  readonly args: readonly string[];
}

async function setUp(alerts: object, env: Readonly<Record<string, string>> = {}): Promise<Setting> {
  const api = await startApi();
  api.store.putAll(fleetObjects(2, { deployedAt: Date.now() - 3 * 86_400_000 }));
  const directory = temporaryDirectory();
  const config = path.join(directory, 'fleet.yaml');
  const state = path.join(directory, 'state.json');
  writeFileSync(config, stringify({ alerts: { resolveAfter: 1, ...alerts } }));
  const kubeconfig = api.writeKubeconfig(path.join(directory, 'kubeconfig'));
  const args = ['alert', '--kubeconfig', kubeconfig, '--config', config];
  return {
    api,
    directory,
    state,
    args,
    alert: (...more) => fleet([...args, '--state-file', state, ...more], env),
  };
}

/** Without a proxy: critical, and told at once. */
function breakProxy(api: KubernetesApi): () => void {
  const kept = api.store.get('Deployment', 'shop', 'service-001')!;
  api.store.delete('Deployment', 'shop', 'service-001');
  return () => void api.store.put(kept);
}

const readState = (file: string) => JSON.parse(readFileSync(file, 'utf8')) as AlertState;
/** As time would: what waits is due. */
function makeDue(file: string): void {
  const state = readState(file);
  writeFileSync(
    file,
    JSON.stringify({ ...state, outbox: state.outbox.map((message) => ({ ...message, notBefore: 0 })) }),
  );
}

describe('fleet alert', () => {
  it('tells Slack once what breaks and once that it recovers, over restarts, and never shows the webhook', async () => {
    const slack = await new SlackReceiver().start();
    const { api, alert } = await setUp({ slack: { url: '${HOOK}' } }, { HOOK: slack.url });
    const quiet = await alert();
    assert.deepEqual([quiet.code, quiet.stdout, slack.attempts], [0, '', 0], quiet.stderr);
    const repair = breakProxy(api);
    const runs = [await alert(), await alert()];
    repair();
    runs.push(await alert(), await alert());
    assert.deepEqual(
      runs.map(({ code }) => code),
      [0, 0, 0, 0],
      runs.map(({ stderr }) => stderr).join(''),
    );
    assert.deepEqual(
      slack.messages.map(({ text }) => text),
      ['[shop-eu] 1 broken: service-001', '[shop-eu] 1 recovered: service-001'],
    );
    assert.match(
      slack.messages[0]!.blocks[1]!.text!.text,
      /BROKEN critical shop\/service-001\*\nno Deployment runs the proxy/,
    );
    assert.doesNotMatch(runs.map(({ stdout, stderr }) => stdout + stderr).join(''), /SECRET/);
  });

  it('keeps what a rate limit refuses as long as Slack asks, sends it once, and says why it waits', async () => {
    const slack = await new SlackReceiver().start();
    const { api, alert, state } = await setUp({ slack: { url: slack.url } });
    breakProxy(api);
    slack.answers = [{ status: 429, headers: { 'retry-after': '120' }, body: 'rate_limited' }];
    const limited = await alert();
    assert.equal(limited.code, 1);
    assert.equal(
      limited.stderr,
      'pointsman fleet alert: Slack limits the rate; again in 120 s; kept, and tried again\n',
    );
    const [waiting] = readState(state).outbox;
    assert.ok(waiting!.notBefore - Date.now() > 100_000);
    assert.equal((await alert()).code, 1);
    assert.equal(slack.attempts, 1, 'not asked before its time');
    makeDue(state);
    assert.equal((await alert()).code, 0);
    assert.equal((await alert()).code, 0);
    assert.deepEqual([slack.messages.length, slack.attempts], [1, 2]);
  });

  it('says what Slack says no with', async () => {
    const slack = await new SlackReceiver().start();
    const { api, alert } = await setUp({ slack: { url: slack.url } });
    breakProxy(api);
    slack.answers = [{ status: 404, body: 'no_service' }];
    const { code, stderr } = await alert();
    assert.equal(code, 1);
    assert.match(
      stderr,
      /Slack answered 404 \(no_service\); is the webhook of alerts\.slack\.url still there\?; kept/,
    );
  });

  it('sends e-mail over STARTTLS to a server with users, as text and HTML, that nobody answers by machine', async () => {
    const mail = await new MailServer().start({ user: 'fleet', password: 'p@ss' });
    const server = `smtp://fleet:p%40ss@127.0.0.1:${mail.port}`;
    const { api, alert } = await setUp({
      email: {
        server,
        tls: 'opportunistic',
        from: 'Fleet <fleet@example.org>',
        to: ['ops@example.org', 'dev@example.org'],
      },
    });
    breakProxy(api);
    const { code, stderr } = await alert();
    assert.equal(code, 0, stderr);
    const [received] = mail.mails;
    assert.deepEqual(
      [received?.from, received?.to, received?.secure, received?.user],
      ['fleet@example.org', ['ops@example.org', 'dev@example.org'], true, 'fleet'],
    );
    const text = readable(received!.raw);
    assert.match(text, /^Subject: \[shop-eu\] 1 broken: service-001/m);
    assert.match(text, /^Auto-Submitted: auto-generated/m);
    assert.match(text, /^Message-ID: <[\w-]+\.[0-9a-f]+@example\.org>/m);
    assert.match(
      text,
      /Content-Type: text\/plain[\s\S]*BROKEN critical shop\/service-001[\s\S]*Content-Type: text\/html/,
    );
  });

  it('keeps what the mail server refuses, for now or for good, with the same Message-ID, and never doubles it', async () => {
    const mail = await new MailServer().start({ tls: false });
    const { api, alert, state } = await setUp({
      email: {
        server: `smtp://127.0.0.1:${mail.port}`,
        tls: 'off',
        from: 'fleet@example.org',
        to: 'ops@example.org',
      },
    });
    breakProxy(api);
    mail.refusals = [
      { code: 451, text: 'Greylisted, try again later' },
      { code: 554, text: 'Rejected as spam' },
    ];
    const grey = await alert();
    assert.equal(grey.code, 1);
    assert.match(
      grey.stderr,
      /127\.0\.0\.1:\d+ takes no mail now: 451 Greylisted, try again later; kept, and tried again/,
    );
    const [{ id } = { id: '' }] = readState(state).outbox;
    makeDue(state);
    const spam = await alert();
    assert.match(spam.stderr, /refuses the mail: 554 Rejected as spam; kept/);
    makeDue(state);
    assert.equal((await alert()).code, 0);
    assert.equal((await alert()).code, 0);
    assert.equal(mail.mails.length, 1);
    assert.match(readable(mail.mails[0]!.raw), new RegExp(`^Message-ID: <${id}\\.`, 'm'));
  });

  it('sends no password to a server without TLS unless told so, and names a wrong one without showing it', async () => {
    const open = await new MailServer().start({ tls: false, user: 'fleet', password: 'right' });
    const required = await setUp({
      email: {
        server: `smtp://fleet:right@127.0.0.1:${open.port}`,
        from: 'f@example.org',
        to: 'o@example.org',
      },
    });
    breakProxy(required.api);
    const refused = await required.alert();
    assert.match(refused.stderr, /offers no TLS that holds/);
    assert.equal(open.attempts, 0);
    const wrong = await setUp({
      email: {
        server: `smtp://fleet:wrong@127.0.0.1:${open.port}`,
        tls: 'off',
        from: 'f@example.org',
        to: 'o@example.org',
      },
    });
    breakProxy(wrong.api);
    const { stderr, code } = await wrong.alert();
    assert.equal(code, 1);
    assert.match(stderr, /does not accept user and password of alerts\.email\.server/);
    assert.doesNotMatch(stderr, /wrong/);
  });

  it('delivers over one channel while the other is away', async () => {
    const slack = await new SlackReceiver().start();
    const { api, alert } = await setUp({
      slack: { url: slack.url },
      email: { server: 'smtp://127.0.0.1:1', tls: 'off', from: 'f@example.org', to: 'o@example.org' },
    });
    breakProxy(api);
    const { code, stderr } = await alert();
    assert.equal(code, 1);
    assert.equal(slack.messages.length, 1);
    assert.match(stderr, /127\.0\.0\.1:1 cannot be reached \(ECONNREFUSED|ESOCKET\)/);
  });

  it('remembers in a ConfigMap that exists, gives way to another writer, and says when there is none', async () => {
    const slack = await new SlackReceiver().start();
    const { api, args } = await setUp({ slack: { url: slack.url } });
    breakProxy(api);
    const run = () => fleet([...args, '--state-configmap', 'pointsman-fleet-state']);
    const missing = await run();
    assert.equal(missing.code, 3);
    assert.match(
      missing.stderr,
      /cannot get configmap "pointsman-fleet-state" in namespace "shop": not found/,
    );
    assert.equal(slack.attempts, 0);
    api.store.put({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'pointsman-fleet-state', namespace: 'shop', labels: { kept: 'yes' } },
    });
    assert.equal((await run()).code, 0);
    assert.equal((await run()).code, 0);
    assert.equal(slack.messages.length, 1);
    const stored = api.store.get('ConfigMap', 'shop', 'pointsman-fleet-state')!;
    assert.deepEqual(stored.metadata.labels, { kept: 'yes' });
    assert.equal(
      Object.values(
        (JSON.parse((stored['data'] as Record<string, string>)['state.json']!) as AlertState).troubles,
      ).length,
      1,
    );
    // Another one writes between our read and our write.
    api.fault = (seen) => {
      if (seen.verb === 'update') api.store.update('ConfigMap', 'shop', 'pointsman-fleet-state', () => {});
      return undefined;
    };
    const late = await run();
    assert.equal(late.code, 3);
    assert.match(late.stderr, /was changed by somebody else; is fleet alert running twice\?/);
  });

  it('takes nothing for recovered while the cluster is away, and tells that it is', async () => {
    const slack = await new SlackReceiver().start();
    const { api, alert } = await setUp({ slack: { url: slack.url } });
    breakProxy(api);
    await alert();
    api.fault = () => ({ status: 403, reason: 'Forbidden', message: 'no' });
    const runs = [await alert(), await alert(), await alert()];
    assert.deepEqual(
      runs.map(({ code }) => code),
      [3, 3, 3],
    );
    api.fault = undefined;
    await alert();
    assert.deepEqual(
      slack.messages.map(({ text }) => text),
      [
        '[shop-eu] 1 broken: service-001',
        '[shop-eu] 1 broken: Kind/Cluster',
        '[shop-eu] 1 recovered: Kind/Cluster',
      ],
    );
  });

  it('killed while it sends, loses nothing: what it was sending is sent again, and only that', async () => {
    const slack = await new SlackReceiver().start();
    const { api, alert, args, state } = await setUp({ slack: { url: slack.url } });
    breakProxy(api);
    // Slack takes the message, and the process dies before it can remember so.
    const running = new FleetProcess([...args, '--state-file', state]);
    await waitFor('the first attempt', () => slack.attempts === 1 || running.child.exitCode !== null);
    running.child.kill('SIGKILL');
    await running.exited;
    assert.ok(existsSync(state));
    const before = readState(state);
    const tried = before.outbox.length;
    assert.equal((await alert()).code, 0);
    assert.equal((await alert()).code, 0);
    assert.equal(slack.messages.length, 1 + tried);
    assert.deepEqual(readState(state).outbox, []);
  });

  it('goes on with --every until it is told to end, and previews with --dry-run', async () => {
    const slack = await new SlackReceiver().start();
    const { api, alert, args, state } = await setUp({ slack: { url: slack.url } });
    const repair = breakProxy(api);
    const preview = await alert('--dry-run');
    assert.equal(preview.code, 0, preview.stderr);
    assert.match(preview.stdout, /^\[shop-eu\] 1 broken: service-001\n\nBROKEN critical shop\/service-001/);
    assert.deepEqual([slack.attempts, existsSync(state)], [0, false]);
    const running = new FleetProcess([...args, '--state-file', state, '--every', '1s']);
    await waitFor('the first message', () => slack.messages.length === 1);
    repair();
    await waitFor('the second message', () => slack.messages.length === 2);
    const { code, stderr } = await running.stop();
    assert.equal(code, 0, stderr);
  });
});
