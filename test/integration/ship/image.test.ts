/** The image: the real Dockerfile is built, on stand-ins for its bases, and what comes out is run as in a cluster. */

import assert from 'node:assert/strict';
import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, suite, test } from 'node:test';
import { stringify } from 'yaml';
import { Container } from '../../support/container.ts';
import { type Image, ImageBuilder, whyNoImages } from '../../support/container-image.ts';
import { startHttpUpstream } from '../../support/http-upstream.ts';
import { type LogLine, temporaryDirectory } from '../../support/pointsman-process.ts';
import { send } from '../../support/request.ts';
import { pause, waitFor } from '../../support/wait-for.ts';

const COMMIT = '0123456789abcdef0123456789abcdef01234567';
const skip = whyNoImages();
const builder = new ImageBuilder();
const long = process.env['TEST_LONG'] === '1';

function configure(config: object): string {
  const directory = temporaryDirectory();
  // The user of the image is not the one that wrote it.
  chmodSync(directory, 0o755);
  writeFileSync(path.join(directory, 'pointsman.yaml'), stringify(config));
  return directory;
}

function log(container: Container): LogLine[] {
  return container.stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as LogLine);
}

suite('the image of the proxy', { skip, timeout: 240_000 }, () => {
  let image: Image;
  before(() => {
    image = builder.build('proxy', COMMIT);
  });

  test('runs as a numeric user that is not root, ends by SIGTERM, and leaves probes to the manifests', () => {
    const { config } = image;
    assert.equal(config.User, '65532:65532');
    assert.deepEqual(config.Entrypoint, ['/usr/local/bin/node', '/app/dist/main.js']);
    assert.deepEqual(config.Cmd, ['run']);
    assert.equal(config.StopSignal, 'SIGTERM');
    assert.equal(config.Healthcheck, undefined);
    assert.ok(config.Env.includes('NODE_OPTIONS=--max-old-space-size-percentage=60'));
    assert.equal(config.Labels['org.opencontainers.image.revision'], COMMIT);
    assert.deepEqual(Object.keys(config.ExposedPorts ?? {}), ['8080/tcp', '9901/tcp']);
  });

  test('holds no npm, no shell, no tools of development and no client of the Kubernetes API', () => {
    const has = (file: string) => existsSync(path.join(image.root, file));
    for (const file of [
      'usr/local/bin/npm',
      'usr/local/lib/node_modules',
      'bin/sh',
      'usr/bin/env',
      'app/src',
      'app/test',
    ]) {
      assert.ok(!has(file), file);
    }
    for (const name of ['typescript', '@biomejs/biome', '@kubernetes/client-node', 'autocannon', 'node']) {
      assert.ok(!has(`app/node_modules/${name}`), name);
    }
    // The guard of canaries sends mail.
    for (const name of ['undici', 'pino', 'yaml', 'zod', 'ioredis', 're2js', 'nodemailer']) {
      assert.ok(has(`app/node_modules/${name}/package.json`), name);
    }
    assert.ok(
      has('app/LICENSE') &&
        has('app/THIRD-PARTY.md') &&
        has('app/dist/pointsman.schema.json') &&
        has('app/dist/sbom.cdx.json'),
    );
  });

  test('says its version and commit, and does what the command line does', async () => {
    const version = await new Container(image, ['--version']).ended;
    assert.match(version.stdout, /^pointsman \d+\.\d+\.\d+ \(commit 0123456789ab, Node 26\.\S+\)\n$/);
    const directory = configure({ backends: { a: { url: 'http://a' } }, routes: [{ split: { b: 1 } }] });
    const check = await new Container(image, ['check', '/etc/pointsman/pointsman.yaml'], directory).ended;
    assert.equal(check.code, 1);
    assert.match(check.stderr, /pointsman\.yaml:\d+:\d+: routes\[0\]/);
  });

  test('serves as process 1 with a root that cannot be written to, and ends in order by SIGTERM', async () => {
    const upstream = await startHttpUpstream('main');
    const directory = configure({
      listen: '127.0.0.1:0',
      admin: '127.0.0.1:0',
      backends: { main: { url: upstream.url } },
      routes: [{ name: 'all', split: { main: 1 } }],
      shutdown: { delay: '0ms', timeout: '20s' },
    });
    const container = new Container(image, ['run'], directory);
    const listening = await waitFor(
      'it to listen',
      () => log(container).find(({ msg }) => msg === 'listening'),
      30_000,
    );
    const status = await container.processStatus();
    assert.equal(status.get('NSpid')?.split('\t').at(-1), '1');
    assert.deepEqual(status.get('Uid')?.split('\t'), ['65532', '65532', '65532', '65532']);
    assert.equal(status.get('CapEff'), '0000000000000000');
    const port = Number(String(listening['traffic']).split(':')[1]);
    const answer = await send(port, { method: 'POST', path: '/x', body: 'one real request' });
    assert.equal(answer.status, 200);
    assert.equal(answer.echo().body.length, 16);
    const held = send(port, { path: '/hold' });
    await waitFor('the request at the upstream', () => upstream.open === 1);
    await container.signal('SIGTERM');
    await waitFor('the end to begin', () =>
      log(container).some(({ msg }) => msg.startsWith('shutting down')),
    );
    upstream.release();
    assert.equal((await held).status, 200);
    const { code, stderr } = await container.ended;
    assert.equal(code, 0, stderr);
    assert.equal(stderr, '');
  });

  test('ends at once when it is told to before it serves', async () => {
    // An upstream whose name nobody answers for keeps the start waiting.
    const directory = configure({
      listen: '127.0.0.1:0',
      admin: '127.0.0.1:0',
      backends: { main: { url: 'http://nowhere.example:80' } },
      routes: [{ name: 'all', split: { main: 1 } }],
      resolver: { nameservers: ['127.0.0.1:9'], timeout: '30s' },
      shutdown: { delay: '60s', timeout: '60s' },
    });
    const container = new Container(image, ['run'], directory);
    // Process 1 ignores signals that it has no handler for: it is asked until it has heard.
    let told = 0;
    let over = false;
    const asking = (async () => {
      while (!over) {
        await container.signal('SIGTERM').then(
          () => told++,
          () => {},
        );
        await pause(20);
      }
    })();
    const { code, stdout } = await container.ended;
    over = true;
    assert.equal(code, 0);
    assert.ok(told > 0);
    await asking;
    assert.doesNotMatch(stdout, /"listening"/);
  });
});

suite('the image of the tools', { skip: skip || (long ? false : 'TEST_LONG=1 builds it') }, () => {
  test('has git and the client of the Kubernetes API', { timeout: 240_000 }, async () => {
    const image = builder.build('tools', COMMIT);
    const kinds = await new Container(image, ['fleet', 'kinds']).ended;
    assert.equal(kinds.code, 0, kinds.stderr);
    assert.ok(existsSync(path.join(image.root, 'app/node_modules/@kubernetes/client-node')));
    assert.ok(existsSync(path.join(image.root, 'usr/bin/git')));
    assert.ok(existsSync(path.join(image.root, 'app/deploy/templates/pipeline.yaml')));
    assert.equal(image.config.User, '65532:65532');
  });
});
