import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { type Config, configSchema } from '../../../src/config/schema.ts';
import { accountOf } from '../../../src/process/account.ts';
import { decidePrivileges, isPrivileged, type System } from '../../../src/process/privileges.ts';

const PASSWD = [
  'root:x:0:0:root:/root:/bin/bash',
  'nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin',
  'proxy:x:13:14:proxy:/bin:/usr/sbin/nologin',
  'broken',
  'odd:x:-1:x',
].join('\n');
const GROUP = 'root:x:0:\nnogroup:x:65534:\nproxies:x:99:proxy\n';

const account = (runAs: Config['runAs'], passwd = PASSWD) => accountOf(runAs, passwd, GROUP);

suite('the account', () => {
  test('is nobody where none is named, also without /etc/passwd', () => {
    assert.deepEqual(account({}), { uid: 65_534, gid: 65_534 });
    assert.deepEqual(account({}, ''), { uid: 65_534, gid: 65_534 });
  });

  test('has the group of its user, unless another one is named', () => {
    assert.deepEqual(account({ user: 'proxy' }), { uid: 13, gid: 14 });
    assert.deepEqual(account({ user: 13 }), { uid: 13, gid: 14 });
    assert.deepEqual(account({ user: 1_000 }), { uid: 1_000, gid: 1_000 }, 'that nobody knows');
    assert.deepEqual(account({ user: 'proxy', group: 'proxies' }), { uid: 13, gid: 99 });
    assert.deepEqual(account({ group: 7 }), { uid: 65_534, gid: 7 });
  });

  test('that does not exist is told with where it was looked for', () => {
    assert.match(String(account({ user: 'proxi' })), /^runAs\.user: \/etc\/passwd has no user proxi; give/);
    assert.match(String(account({ user: 'odd' })), /no user odd/);
    assert.match(String(account({ group: 'proxi' })), /^runAs\.group: \/etc\/group has no group proxi/);
  });
});

function system(
  some: Partial<System> & { readonly closed?: string; readonly firstPort?: string } = {},
): System {
  const { closed, firstPort = '1024\n', ...rest } = some;
  const texts: Record<string, string> = {
    '/etc/passwd': PASSWD,
    '/etc/group': GROUP,
    '/proc/sys/net/ipv4/ip_unprivileged_port_start': firstPort,
  };
  return {
    uid: 0,
    readText: (file) => texts[file] ?? '',
    refusal: (_account, file) => (file === closed ? `it could not read ${file}` : undefined),
    ...rest,
  };
}

function configOf(some: object = {}): Config {
  return configSchema.parse({
    backends: { a: { url: 'http://a' } },
    routes: [{ name: 'all', split: { a: 1 } }],
    ...some,
  });
}

const decide = (some: object, of: System = system()) => decidePrivileges(configOf(some), ['/file'], of);

suite('a process that was started as root', () => {
  test('becomes nobody, or who the configuration says', () => {
    assert.deepEqual(decide({}).account, { uid: 65_534, gid: 65_534 });
    assert.deepEqual(decide({ runAs: { user: 'proxy', group: 'proxies' } }).account, { uid: 13, gid: 99 });
    assert.equal(decide({}).warning, undefined);
  });

  test('stays root without a word when it is told to', () => {
    for (const user of ['root', 0]) {
      assert.deepEqual(decide({ runAs: { user } }), { account: undefined, warning: undefined });
    }
  });

  test('stays root, and says why, where nobody could not read what is read again', () => {
    for (const [some, closed] of [
      [{}, '/file'],
      [{ acting: { tokenFile: '/run/token' } }, '/run/token'],
      [{ redis: { url: 'rediss://r', tls: { ca: '/run/ca.pem' } } }, '/run/ca.pem'],
    ] as const) {
      const { account: none, warning } = decide(some, system({ closed }));
      assert.equal(none, undefined);
      assert.match(warning!, new RegExp(`^runs as root, since it cannot run as user nobody: .*${closed}`));
      assert.match(warning!, /runAs: \{ user: root \}$/);
    }
  });

  test('does not start where the user that is named could not', () => {
    const named = { runAs: { user: 'proxy' } };
    assert.throws(() => decide(named, system({ closed: '/file' })), /cannot run as user proxy: .*\/file/);
    assert.throws(() => decide({ runAs: { user: 'proxi' } }), /cannot run as user proxi: runAs\.user: /);
    assert.throws(() => decide({ runAs: { user: 1, group: 'x' } }), /user 1 and group x: runAs\.group: /);
  });

  test('needs root for workers on a port that only root may open, since they are started again', () => {
    const low = { listen: '0.0.0.0:80' };
    assert.ok(decide(low).account, 'one worker: it is opened before');
    assert.match(
      decide({ ...low, workers: 2 }).warning!,
      /could not open port 80; choose a port from 1024 up/,
    );
    assert.throws(() => decide({ ...low, workers: 'auto', runAs: { user: 'proxy' } }), /port 80/);
    assert.ok(decide({ ...low, workers: 2 }, system({ firstPort: '0\n' })).account);
    assert.ok(decide({ listen: '0.0.0.0:1024', workers: 2 }).account);
  });
});

test('a process that was not started as root stays who it is', () => {
  for (const uid of [1_000, undefined]) {
    const result = decide({ runAs: { user: 'proxi' } }, system({ uid, closed: '/file' }));
    assert.deepEqual(result, { account: undefined, warning: undefined });
  }
});

test('ports are those of root below 1024, or below what the system says', () => {
  for (const [port, firstPort, expected] of [
    [1_023, '1024', true],
    [1_024, '1024', false],
    [80, '80', false],
    [79, '80', true],
    [0, '1024', false],
    [1_023, '', true],
  ] as const) {
    assert.equal(isPrivileged(port, system({ firstPort })), expected, `${port} of ${firstPort}`);
  }
});
