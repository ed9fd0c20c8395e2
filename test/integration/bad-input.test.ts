/**
 * What must not start, or must not matter. Each is answered with one clear message and exit code 2, no stack trace, and
 * nothing half started.
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import path from 'node:path';
import { suite, test } from 'node:test';
import { cleanUp } from '../support/clean-up.ts';
import { oneBackend } from '../support/design-table.ts';
import { freePort } from '../support/free-port.ts';
import { startHttpUpstream } from '../support/http-upstream.ts';
import {
  configText,
  type Ended,
  MAIN,
  runToEnd,
  startPointsman,
  type TestConfig,
  temporaryDirectory,
} from '../support/pointsman-process.ts';
import { exchange } from '../support/raw-client.ts';
import { send } from '../support/request.ts';

const upstream = await startHttpUpstream('main');
const good = oneBackend(upstream.url);

function fileOf(text: string): string {
  const file = path.join(temporaryDirectory(), 'pointsman.yaml');
  writeFileSync(file, text);
  return file;
}

/** Exit code 2, an explanation that matches, and not a trace of a start or of our source. */
function assertRefused({ code, stdout, stderr }: Ended, ...expected: readonly RegExp[]): void {
  assert.equal(code, 2, stderr);
  for (const pattern of expected) assert.match(stderr, pattern);
  assert.ok(stderr.trim().split('\n').length <= 16, `short enough to read:\n${stderr}`);
  assert.doesNotMatch(stderr, /\n\s+at /, 'no stack trace');
  assert.doesNotMatch(stderr, /node:internal|\/src\//);
  assert.doesNotMatch(stdout, /"listening"/);
}

async function listenSomewhere(host = '127.0.0.1'): Promise<{ server: Server; port: number }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  cleanUp(() => server.close());
  return { server, port: (server.address() as AddressInfo).port };
}

/** A port that was free a moment ago. */
async function assertClosed(port: number): Promise<void> {
  await assert.rejects(send(port), { code: 'ECONNREFUSED' });
}

suite('a configuration that is wrong', () => {
  const routes = (split: string) => `
backends:
  main: { url: ${upstream.url} }
routes:
  - name: all
    split: ${split}
`;
  for (const [what, text, ...expected] of [
    ['no YAML at all', 'backends: [', /pointsman\.yaml:1:/],
    ['empty', '', /pointsman\.yaml/, /backends|empty/],
    ['a list', '- a\n- b\n', /pointsman\.yaml:1:/],
    ['binary', '\u0000\u0001\u0002', /pointsman\.yaml/],
    [
      'an empty routing table',
      `backends:\n  main: { url: ${upstream.url} }\nroutes: []\n`,
      /:3:/,
      /at least one route/,
    ],
    ['no routes', `backends:\n  main: { url: ${upstream.url} }\n`, /routes/],
    ['no backends', 'backends: {}\nroutes:\n  - { name: all, split: {} }\n', /pointsman\.yaml:\d+/],
    ['an unknown backend', routes('{ mian: 1 }'), /:6:/, /mian/, /main/],
    ['a negative weight', routes('{ main: -5 }'), /:6:/, /negative/],
    ['a fraction for a weight', routes('{ main: 0.5 }'), /:6:/, /whole number/],
    ['a weight that is no number', routes('{ main: .nan }'), /:6:/, /main/],
    ['an infinite weight', routes('{ main: .inf }'), /:6:/, /main/],
    ['words for a weight', routes('{ main: "5 %" }'), /:6:/, /main/],
    ['weights that are all zero', routes('{ main: 0 }'), /:6:|:5:/, /0|zero|weight/],
    ['an unknown key', `${routes('{ main: 1 }')}listen_on: 0.0.0.0:80\n`, /:7:1/, /listen_on/, /listen/],
    ['a key twice', `${routes('{ main: 1 }')}service: a\nservice: b\n`, /:8:/, /service/],
    ['a prototype key', `${routes('{ main: 1 }')}__proto__: { x: 1 }\n`, /__proto__/],
    [
      'a bomb of aliases',
      `a: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefghi'
        .split('')
        .map((name, i) => `${name}: &${name} [${new Array(9).fill(`*${'abcdefghi'[i]}`).join(',')}]\n`)
        .join('')}`,
      /alias/,
    ],
    ['a port that does not exist', `listen: 0.0.0.0:99999\n${routes('{ main: 1 }')}`, /:1:/, /99999/],
    ['a duration without a unit', `health: { interval: 5 }\n${routes('{ main: 1 }')}`, /:1:/, /interval/],
    [
      'an unset variable',
      `service: \${NOBODY_SETS_THIS}\n${routes('{ main: 1 }')}`,
      /:1:/,
      /NOBODY_SETS_THIS/,
    ],
  ] as const satisfies readonly (readonly [string, string, ...RegExp[]])[]) {
    test(`${what}: says where and what, and does not start`, async () => {
      assertRefused(await runToEnd(fileOf(text)), ...expected);
    });
  }

  test('larger than 4 MiB: says so, and does not start', async () => {
    const text = `${routes('{ main: 1 }')}# ${'x'.repeat(4 * 1024 ** 2)}\n`;
    assertRefused(await runToEnd(fileOf(text)), /4 ?MiB/);
  });

  test('in several places: says all of them', async () => {
    const { code, stderr } = await runToEnd(
      fileOf(`listen: nowhere\n${routes('{ main: -1, other: 2 }')}bogus: 1\n`),
    );
    assert.equal(code, 2);
    for (const pattern of [/:1:/, /negative/, /bogus/]) assert.match(stderr, pattern);
  });

  test('with a secret in it: the message does not repeat it', async () => {
    const file = fileOf(`redis: { url: "redis://u:\${PW}@redis:6379", tls: 1 }\n${routes('{ main: 1 }')}`);
    const { code, stdout, stderr } = await runToEnd(file, { env: { PW: 'hunter2-secret' } });
    assert.equal(code, 2);
    assert.doesNotMatch(stdout + stderr, /hunter2/);
  });
});

