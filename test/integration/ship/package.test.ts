/** The package: what `npm pack` makes is installed into an empty folder, and works there. */

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { THIRD_PARTY, thirdPartyDocument } from '../../../deploy/release/licences.ts';
import { type Sbom, sbomDocument } from '../../../deploy/release/sbom.ts';
import { configJsonSchema } from '../../../src/config/json-schema.ts';
import { cleanUp } from '../../support/clean-up.ts';
import { startHttpUpstream } from '../../support/http-upstream.ts';
import { configText, type LogLine, temporaryDirectory } from '../../support/pointsman-process.ts';
import { send } from '../../support/request.ts';
import { inTime, waitFor } from '../../support/wait-for.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const run = promisify(execFile);
/** A checkout in which the package is built: `dist` of this one is left alone. */
const checkout = temporaryDirectory();
const folder = temporaryDirectory();
/** npm takes Node from PATH: the one that runs these tests, whatever the machine has. */
const environment = {
  ...process.env,
  NODE_OPTIONS: '',
  PATH: `${path.dirname(process.execPath)}:${process.env['PATH']}`,
};

function inFolder(command: string, ...args: string[]) {
  return run(command, args, { cwd: folder, env: environment, maxBuffer: 16 * 1024 ** 2 });
}

suite('the package', { timeout: 180_000 }, () => {
  const installed = path.join(folder, 'node_modules/pointsman');
  let files: readonly string[];

  before(async () => {
    // The files that git knows, as they are here.
    const { stdout } = await run('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
      cwd: ROOT,
      maxBuffer: 16 * 1024 ** 2,
    });
    const known = stdout.split('\0').filter((file) => file !== '' && existsSync(path.join(ROOT, file)));
    for (const file of known) {
      if (!/^(src|deploy)\/|^[^/]+$/.test(file)) continue;
      mkdirSync(path.join(checkout, path.dirname(file)), { recursive: true });
      writeFileSync(path.join(checkout, file), readFileSync(path.join(ROOT, file)));
    }
    symlinkSync(path.join(ROOT, 'node_modules'), path.join(checkout, 'node_modules'));
    const packed = await run('npm', ['pack', '--json', `--pack-destination=${folder}`], {
      cwd: checkout,
      env: {
        ...environment,
        COMMIT: '0123456789abcdef0123456789abcdef01234567',
        SOURCE_DATE_EPOCH: '1767225600',
      },
      maxBuffer: 16 * 1024 ** 2,
    });
    const listed = JSON.parse(packed.stdout) as unknown;
    // npm 12 and newer answer with a map by name.
    const [one] = Object.values(listed as Record<string, { filename: string; files: { path: string }[] }>);
    files = one!.files.map((file) => file.path);
    writeFileSync(path.join(folder, 'package.json'), '{ "private": true }');
    await inFolder('npm', 'install', '--silent', '--prefer-offline', '--ignore-scripts', one!.filename);
  });

  test('holds what is needed to run it and to deploy it, and nothing of how it is made', () => {
    for (const needed of [
      'dist/main.js',
      'dist/pointsman.schema.json',
      'dist/build.json',
      'dist/sbom.cdx.json',
      'README.md',
      'LICENSE',
      'CHANGELOG.md',
      'SECURITY.md',
      'deploy/README.md',
      'deploy/THIRD-PARTY.md',
      'deploy/pointsman.example.yaml',
      'deploy/kustomize/base/deployment.yaml',
      'deploy/helm/pointsman/Chart.yaml',
      'deploy/image/Dockerfile',
    ]) {
      assert.ok(files.includes(needed), needed);
    }
    const strange = files.filter(
      (file) => !/^(dist|deploy)\/|^(README|CHANGELOG|SECURITY)\.md$|^LICENSE$|^package\.json$/.test(file),
    );
    assert.deepEqual(strange, []);
    assert.deepEqual(
      files.filter((file) => /^deploy\/release|\.ts$|\.test\./.test(file)),
      [],
    );
  });

  test('runs by npx and says its version and commit', async () => {
    const { stdout } = await inFolder('npx', '--no-install', 'pointsman', '--version');
    const { version } = JSON.parse(readFileSync(`${ROOT}/package.json`, 'utf8')) as { version: string };
    assert.equal(stdout, `pointsman ${version} (commit 0123456789ab, Node ${process.versions.node})\n`);
  });

  test('checks a configuration by npx', async () => {
    const { stdout } = await inFolder(
      'npx',
      '--no-install',
      'pointsman',
      'check',
      `${installed}/deploy/pointsman.example.yaml`,
    );
    assert.match(stdout, /: ok \(4 routes, 4 backends\)/);
  });

  test('has every command of a checkout', async () => {
    const { stdout: help } = await inFolder('npx', '--no-install', 'pointsman', '--help');
    const names = [...help.matchAll(/^ {2}([a-z]+) {2,}/gm)].map((match) => match[1]!);
    assert.ok(names.length >= 11, help);
    for (const name of names) {
      const { stdout } = await inFolder(process.execPath, `${installed}/dist/main.js`, name, '--help');
      assert.ok(stdout.includes(`pointsman ${name}`), name);
    }
  });

  for (const workers of [1, 2]) {
    test(`serves a request, with ${workers} worker${workers === 1 ? '' : 's'}`, async () => {
      const upstream = await startHttpUpstream('main');
      const file = path.join(folder, `pointsman-${workers}.yaml`);
      const route = { name: 'all', split: { main: 1 } };
      writeFileSync(
        file,
        configText({ backends: { main: { url: upstream.url } }, routes: [route], workers }),
      );
      const child = spawn(process.execPath, [`${installed}/dist/main.js`, 'run', '--config', file], {
        cwd: folder,
        env: environment,
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      cleanUp(() => child.kill('SIGKILL'));
      let output = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
      const listening = await waitFor('it to listen', () =>
        output
          .split('\n')
          .filter((line) => line.endsWith('}'))
          .map((line) => JSON.parse(line) as LogLine)
          .find(({ msg }) => msg === 'listening'),
      );
      const answer = await send(Number(String(listening['traffic']).split(':').at(-1)), {
        path: '/from/the/package',
      });
      assert.equal(answer.echo().url, '/from/the/package');
      const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
      child.kill('SIGTERM');
      assert.equal(await inTime('the end', ended), 0);
    });
  }

  test('says what it needs where Node is too old for it', async (context) => {
    const old = '/usr/bin/node';
    if (!existsSync(old) || Number.parseInt((await run(old, ['--version'])).stdout.slice(1), 10) >= 26) {
      context.skip('this machine has no older Node');
      return;
    }
    const failed = await run(old, [`${installed}/dist/main.js`, 'run']).catch(
      (error: Error) => error.message,
    );
    assert.match(String(failed), /pointsman needs Node 26\.2 or newer; this is \d+\./);
  });

  test('publishes the JSON Schema, to which the line in its examples leads', () => {
    const published = JSON.parse(readFileSync(`${installed}/dist/pointsman.schema.json`, 'utf8')) as unknown;
    assert.deepEqual(published, JSON.parse(JSON.stringify(configJsonSchema())));
    const tables = files.filter((file) => /^deploy\/.*\/?pointsman(\.example)?\.yaml$/.test(file));
    assert.ok(tables.length >= 3, tables.join());
    for (const table of tables) {
      const file = path.join(installed, table);
      const target = /^# yaml-language-server: \$schema=(\S+)\n/.exec(readFileSync(file, 'utf8'))?.[1];
      assert.ok(target, `${table} has the line`);
      assert.equal(path.resolve(path.dirname(file), target), `${installed}/dist/pointsman.schema.json`);
    }
  });

  test('lists the licences of all that is installed with it', () => {
    assert.equal(readFileSync(THIRD_PARTY, 'utf8'), thirdPartyDocument(), 'npm run licences');
    const listed = readFileSync(`${installed}/deploy/THIRD-PARTY.md`, 'utf8');
    const lock = JSON.parse(readFileSync(path.join(folder, 'package-lock.json'), 'utf8')) as {
      packages: object;
    };
    const names = Object.keys(lock.packages)
      .map((place) => place.slice(place.lastIndexOf('node_modules/') + 'node_modules/'.length))
      .filter((name) => name !== '' && name !== 'pointsman');
    assert.deepEqual(
      names.filter((name) => !listed.includes(`| ${name} |`)),
      [],
    );
  });

  test('has a bill of materials of all that is installed with it, with versions and licences, the same each time', () => {
    const text = readFileSync(`${installed}/dist/sbom.cdx.json`, 'utf8');
    const sbom = JSON.parse(text) as Sbom & { bomFormat: string; specVersion: string };
    assert.equal(sbom.bomFormat, 'CycloneDX');
    assert.equal(sbom.metadata.component.name, 'pointsman');
    assert.equal(sbom.metadata.timestamp, '2026-01-01T00:00:00.000Z');
    assert.match(
      sbom.serialNumber!,
      /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    );
    assert.equal(text, `${JSON.stringify(sbomDocument(1_767_225_600), undefined, 2)}\n`);
    const lock = JSON.parse(readFileSync(path.join(ROOT, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { version: string; license?: string; dev?: boolean; devOptional?: boolean }>;
    };
    const shipped = Object.entries(lock.packages)
      .filter(([place, { dev, devOptional }]) => place !== '' && dev !== true && devOptional !== true)
      .map(([place, { version, license }]) => `${place.split('node_modules/').at(-1)} ${version} ${license}`);
    const listed = sbom.components.map(({ name, version, licenses = [] }) => {
      const [first] = licenses;
      return `${name} ${version} ${first?.expression ?? first?.license?.id ?? first?.license?.name}`;
    });
    assert.ok(shipped.some((line) => line.startsWith('nodemailer ')));
    assert.deepEqual([...new Set(listed)].sort(), [...new Set(shipped)].sort());
  });

  test('has a version in the form of SemVer, and a changelog', () => {
    const { version, bin, engines } = JSON.parse(readFileSync(`${installed}/package.json`, 'utf8')) as {
      version: string;
      bin: Record<string, string>;
      engines: { node: string };
    };
    assert.match(version, /^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/);
    assert.deepEqual(Object.keys(bin), ['pointsman']);
    assert.match(engines.node, /^>=26/);
    const changes = readFileSync(`${installed}/CHANGELOG.md`, 'utf8');
    assert.match(changes, /^## (Unreleased|\[?\d)/m);
    const chart = readFileSync(`${installed}/deploy/helm/pointsman/Chart.yaml`, 'utf8');
    assert.match(chart, new RegExp(`^appVersion: ${version.replaceAll('.', '\\.')}$`, 'm'));
  });
});
