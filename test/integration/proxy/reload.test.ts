/** A new configuration is taken over whole and disturbs nothing; a bad one changes nothing. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { suite, test } from 'node:test';
import { ConfigMap } from '../../support/config-map.ts';
import { oneBackend } from '../../support/design-table.ts';
import { patternBytes, patternHash, startHttpUpstream } from '../../support/http-upstream.ts';
import {
  configText,
  type PointsmanProcess,
  startPointsman,
  type TestConfig,
  temporaryDirectory,
} from '../../support/pointsman-process.ts';
import { RawClient } from '../../support/raw-client.ts';
import { startRawUpstream } from '../../support/raw-upstream.ts';
import { inParallel, send } from '../../support/request.ts';
import { waitFor } from '../../support/wait-for.ts';

const blue = await startHttpUpstream('blue');
const green = await startHttpUpstream('green');

/** Everything goes to the one named first. */
function all(to: 'blue' | 'green', more: Partial<TestConfig> = {}): TestConfig {
  return {
    backends: { blue: { url: blue.url }, green: { url: green.url } },
    routes: [{ name: 'all', split: { blue: to === 'blue' ? 1 : 0, green: to === 'green' ? 1 : 0 } }],
    ...more,
  };
}

async function servedBy(proxy: PointsmanProcess): Promise<string> {
  return (await send(proxy.trafficPort)).echo().upstream;
}

suite('a good file', () => {
  test('is taken over, said in the log row by row, counted, and shown', async () => {
    const proxy = await startPointsman(all('blue'));
    const before = await proxy.status();
    assert.equal(before.config.lastReload, null);
    assert.equal(await servedBy(proxy), 'blue');
    await proxy.reload(all('green'));
    assert.equal(await servedBy(proxy), 'green');
    const after = await proxy.status();
    assert.notEqual(after.config.hash, before.config.hash);
    assert.equal(after.config.reloads.ok, 1);
    assert.equal(after.config.lastReload!.result, 'ok');
    assert.ok(after.config.lastReload!.changes.some((change) => change.includes('all')));
    assert.deepEqual(after.routes[0]!.split, { blue: 0, green: 1 });
    const line = await proxy.waitForLog(({ msg }) => msg === 'configuration reloaded');
    assert.deepEqual(line['changes'], after.config.lastReload!.changes);
    assert.equal(await proxy.metric('pointsman_config_reloads_total', { result: 'ok' }), 1);
    assert.equal(await proxy.metric('pointsman_config_last_reload_success'), 1);
  });

  test('gives exact shares from its first request', async () => {
    const proxy = await startPointsman(all('blue'));
    await proxy.reload({ ...all('blue'), routes: [{ name: 'all', split: { blue: 95, green: 5 } }] });
    const names = await inParallel(200, 8, () => servedBy(proxy));
    assert.equal(names.filter((name) => name === 'green').length, 10);
  });

  test('that is the same as before is no reload', async () => {
    const proxy = await startPointsman(all('blue'));
    proxy.writeConfig(all('blue'));
    await proxy.reload(all('green'));
    assert.equal((await proxy.status()).config.reloads.ok, 1);
  });

  test('that changes what needs a restart says so, and the rest of it is taken over', async () => {
    const proxy = await startPointsman(all('blue'));
    await proxy.reload({ ...all('green'), workers: 2, limits: { headers: 50 } });
    assert.equal(await servedBy(proxy), 'green');
    assert.deepEqual([...(await proxy.status()).config.restartNeeded].sort(), ['limits.headers', 'workers']);
    const line = await proxy.waitForLog(({ msg }) => /next start/.test(msg));
    assert.equal(line.level, 'warn');
  });

  test('may change timeouts, limits and forwarding as well', async () => {
    const config = oneBackend(blue.url);
    const proxy = await startPointsman(config);
    assert.equal((await send(proxy.trafficPort, { method: 'POST', body: 'x'.repeat(100) })).status, 200);
    await proxy.reload({ ...config, limits: { requestBody: '10B' }, timeouts: { responseHead: '50ms' } });
    assert.equal((await send(proxy.trafficPort, { method: 'POST', body: 'x'.repeat(100) })).status, 413);
    assert.equal((await send(proxy.trafficPort, { path: '/delay/1000' })).status, 504);
  });

  test('may change the level of the log', async () => {
    const proxy = await startPointsman(all('blue'));
    const said = () => proxy.log().filter(({ msg }) => msg === 'configuration reloaded').length;
    await proxy.reload({ ...all('green'), log: { level: 'error' } });
    await proxy.reload({ ...all('blue'), log: { level: 'error' } });
    await proxy.reload({ ...all('green'), log: { level: 'info' } });
    await proxy.waitForLog(({ msg }) => msg === 'configuration reloaded');
    assert.equal(said(), 1);
  });
});