suite('a file that cannot be read', () => {
  test('because it is not there', async () => {
    const file = path.join(temporaryDirectory(), 'absent.yaml');
    assertRefused(await runToEnd(file), /absent\.yaml/, /no such file|does not exist|not found/i);
  });

  test('because it is a directory', async () => {
    const directory = path.join(temporaryDirectory(), 'pointsman.yaml');
    mkdirSync(directory);
    assertRefused(await runToEnd(directory), /pointsman\.yaml/, /directory/);
  });

  test('because the user may not', {
    skip: process.getuid?.() !== 0 && 'needs root to become somebody else',
  }, () => {
    const directory = temporaryDirectory();
    const file = path.join(directory, 'secret.yaml');
    writeFileSync(file, configText(good), { mode: 0o600 });
    const { status, stdout, stderr } = spawnSync(
      'setpriv',
      [
        '--reuid=65534',
        '--clear-groups',
        '--bounding-set=-all',
        process.execPath,
        MAIN,
        'run',
        '--config',
        file,
      ],
      { encoding: 'utf8' },
    );
    assertRefused({ code: status, signal: null, stdout, stderr }, /secret\.yaml/, /permission|EACCES/i);
  });
});

suite('a port that is taken', () => {
  for (const workers of [1, 2]) {
    test(`for traffic, with ${workers} worker${workers === 1 ? '' : 's'}: says which and by whom`, async () => {
      const { port } = await listenSomewhere();
      const admin = await freePort();
      const config: TestConfig = {
        ...good,
        workers,
        listen: `127.0.0.1:${port}`,
        admin: `127.0.0.1:${admin}`,
      };
      const ended = await runToEnd(fileOf(configText(config)));
      assertRefused(ended, new RegExp(`\\b${port}\\b`), new RegExp(`pid ${process.pid}\\b`), /traffic/);
      assert.equal(ended.stderr.trim().split('\n').length, 1);
      await assertClosed(admin);
    });
  }

  test('for the admin port: says which and by whom, and leaves traffic closed', async () => {
    const { port } = await listenSomewhere();
    const traffic = await freePort();
    const config: TestConfig = { ...good, listen: `127.0.0.1:${traffic}`, admin: `127.0.0.1:${port}` };
    const ended = await runToEnd(fileOf(configText(config)));
    assertRefused(ended, new RegExp(`\\b${port}\\b`), new RegExp(`pid ${process.pid}\\b`), /admin/);
    await assertClosed(traffic);
  });

  test('on all addresses counts as well', async () => {
    const { port } = await listenSomewhere('0.0.0.0');
    assertRefused(
      await runToEnd(fileOf(configText({ ...good, listen: `127.0.0.1:${port}` }))),
      new RegExp(`\\b${port}\\b`),
    );
  });

  test('for both by the same configuration', async () => {
    const port = await freePort();
    const config = { ...good, listen: `127.0.0.1:${port}`, admin: `127.0.0.1:${port}` };
    assertRefused(await runToEnd(fileOf(configText(config))), /same port/);
  });

  test('an address that this machine does not have', async () => {
    assertRefused(await runToEnd(fileOf(configText({ ...good, listen: '192.0.2.1:0' }))), /192\.0\.2\.1/);
  });

  test('two processes on one admin port: the second does not start, the first goes on', async () => {
    const first = await startPointsman(good);
    const traffic = await freePort();
    const config: TestConfig = {
      ...good,
      listen: `127.0.0.1:${traffic}`,
      admin: `127.0.0.1:${first.adminPort}`,
    };
    const ended = await runToEnd(fileOf(configText(config)));
    assertRefused(
      ended,
      new RegExp(`\\b${first.adminPort}\\b`),
      new RegExp(`pid ${first.pid}\\b`),
      /main\.ts/,
    );
    await assertClosed(traffic);
    assert.equal((await send(first.trafficPort)).status, 200);
    assert.equal(await first.readiness(), 200);
  });
});

