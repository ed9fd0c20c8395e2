/** The demo as a newcomer runs it: real processes, real ports, a real terminal aside. */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite, test } from 'node:test';
import { Upstream } from '../../src/demo/child.ts';
import { cleanUp } from '../support/clean-up.ts';
import { MAIN } from '../support/pointsman-process.ts';
import { send } from '../support/request.ts';
import { inTime, pause, waitFor } from '../support/wait-for.ts';

interface Running {
  readonly child: ChildProcess;
  /** Its own directory for temporary files, which it must leave empty. */
  readonly temporary: string;
  readonly exited: Promise<number | null>;
  output(): string;
}

function startDemo(args: readonly string[]): Running {
  const temporary = mkdtempSync(path.join(tmpdir(), 'pointsman-test-'));
  cleanUp(() => rmSync(temporary, { recursive: true, force: true }));
  const child = spawn(process.execPath, [MAIN, 'demo', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NODE_OPTIONS: '', TMPDIR: temporary },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream!.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const exited = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
  cleanUp(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  return { child, temporary, exited, output: () => output };
}

/** Commands of all processes whose environment names the directory: those of the demo, and of nobody else. */
function processesOf(temporary: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
        if (!environment.includes(`TMPDIR=${temporary}`)) return [];
        return [readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')];
      } catch {
        return [];
      }
    });
}

function assertNothingLeft({ temporary }: Running): void {
  assert.deepEqual(processesOf(temporary), []);
  assert.deepEqual(readdirSync(temporary), []);
}

async function portsOf(demo: Running): Promise<{ traffic: number; admin: number; file: string }> {
  return await waitFor(
    'the demo to say where it listens',
    () => {
      const match = /127\.0\.0\.1:(\d+)\/\n.*127\.0\.0\.1:(\d+)\/status\nedit +(\S+)\n/.exec(demo.output());
      return match === null
        ? undefined
        : { traffic: Number(match[1]), admin: Number(match[2]), file: match[3]! };
    },
    20_000,
  );
}

suite('demo --once', () => {
  test('goes the whole tour, prints the final table, finds every share right, and leaves nothing', async () => {
    const demo = startDemo(['--once', '--seconds', '8']);
    const code = await inTime('the end of the demo', demo.exited, 60_000);
    const output = demo.output();
    assert.equal(code, 0, output);
    assertNothingLeft(demo);
    for (const step of ['steady', 'killed', 'restored', 'edited']) {
      assert.match(output, new RegExp(`^${step} +INTERNAL +\\d+ +\\d+ +100 % +· +· +·$`, 'm'));
    }
    const row = (step: string) =>
      new RegExp(
        `^${step} .*\\n +FREE +(\\d+) +· +(·|\\d+)(?: +[\\d.]+ %)? +· +(\\d+) +[\\d.]+ %$`,
        'm',
      ).exec(output);
    const [, sent, canary, production] = row('edited') ?? [];
    assert.equal(Number(canary) + Number(production), Number(sent));
    assert.ok(Math.abs(Number(canary) - Number(sent) / 4) <= 1, `${canary} of ${sent}`);
    assert.equal(row('killed')?.[2], '·');
    assert.match(output, /proxy: canary is down: /);
    assert.match(output, /proxy: reloaded: route free: canary 5 → 25; production 95 → 75/);
    assert.match(output, /^All \d+ checks passed\.\n$/m);
    assert.doesNotMatch(output, /FAILED/);
    assert.ok(!output.includes('\x1b'), 'no escape sequences where there is no terminal');
  });
});

suite('demo', () => {
  test('answers on its ports, follows a file edited by hand, until SIGINT ends it in order', async () => {
    const demo = startDemo(['--rate', '50']);
    const { traffic, admin, file } = await portsOf(demo);
    const answer = await send(traffic, { headers: ['X-Traffic-Group', 'internal'] });
    assert.equal(answer.status, 200);
    assert.match(answer.text, /^internal answers GET \//);
    const status = (await send(admin, { path: '/status' })).json() as { config: { file: string } };
    assert.equal(status.config.file, file);
    writeFileSync(
      file,
      readFileSync(file, 'utf8').replace('canary: 5, production: 95', 'canary: 40, production: 60'),
    );
    await waitFor('the edit to take effect', () => /reloaded: route free: canary 5 → 40/.test(demo.output()));
    await waitFor('the tour to leave the file alone', () => /was changed by hand/.test(demo.output()));
    assert.equal(processesOf(demo.temporary).length, 6, 'the demo, the proxy and four upstreams');
    demo.child.kill('SIGINT');
    assert.equal(await inTime('the end of the demo', demo.exited), 0);
    assert.match(demo.output(), /The demo has ended: \d+ requests, 0 failed/);
    assertNothingLeft(demo);
  });

  test('ends in order when it is told so while it still starts', async () => {
    const demo = startDemo([]);
    await waitFor('the first word', () => demo.output().includes('Starting'));
    demo.child.kill('SIGTERM');
    assert.equal(await inTime('the end of the demo', demo.exited, 20_000), 0);
    assertNothingLeft(demo);
  });

  test('takes its processes with it even when it is killed', async () => {
    const demo = startDemo([]);
    await portsOf(demo);
    demo.child.kill('SIGKILL');
    await demo.exited;
    await waitFor('the other processes to end', () => processesOf(demo.temporary).length === 0);
  });

  test('refuses options that make no sense, and starts nothing', async () => {
    for (const [args, message] of [
      [['--seconds', '10'], /--seconds goes with --once/],
      [['--once', '--seconds', '1'], /--seconds is a whole number from 6 to 600, not "1"/],
      [['--rate', 'fast'], /--rate is a whole number from 10 to 2000, not "fast"/],
      [['--twice'], /--twice/],
      [['--once', '--rate', '10'], /--rate 10 is too low to judge the shares of 12 s by; give at least \d+/],
    ] as const) {
      const demo = startDemo(args);
      assert.equal(await inTime('the end of the demo', demo.exited), 2);
      assert.match(demo.output(), message);
      assertNothingLeft(demo);
    }
  });
});

suite('an upstream of the demo', () => {
  test('that was killed comes back on its port, even when another program had it meanwhile', async () => {
    const upstream = new Upstream('canary');
    cleanUp(() => upstream.stop());
    await upstream.start();
    const { port } = upstream;
    await upstream.kill();
    await assert.rejects(send(port), /ECONNREFUSED/);
    const other = createServer((socket) => socket.destroy());
    cleanUp(() => other.close());
    await new Promise<void>((resolve) => other.listen(port, '127.0.0.1', resolve));
    const started = upstream.start();
    // Long enough that the first try usually meets the other program; the outcome does not depend on it.
    await pause(500);
    other.close();
    await inTime('the upstream', started);
    assert.equal(upstream.port, port);
    assert.match((await send(port)).text, /^canary answers GET \//);
  });
});
