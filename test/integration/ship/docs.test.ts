/** deploy/README.md and deploy/running-in-production.md: their commands run, and what they name exists. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { kubernetesTools, whyNoKubernetesTools } from '../../support/kubernetes-tools.ts';
import { temporaryDirectory } from '../../support/pointsman-process.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const run = promisify(execFile);

const documents = ['deploy/README.md', 'deploy/running-in-production.md'].map((file) => ({
  file,
  text: readFileSync(path.join(ROOT, file), 'utf8'),
}));

const commands = documents.flatMap(({ text }) =>
  [...text.matchAll(/```sh\n([\s\S]*?)```/g)].flatMap((block) =>
    block[1]!
      .trim()
      .split('\n')
      .map((line) => line.replace(/\s+#.*$/, '')),
  ),
);

suite('the documents of the cluster', () => {
  test('have commands of every tool', () => {
    for (const program of ['docker', 'kubectl', 'helm', 'npm']) {
      assert.ok(
        commands.some((command) => command.startsWith(`${program} `)),
        program,
      );
    }
  });

  for (const command of commands.filter((line) => !line.startsWith('docker '))) {
    const skip = /^(kubectl|helm) /.test(command) ? whyNoKubernetesTools() : false;
    test(`run: ${command}`, { skip }, async () => {
      const bin = path.join(temporaryDirectory(), 'bin');
      mkdirSync(bin);
      if (skip === false && /^(kubectl|helm) /.test(command)) {
        const tools = kubernetesTools();
        for (const [name, file] of Object.entries(tools)) symlinkSync(file, path.join(bin, name));
      }
      const env = { ...process.env, PATH: `${bin}:${process.env['PATH']}` };
      const { stdout } = await run('sh', ['-c', command], { cwd: ROOT, env, maxBuffer: 16 * 1024 ** 2 });
      assert.ok(stdout.length > 0);
    });
  }

  for (const command of commands.filter((line) => line.startsWith('docker '))) {
    test(`build what there is: ${command}`, () => {
      // The file itself is built by image.test.ts.
      const file = /-f (\S+)/.exec(command)![1]!;
      const text = readFileSync(path.join(ROOT, file), 'utf8');
      const target = /--target (\S+)/.exec(command)?.[1];
      if (target !== undefined) assert.match(text, new RegExp(`^FROM .* AS ${target}$`, 'm'));
      for (const [, name] of command.matchAll(/--build-arg (\w+)=/g)) {
        assert.match(text, new RegExp(`^ARG ${name}$`, 'm'));
      }
      assert.match(command, / \.$/);
    });
  }

  test('link to files that exist, and name files that exist', () => {
    for (const { file, text } of documents) {
      for (const [, target] of text.matchAll(/\]\(([^)#:]+)\)/g)) {
        assert.ok(existsSync(path.join(ROOT, path.dirname(file), target!)), `${file}: ${target}`);
      }
    }
    for (const [, names] of documents[0]!.text.matchAll(/^\| (`[^|]*`) \| [a-z]/gm)) {
      for (const [, name] of names!.matchAll(/`([a-z][a-z./-]+)`/g)) {
        if (/^(account|-)/.test(name!)) continue;
        assert.ok(existsSync(path.join(ROOT, 'deploy', name!)), name!);
      }
    }
  });

  test('name metrics that there are', () => {
    // Not asked of a proxy: what has not happened yet is not exposed.
    const directory = path.join(ROOT, 'src/observe');
    const source = readdirSync(directory).map((file) => readFileSync(path.join(directory, file), 'utf8'));
    const known = new Set(source.join('').match(/(?<=')pointsman_[a-z_]+(?=')/g));
    const named = new Set([...documents[1]!.text.matchAll(/\bpointsman_[a-z_]+/g)].map((match) => match[0]));
    assert.ok(named.size >= 8);
    assert.deepEqual(
      [...named].filter((name) => !known.has(name)),
      [],
    );
  });
});
