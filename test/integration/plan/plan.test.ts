/** `pointsman plan` as a process: exit codes, output, and what it predicts of real traffic. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { suite, test } from 'node:test';
import { designTable, startTracks } from '../../support/design-table.ts';
import {
  configText,
  MAIN,
  startPointsman,
  type TestConfig,
  temporaryDirectory,
} from '../../support/pointsman-process.ts';
import { inParallel, send } from '../../support/request.ts';

const directory = temporaryDirectory();
const tracks = await startTracks();

function config(canary: number, more: Partial<TestConfig> = {}): TestConfig {
  const design = designTable(tracks);
  return {
    ...design,
    routes: design.routes.map((route) =>
      route.name === 'free' ? { ...route, split: { canary, production: 100 - canary }, pin: 'user' } : route,
    ),
    pins: { user: { by: [{ header: 'X-User-Id' }] } },
    ...more,
  };
}

function file(name: string, content: TestConfig | string): string {
  const at = path.join(directory, name);
  writeFileSync(at, typeof content === 'string' ? content : configText(content));
  return at;
}

async function plan(
  args: readonly string[],
  input?: string,
  columns = 80,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [MAIN, 'plan', ...args], {
    env: { ...process.env, NODE_OPTIONS: '', COLUMNS: String(columns) },
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  child.stdin.end(input ?? '');
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, stdout, stderr };
}

suite('plan', () => {
  test('exits 0 when all goes where it went, 2 when some does not, 3 when a promise breaks, 1 when it cannot tell', async () => {
    const invariants = [{ maxStep: 10 }];
    const from = file('from.yaml', config(5, { invariants }));
    const same = await plan([
      '--from',
      from,
      '--to',
      file('same.yaml', config(5, { invariants, timeouts: { connect: '9s' } })),
    ]);
    assert.equal(same.code, 0);
    assert.match(same.stdout, /unchanged: every request and user goes where it went/);
    assert.match(same.stdout, /timeouts\.connect 2s → 9s/);
    const changed = await plan(['--from', from, '--to', file('ten.yaml', config(10, { invariants }))]);
    assert.equal(changed.code, 2);
    assert.match(changed.stdout, /canary +5\.00 % → +10\.00 % +\+5\.00/);
    assert.match(changed.stdout, /500 of 10,000 buckets move:\n +production → canary 500: 500–999/);
    const step = await plan(['--from', from, '--to', file('fifty.yaml', config(50, { invariants }))]);
    assert.equal(step.code, 3);
    assert.match(step.stdout, /✗ maxStep 10: broken/);
    const never = [{ never: { group: 'FREE', backend: 'canary' } }];
    const refused = await plan([
      '--from',
      from,
      '--to',
      file('never.yaml', config(5, { invariants: never })),
    ]);
    assert.equal(refused.code, 3);
    assert.match(
      refused.stderr,
      /never\.yaml:\d+:\d+: routes\[1\]\.split\.canary: requests of group FREE reach canary here/,
    );
    for (const args of [
      ['--from', from],
      ['--from', from, '--to', path.join(directory, 'none.yaml')],
      ['--from', from, '--to', file('bad.yaml', 'routes: []\n')],
      ['--from', from, '--to', from, '--log', path.join(directory, 'none.ndjson')],
      ['--from', from, '--to', from, '--what'],
      ['--from', from, '--to', from, '-o', 'xml'],
    ]) {
      const failed = await plan(args);
      assert.equal(failed.code, 1, args.join(' '));
      assert.notEqual(failed.stderr, '');
      assert.doesNotMatch(failed.stderr, /\n\s+at /);
    }
    assert.equal((await plan(['--help'])).code, 0);
  });

  test('fits the width of the terminal', async () => {
    const args = [
      '--from',
      file('a.yaml', config(5)),
      '--to',
      file('b.yaml', config(50, { invariants: [{ maxStep: 1 }] })),
    ];
    for (const columns of [50, 80, 120]) {
      const { stdout } = await plan(args, undefined, columns);
      for (const line of stdout.split('\n')) assert.ok(line.length <= columns, `${columns}: ${line}`);
    }
  });

  test('predicts from the access log of real traffic just the users who then go elsewhere', async () => {
    const users = Array.from({ length: 2_000 }, (_, i) => `user-${i}`);
    const traffic = async (port: number) =>
      await inParallel(users.length, 16, async (i) => {
        const headers = ['X-Traffic-Group', 'FREE', 'X-User-Id', users[i]!];
        return (await send(port, { headers })).echo().upstream;
      });
    const proxy = await startPointsman(config(5));
    const before = await traffic(proxy.trafficPort);
    await proxy.waitFor('all lines', () => proxy.accessLog().length >= users.length);
    const log = proxy
      .log()
      .map((line) => JSON.stringify(line))
      .join('\n');
    const next = config(25);
    const args = ['--from', proxy.configPath, '--to', file('next.yaml', next)];
    const json = await plan([
      ...args,
      '--log',
      file('access.ndjson', `not a log\n${log}\n{"broken`),
      '-o',
      'json',
    ]);
    assert.equal(json.code, 2);
    const predicted = JSON.parse(json.stdout) as {
      changed: boolean;
      log: { total: { requests: number; touched: number; touchedUsers: { count: number } } };
    };
    assert.equal(predicted.changed, true);
    const piped = await plan([...args, '--log', '-'], log);
    await proxy.reload(next);
    const after = await traffic(proxy.trafficPort);
    const moved = before.filter((name, i) => name !== after[i]).length;
    const { total } = predicted.log;
    assert.equal(total.requests, users.length);
    assert.equal(total.touched, moved);
    assert.ok(
      Math.abs(total.touchedUsers.count - moved) < moved * 0.15,
      `${total.touchedUsers.count} of ${moved}`,
    );
    assert.match(piped.stdout, new RegExp(`${moved} of 2,000 requests`));
    await proxy.stop();
  });
});