suite('wrong usage', () => {
  const pointsman = (...args: string[]) => spawnSync(process.execPath, [MAIN, ...args], { encoding: 'utf8' });

  for (const [args, expected] of [
    [['run', '--confg', 'x'], /--confg/],
    [['run', '--config'], /--config/],
    [['run', 'stray'], /stray/],
    [['rnu'], /rnu/],
    [[], /Usage/],
  ] as const) {
    test(`pointsman ${args.join(' ')}: says what is wrong`, () => {
      const { status, stdout, stderr } = pointsman(...args);
      assert.equal(status, 2);
      assert.equal(stdout, '');
      assert.match(stderr, expected);
      assert.doesNotMatch(stderr, /\n\s+at /);
    });
  }

  test('help and version are no errors', () => {
    for (const args of [['--help'], ['run', '--help'], ['--version']]) {
      const { status, stdout, stderr } = pointsman(...args);
      assert.equal(status, 0);
      assert.ok(stdout.length > 0);
      assert.equal(stderr, '');
    }
  });
});

suite('input that the running proxy meets', async () => {
  const proxy = await startPointsman(good);

  test('field values of 64 KiB are refused with 431', async () => {
    const answer = await exchange(
      proxy.trafficPort,
      `GET / HTTP/1.1\r\nHost: a\r\nX-Traffic-Group: ${'A'.repeat(65_536)}\r\n\r\n`,
    );
    assert.equal(answer.status, 431);
  });

  test('a Host that nobody knows takes the rows that ask for none', async () => {
    for (const host of ['unknown.example', '', '[::1]:99', 'x'.repeat(1000), '::::']) {
      const answer = await exchange(proxy.trafficPort, `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
      assert.ok(answer.status === 200 || answer.status === 400, `${host}: ${answer.status}`);
    }
  });

  test('an upstream whose name does not resolve is no reason not to start, and answers 503', async () => {
    const nameless = await startPointsman({
      backends: { main: { url: 'http://nobody.invalid:8080' }, other: { url: upstream.url } },
      routes: [
        { name: 'main', match: { path: '/main' }, split: { main: 1 } },
        { name: 'all', split: { other: 1 } },
      ],
      // Nobody answers there: as with no DNS at all.
      resolver: { nameservers: ['127.0.0.1:9'], timeout: '100ms', attempts: 1 },
    });
    const answer = await send(nameless.trafficPort, { path: '/main' });
    assert.equal(answer.status, 503);
    assert.equal(answer.failure().reason, 'no_endpoint');
    assert.equal((await send(nameless.trafficPort)).status, 200);
    const { backends } = await nameless.status();
    assert.equal(backends[0]!.resolution.state, 'failed');
    assert.ok(backends[0]!.resolution.reason.length > 5);
  });
});