suite('a bad file', () => {
  for (const [what, text] of [
    ['that is no YAML', 'backends: {'],
    [
      'that names an unknown backend',
      configText({ ...all('blue'), routes: [{ name: 'all', split: { nope: 1 } }] }),
    ],
    ['with an unknown key', configText(all('green')).replace('routes:', 'ruotes: 1\nroutes:')],
    ['that is empty', ''],
  ] as const) {
    test(`${what} leaves the last good table in place and says what is wrong`, async () => {
      const proxy = await startPointsman(all('blue'));
      const good = (await proxy.status()).config.hash;
      proxy.writeConfig(text);
      await proxy.waitFor('the refusal', async () => (await proxy.status()).config.reloads.rejected === 1);
      assert.equal(await servedBy(proxy), 'blue');
      const { config, ready } = await proxy.status();
      assert.equal(config.hash, good);
      assert.equal(config.lastReload!.result, 'rejected');
      assert.ok(config.lastError!.problems.length > 0);
      for (const problem of config.lastError!.problems) assert.ok(problem.message.length > 10);
      assert.equal(ready.ok, true, 'a bad file is no reason to take no traffic');
      const line = await proxy.waitForLog(({ msg }) => /errors/.test(msg));
      assert.equal(line.level, 'error');
      assert.match(JSON.stringify(line['problems']), /pointsman\.yaml/);
      assert.equal(await proxy.metric('pointsman_config_last_reload_success'), 0);
      assert.equal(await proxy.metric('pointsman_config_reloads_total', { result: 'rejected' }), 1);

      await proxy.reload(all('green'));
      assert.equal(await servedBy(proxy), 'green');
      assert.equal((await proxy.status()).config.lastError, null);
      assert.equal(await proxy.metric('pointsman_config_last_reload_success'), 1);
    });
  }

  test('that is gone altogether leaves the last good table in place', async () => {
    const proxy = await startPointsman(all('blue'));
    renameSync(proxy.configPath, `${proxy.configPath}.away`);
    proxy.signal('SIGHUP');
    await proxy.waitFor('the refusal', async () => (await proxy.status()).config.reloads.rejected >= 1);
    assert.equal(await servedBy(proxy), 'blue');
    renameSync(`${proxy.configPath}.away`, proxy.configPath);
    await proxy.reload(all('green'));
    assert.equal(await servedBy(proxy), 'green');
  });
});

suite('the ways in which a file changes', () => {
  test('a mounted ConfigMap, swapped by Kubernetes again and again', async () => {
    const mount = new ConfigMap(path.join(temporaryDirectory(), 'mount'), {
      'pointsman.yaml': configText(all('blue')),
      'other.txt': 'x',
    });
    const proxy = await startPointsman('', { configPath: mount.pathOf('pointsman.yaml') });
    // A watch of the file itself would see the first swap and no other.
    for (const [i, to] of (['green', 'blue', 'green', 'blue'] as const).entries()) {
      mount.swap({ 'pointsman.yaml': configText(all(to)), 'other.txt': 'y' });
      await proxy.waitFor(
        `swap ${i + 1}`,
        async () => (await proxy.status()).config.reloads.ok === i + 1,
        5_000,
      );
      assert.equal(await servedBy(proxy), to);
    }
  });

  test('a swap that changes other files alone is no reload', async () => {
    const text = configText(all('blue'));
    const mount = new ConfigMap(path.join(temporaryDirectory(), 'mount'), { 'pointsman.yaml': text, a: '1' });
    const proxy = await startPointsman('', { configPath: mount.pathOf('pointsman.yaml') });
    mount.swap({ 'pointsman.yaml': text, a: '2' });
    mount.swap({ 'pointsman.yaml': configText(all('green')), a: '3' });
    await proxy.waitFor('the reload', async () => (await proxy.status()).config.reloads.ok > 0);
    assert.equal((await proxy.status()).config.reloads.ok, 1);
  });

  test('an editor that writes another file and renames it', async () => {
    const proxy = await startPointsman(all('blue'));
    for (const [i, to] of (['green', 'blue'] as const).entries()) {
      const temporary = `${proxy.configPath}.swp`;
      writeFileSync(temporary, configText(all(to)));
      renameSync(temporary, proxy.configPath);
      await proxy.waitFor(
        'the reload',
        async () => (await proxy.status()).config.reloads.ok === i + 1,
        5_000,
      );
      assert.equal(await servedBy(proxy), to);
    }
  });

  test('SIGHUP, where no watch can see the change', async () => {
    const directory = temporaryDirectory();
    mkdirSync(path.join(directory, 'elsewhere'));
    const real = path.join(directory, 'elsewhere', 'real.yaml');
    writeFileSync(real, configText(all('blue')));
    mkdirSync(path.join(directory, 'etc'));
    const configPath = path.join(directory, 'etc', 'pointsman.yaml');
    symlinkSync(real, configPath);
    const proxy = await startPointsman('', { configPath });
    writeFileSync(real, configText(all('green')));
    proxy.signal('SIGHUP');
    await proxy.waitFor('the reload', async () => (await proxy.status()).config.reloads.ok === 1, 3_000);
    assert.equal(await servedBy(proxy), 'green');
  });
});

