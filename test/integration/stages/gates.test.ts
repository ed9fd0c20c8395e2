/** Gates over real HTTP, and the run loop around them. */

import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { suite, test } from 'node:test';
import { cleanUp } from '../../support/clean-up.ts';
import { reserveClosedPort } from '../../support/closed-port.ts';
import { image, ManifestRepository, openRepository } from '../../support/manifest-repository.ts';
import { waitFor } from '../../support/wait-for.ts';

type Answer = (req: IncomingMessage, body: string, res: ServerResponse) => void;

/** Something on the other end of a gate; `answer` may change. */
async function startServer(): Promise<{
  url: string;
  answer: Answer;
  readonly seen: { url: string; body: string }[];
}> {
  const state = {
    url: '',
    answer: ((_, __, res) => res.end()) as Answer,
    seen: [] as { url: string; body: string }[],
  };
  const server = createServer((req, res) => {
    let body = '';
    req.setEncoding('utf8').on('data', (text: string) => {
      body += text;
    });
    req.on('end', () => {
      state.seen.push({ url: req.url ?? '', body });
      state.answer(req, body, res);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanUp(() => {
    server.closeAllConnections();
    server.close();
  });
  state.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return state;
}

function pipelineWith(gates: string, proxies = ''): string {
  return `
stages:
  - { name: internal, track: internal, groups: [INTERNAL] }
  - { name: free, track: canary, groups: [FREE], weights: [5], gates: { ${gates} } }
  - { name: paid, track: paid, weights: [5] }
  - { name: production, track: production, groups: [ENTERPRISE] }
values: { port: 8080, proxy_image: "example/pointsman:1" }
run: { interval: 100ms, lease: 5s }
${proxies}`;
}

/** 1.1 on the stage free, with these gates before it. */
async function onFree(gates: string, proxies = ''): Promise<ManifestRepository> {
  const repository = await openRepository(['account'], pipelineWith(gates, proxies));
  await repository.done('deploy', 'account', image('1.1'));
  await repository.done('promote', 'account');
  return repository;
}

const vector = (value: string) =>
  JSON.stringify({
    status: 'success',
    data: { resultType: 'vector', result: value === '' ? [] : [{ metric: {}, value: [0, value] }] },
  });

suite('gates that ask outside', () => {
  test('Prometheus passes, fails, and holds without data, on errors and on several series', async () => {
    const server = await startServer();
    const repository = await onFree(
      `prometheus: [ { name: errors, url: "${server.url}", query: 'rate(x{service="\${service}",track="\${track}"}[5m])', max: 0.01 } ]`,
    );
    const gate = async () => {
      const { stages } = JSON.parse(await repository.done('status', 'account', '--gates', '-o', 'json')) as {
        stages: { stage: string; gates: { gate: string; verdict: string; detail: string }[] }[];
      };
      const { verdict, detail } = stages[1]!.gates[0]!;
      return [verdict, detail];
    };
    const say = (status: number, text: string) => {
      server.answer = (_, __, res) => res.writeHead(status).end(text);
    };
    say(200, vector('0.001'));
    assert.deepEqual(await gate(), ['pass', '0.001']);
    assert.equal(
      new URL(server.seen[0]!.url, server.url).searchParams.get('query'),
      'rate(x{service="account",track="canary"}[5m])',
    );
    say(200, vector('0.5'));
    assert.deepEqual(await gate(), ['fail', '0.5 is above 0.01']);
    say(200, vector(''));
    assert.deepEqual(await gate(), ['hold', 'no data']);
    say(200, vector('NaN'));
    assert.deepEqual(await gate(), ['hold', 'no data']);
    say(500, 'oops');
    assert.deepEqual(await gate(), ['hold', 'cannot be asked: the answer is not JSON']);
    say(422, JSON.stringify({ status: 'error', error: 'parse error' }));
    assert.deepEqual(await gate(), ['hold', 'cannot be asked: parse error']);
  });

  test('a webhook is asked once all else passes; its yes moves the build, and its no rolls back', async () => {
    const server = await startServer();
    const repository = await onFree(`webhook: { url: "${server.url}/ask" }`);
    server.answer = (_, __, res) => res.writeHead(409).end();
    await repository.done('run', '--once');
    assert.equal((await repository.slot('account', 'free')).status, 'running');
    assert.deepEqual(JSON.parse(server.seen[0]!.body), {
      service: 'account',
      namespace: 'default',
      stage: 'free',
      track: 'canary',
      image: image('1.1'),
    });
    server.answer = (_, __, res) => res.end('{"verdict": "fail", "message": "carts\\nare empty"}');
    await repository.done('run', '--once');
    assert.deepEqual(await repository.slot('account', 'free'), {
      status: 'stable',
      version: '1.0',
      weight: 0,
    });
    assert.match(
      await repository.git('log', '-1', '--format=%B'),
      /^Stage-Reason: a gate of free failed: webhook: carts are empty$/m,
    );
    const second = await onFree(`webhook: { url: "${server.url}/ask" }`);
    server.answer = (_, __, res) => res.end();
    await second.done('run', '--once');
    assert.equal((await second.slot('account', 'paid')).version, '1.1');
  });

  test('a URL with a token stays out of messages', async () => {
    const repository = await onFree('webhook: { url: "http://127.0.0.1:9/secret-token" }');
    const said = await repository.done('run', '--once');
    assert.match(said, /webhook: cannot be asked/);
    assert.ok(!said.includes('secret-token'));
  });
});

suite('rollback conditions', () => {
  test('are armed while an approval is waited for', async () => {
    const server = await startServer();
    server.answer = (_, __, res) => res.end(vector('0'));
    const repository = await onFree(
      `approval: {}, prometheus: [ { name: errors, url: "${server.url}", query: up, max: 0.01 } ]`,
    );
    const said = await repository.done('run', '--once');
    assert.match(said, /hold {2}account {2}free {2}approval: 0 of 1/);
    server.answer = (_, __, res) => res.end(vector('1'));
    await repository.done('run', '--once');
    assert.equal((await repository.slot('account', 'free')).status, 'stable');
  });

  test('are armed on a stage that the build has left', async () => {
    const server = await startServer();
    server.answer = (_, __, res) => res.end(vector('0'));
    const repository = await onFree(
      `prometheus: [ { name: errors, url: "${server.url}", query: up, max: 0.01 } ]`,
    );
    await repository.done('promote', 'account');
    assert.equal((await repository.slot('account', 'free')).status, 'passed');
    server.answer = (_, __, res) => res.end(vector('1'));
    await repository.done('run', '--once');
    for (const stage of ['internal', 'free', 'paid'])
      assert.equal((await repository.slot('account', stage)).version, '1.0', stage);
  });

  test('are armed in a freeze', async () => {
    const server = await startServer();
    server.answer = (_, __, res) => res.end(vector('0'));
    const freeze =
      'freeze: { deny: [ { from: 2020-01-01, to: 2099-01-01, stages: [paid], reason: audit } ] }\n';
    const repository = await onFree(
      `prometheus: [ { name: errors, url: "${server.url}", query: up, max: 0.01 } ]`,
      freeze,
    );
    assert.match(await repository.done('run', '--once'), /hold {2}account {2}free {2}frozen from .*audit/);
    server.answer = (_, __, res) => res.end(vector('1'));
    await repository.done('run', '--once');
    assert.equal((await repository.slot('account', 'free')).status, 'stable');
  });
});

suite('proxies', () => {
  test('that cannot be asked hold, and never roll a build back', async () => {
    const proxy = `http://127.0.0.1:${await reserveClosedPort()}`;
    const repository = await onFree(
      'ready: { deadline: 1ms }, judge: {}',
      `proxies: ["${proxy}"]
`,
    );
    const said = await repository.done('run', '--once');
    const refused = `the proxy ${proxy} cannot be asked: ECONNREFUSED`;
    assert.ok(said.includes(`ready: ${refused}; judge: ${refused}`), said);
    assert.equal((await repository.slot('account', 'free')).status, 'running');
  });

  test('that keep another table past the deadline fail the build', async () => {
    const server = await startServer();
    server.answer = (req, _, res) => {
      if (req.url === '/metrics') res.end('');
      else
        res.end(
          JSON.stringify({ startedAt: 'x', ready: { ok: true }, config: { hash: 'other' }, backends: [] }),
        );
    };
    const repository = await onFree('ready: { deadline: 1ms }', `proxies: ["${server.url}"]\n`);
    await repository.done('run', '--once');
    assert.equal((await repository.slot('account', 'free')).status, 'stable');
    assert.match(
      await repository.git('log', '-1', '--format=%B'),
      /ready: 1 of 1 proxies do not run the committed table yet, for/,
    );
  });
});

suite('stage run with a remote', () => {
  test('in two clones moves every build once, and pushes what it does', { timeout: 120_000 }, async () => {
    const origin = await ManifestRepository.create({ bare: true });
    const first = await openRepository(['a', 'b'], pipelineWith(''));
    await first.git('remote', 'add', 'origin', origin.directory);
    for (const service of ['a', 'b']) await first.done('deploy', service, image('1.1'));
    await first.git('push', '-q', '-u', 'origin', 'main');
    const from = await first.head();
    const clones = await Promise.all(['Bob', 'Cid'].map((who) => origin.clone(who)));
    const runs = clones.map((clone) => clone.start('run', '--push'));
    const fresh = await origin.clone('Eve');
    await waitFor(
      'both services to be done',
      async () => {
        await fresh.git('pull', '-q');
        return (await Promise.all(['a', 'b'].map((service) => fresh.slot(service, 'production')))).every(
          ({ status, version }) => status === 'stable' && version === '1.1',
        );
      },
      90_000,
    );
    for (const { child, ended } of runs) {
      child.kill('SIGTERM');
      const { code, stderr } = await ended;
      assert.equal(code, 0, stderr);
    }
    const subjects = (await origin.git('log', '--format=%s', `${from}..main`)).split('\n');
    assert.equal(subjects.length, 8, subjects.join(' | '));
    assert.equal(new Set(subjects).size, 8);
    await origin.git('fsck', '--strict');
  });
});
