/** deploy/fleet/README.md: every command in it runs, and its tables are those of the code. */

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { parseSettings } from '../../../src/fleet/settings.ts';
import { cleanUp } from '../../support/clean-up.ts';
import { deriveFleet, FLEET_README } from '../../support/fleet-docs.ts';
import { startApi, temporaryDirectory } from '../../support/fleet-process.ts';
import { serviceObjects } from '../../support/kubernetes-api/fleet-objects.ts';
import { MAIN } from '../../support/pointsman-process.ts';
import { SlackReceiver } from '../../support/slack-receiver.ts';
import { waitFor } from '../../support/wait-for.ts';

const readme = readFileSync(FLEET_README, 'utf8');
const blocks = (language: string) =>
  [...readme.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map(
    ([, body]) => body!,
  );
const commands = blocks('sh')
  .flatMap((block) => block.trim().split('\n'))
  .map((line) => line.replace(/\s+#.*$/, ''));

/** Until a signal ends them; what they print first. */
const LASTING: Readonly<Record<string, RegExp>> = {
  watch: /1 services/,
  serve: /listening on/,
  agent: /reporting cluster/,
};

describe('the guide to the overview', () => {
  it('has the tables of the code; node test/support/fleet-docs.ts writes them', () => {
    assert.equal(deriveFleet(readme), readme);
  });

  it('shows settings that are valid', () => {
    const environment = { SLACK_WEBHOOK_URL: 'https://hooks.example/x', SMTP_USER: 'u', SMTP_PASSWORD: 'p' };
    const [yaml] = blocks('yaml');
    assert.equal(parseSettings(yaml!, 'fleet.yaml', environment).alerts.email?.tls, 'required');
    const deployed = readFileSync(new URL('../../../deploy/fleet/base/config.yaml', import.meta.url), 'utf8');
    const settings = /fleet\.yaml: \|\n((?: {4}.*\n)+)/.exec(deployed)![1]!.replaceAll(/^ {4}/gm, '');
    assert.equal(parseSettings(settings, 'fleet.yaml', environment).cluster, 'shop-eu');
  });

  it('has at least a dozen commands', () => {
    assert.ok(commands.length >= 12, commands.join('\n'));
  });

  const kubectl = spawnSync('kubectl', ['version', '--client']).status === 0;
  for (const [index, command] of commands.entries()) {
    const isKubectl = command.startsWith('kubectl ');
    it(`runs ${command} (${index + 1})`, {
      skip: isKubectl && !kubectl ? 'kubectl is not installed' : false,
    }, async () => {
      if (isKubectl) {
        const root = fileURLToPath(new URL('../../../', import.meta.url));
        const { status, stderr } = spawnSync('bash', ['-c', command], { cwd: root, encoding: 'utf8' });
        assert.equal(status, 0, stderr);
        return;
      }
      assert.match(command, /^npm run -s pointsman -- fleet /);
      const api = await startApi();
      const objects = serviceObjects({ name: 'account-service', deployedAt: Date.now() - 86_400_000 });
      api.store.putAll(objects);
      const directory = temporaryDirectory();
      const slack = await new SlackReceiver().start();
      const file = (name: string, text: string) => writeFileSync(path.join(directory, name), text);
      file('fleet.yaml', stringify({ alerts: { slack: { url: slack.url } } }));
      file('agents', `on-premise-1 ${'a'.repeat(64)}\n`);
      file('token', 'a'.repeat(64));
      mkdirSync(path.join(directory, 'rendered'));
      const manifests = objects.filter(({ kind }) => ['Deployment', 'Service', 'ConfigMap'].includes(kind));
      file('rendered/all.yaml', manifests.map((object) => stringify(object)).join('---\n'));
      // Ports of a guide may be taken; what is said of them is not the point here.
      const args = command
        .slice('npm run -s pointsman -- '.length)
        .replace('127.0.0.1:9902', '127.0.0.1:0')
        .split(/\s+/);
      const child = spawn(process.execPath, [MAIN, ...args], {
        cwd: directory,
        env: {
          ...process.env,
          KUBECONFIG: api.writeKubeconfig(path.join(directory, 'kubeconfig')),
          NODE_OPTIONS: '',
        },
      });
      cleanUp(() => child.kill('SIGKILL'));
      let output = '';
      for (const stream of [child.stdout, child.stderr]) {
        stream.on('data', (chunk: Buffer) => {
          output += chunk.toString();
        });
      }
      const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
      const lasting = LASTING[args[1]!];
      if (lasting !== undefined) {
        await waitFor(`what ${args[1]} prints first`, () => lasting.test(output) || child.exitCode !== null);
        child.kill('SIGTERM');
      }
      assert.equal(await ended, 0, output);
    });
  }
});