suite('what is under way', () => {
  test('ends where it began, though its backend is gone from the table', async () => {
    const proxy = await startPointsman(oneBackend(blue.url));
    const held = send(proxy.trafficPort, { path: '/hold' });
    const streamed = send(proxy.trafficPort, { path: '/trickle/40' });
    await waitFor('both at the upstream', () => blue.open === 2);
    await proxy.reload({
      backends: { other: { url: green.url } },
      routes: [{ name: 'all', split: { other: 1 } }],
    });
    assert.equal(await servedBy(proxy), 'green');
    blue.release();
    assert.equal((await held).echo().upstream, 'blue');
    assert.equal((await streamed).text.trim().split('\n').length, 40);
    blue.hold();
  });

  test('an upload goes on through reloads and arrives whole', async () => {
    const proxy = await startPointsman(all('blue'));
    const body = patternBytes(500_000);
    const client = await RawClient.connect(proxy.trafficPort);
    client.send(`PUT /upload HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n`);
    for (let i = 0; i < 5; i++) {
      client.send(body.subarray(i * 100_000, (i + 1) * 100_000));
      await proxy.reload(all(i % 2 === 0 ? 'green' : 'blue'));
    }
    const echo = (await client.read()).json() as { upstream: string; body: { sha256: string } };
    client.destroy();
    assert.equal(echo.upstream, 'blue');
    assert.equal(echo.body.sha256, createHash('sha256').update(body).digest('hex'));
  });

  test('client connections stay open', async () => {
    const proxy = await startPointsman(all('blue'));
    const client = await RawClient.connect(proxy.trafficPort);
    for (const to of ['green', 'blue'] as const) {
      await proxy.reload(all(to));
      const answer = await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n').read();
      assert.equal((answer.json() as { upstream: string }).upstream, to);
    }
    client.destroy();
  });

  test('nothing fails or is altered while 40 reloads happen under load', async () => {
    const proxy = await startPointsman(all('blue'));
    const body = patternBytes(20_000);
    const hash = createHash('sha256').update(body).digest('hex');
    let running = true;
    let done = 0;
    const lanes = Array.from({ length: 8 }, async (_, lane) => {
      while (running) {
        if (lane % 2 === 0) {
          const answer = await send(proxy.trafficPort, { method: 'POST', body });
          assert.equal(answer.status, 200);
          assert.equal(answer.echo().body.sha256, hash);
        } else {
          const answer = await send(proxy.trafficPort, { path: '/bytes/50000' });
          assert.equal(answer.status, 200);
          assert.equal(createHash('sha256').update(answer.body).digest('hex'), patternHash(50_000));
        }
        done++;
      }
    });
    const load = Promise.all(lanes);
    for (let i = 0; i < 40; i++) await proxy.reload(all(i % 2 === 0 ? 'green' : 'blue'));
    running = false;
    await load;
    assert.ok(done > 100, `${done} requests`);
    assert.equal((await proxy.status()).config.reloads.ok, 40);
    assert.deepEqual((await proxy.status()).failures, {});
  });
});

suite('backends', () => {
  test('that stay keep their connections and their health', async () => {
    const kept = await startRawUpstream();
    const gone = await startHttpUpstream('gone');
    const config: TestConfig = {
      backends: { kept: { url: kept.url }, gone: { url: gone.url } },
      routes: [{ name: 'all', split: { kept: 1, gone: 0 } }],
      health: { interval: '1h', timeout: '1s' },
    };
    const proxy = await startPointsman(config);
    for (let i = 0; i < 3; i++) await send(proxy.trafficPort);
    await proxy.reload({ ...config, routes: [{ name: 'renamed', split: { kept: 2, gone: 0 } }] });
    for (let i = 0; i < 3; i++) await send(proxy.trafficPort);
    assert.deepEqual(new Set(kept.requests.map(({ connection }) => connection)), new Set([0]));
    // The next check is an hour away: whoever is up was not checked again.
    for (const backend of (await proxy.status()).backends) {
      assert.equal(backend.endpoints[0]!.health, 'up');
      assert.equal(backend.endpoints[0]!.checks.length, 1);
    }
  });

  test('that are new are checked before they get traffic', async () => {
    const proxy = await startPointsman(all('blue'));
    const dead = await startHttpUpstream('dead');
    await dead.close();
    await proxy.reload({
      backends: { blue: { url: blue.url }, dead: { url: dead.url } },
      routes: [{ name: 'all', split: { blue: 1, dead: 1 } }],
    });
    const names = await inParallel(40, 4, () => servedBy(proxy));
    assert.deepEqual(new Set(names), new Set(['blue']));
    assert.equal(await proxy.metric('pointsman_retries_total'), 0);
  });

  test('that are gone have their idle connections closed', async () => {
    const leaving = await startRawUpstream();
    const proxy = await startPointsman(oneBackend(leaving.url, { health: { enabled: false } }));
    await send(proxy.trafficPort);
    assert.equal(leaving.openConnections, 1);
    await proxy.reload({
      backends: { blue: { url: blue.url } },
      routes: [{ name: 'all', split: { blue: 1 } }],
    });
    await waitFor('its connections to be closed', () => leaving.openConnections === 0);
  });
});
