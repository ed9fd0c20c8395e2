/** The scripts of `pointsman completion`, asked as the shells ask them. */

import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { temporaryDirectory } from '../../support/pointsman-process.ts';

const MAIN = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));
const run = promisify(execFile);

async function pointsman(...args: string[]): Promise<string> {
  return (await run(process.execPath, [MAIN, ...args], { env: { ...process.env, NODE_OPTIONS: '' } })).stdout;
}

const directory = temporaryDirectory();
writeFileSync(path.join(directory, 'my table.yaml'), '');
mkdirSync(path.join(directory, 'manifests'));

const scripts = temporaryDirectory();

type Ask = (line: string) => string[];

/** What each shell offers for a line that ends where the cursor is. */
const SHELLS: Readonly<Record<string, (script: string) => Ask>> = {
  bash: (script) => (line) => {
    const words = line.split(' ');
    const code = `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _pointsman; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return ask('bash', ['--norc', '-c', code, 'bash', script, ...words]);
  },
  // The real function with the three functions of zsh's completion system that it calls written out.
  zsh: (script) => (line) => {
    const words = line.split(' ');
    const code = `compdef() {}
compadd() { shift; print -l -- "$@" }
_files() { print -l -- *\${1:+(/)} }
_message() {}
_describe() { [[ $1 = -o ]] && shift; print -l -- \${\${(P)2}%%:*} }
source "$1"; shift; words=("$@"); CURRENT=$#; _pointsman`;
    const prefix = words.at(-1)!;
    return ask('zsh', ['-f', '-c', code, 'zsh', script, ...words]).filter((word) => word.startsWith(prefix));
  },
  fish: (script) => (line) => {
    const answer = ask('fish', ['--no-config', '-c', 'source $argv[1]; complete -C $argv[2]', script, line]);
    return answer.map((one) => one.split('\t')[0]!.replaceAll('\\ ', ' '));
  },
};

function ask(shell: string, args: readonly string[]): string[] {
  const { status, stdout, stderr } = spawnSync(shell, args, { cwd: directory, encoding: 'utf8' });
  assert.equal(stderr, '');
  assert.equal(status, 0);
  return stdout.split('\n').filter((word) => word !== '');
}

for (const [shell, asking] of Object.entries(SHELLS)) {
  const missing = spawnSync(shell, ['--version']).status === 0 ? false : `${shell} is not installed`;
  suite(`the completion of ${shell}`, { skip: missing }, () => {
    let offers: Ask;
    before(async () => {
      const script = path.join(scripts, shell);
      writeFileSync(script, await pointsman('completion', shell));
      offers = asking(script);
    });

    test('knows every command', async () => {
      const help = await pointsman('--help');
      const commands = [...help.matchAll(/^ {2}([a-z]+) {2,}/gm)].map((match) => match[1]!);
      assert.ok(commands.length >= 11);
      assert.deepEqual(
        commands.filter((name) => !offers('pointsman ').includes(name)),
        [],
      );
      assert.deepEqual(offers('pointsman exp'), ['explain']);
    });

    test('knows every option of every command and subcommand', async () => {
      for (const command of [
        ['run'],
        ['check'],
        ['explain'],
        ['plan'],
        ['pins', 'forget'],
        ['import'],
        ['stage', 'rollback'],
        ['fleet', 'status'],
        ['fleet', 'serve'],
        ['fleet', 'agent'],
        ['ctl', 'split'],
        ['demo'],
      ]) {
        const help = await pointsman(...command, '--help');
        const named = [...help.matchAll(/^ +(?:-\w, )?(--[a-z-]+)(?=[ ,]|$)/gm)].map((match) => match[1]!);
        assert.ok(named.includes('--help'), help);
        const offered = offers(`pointsman ${command.join(' ')} --`);
        assert.deepEqual(
          named.filter((option) => !offered.includes(option)),
          [],
          command.join(' '),
        );
      }
    });

    test('knows subcommands, and the options of one of them alone', () => {
      assert.deepEqual(offers('pointsman fleet se'), ['serve']);
      assert.deepEqual(offers('pointsman ctl und'), ['undrain']);
      assert.ok(offers('pointsman stage rollback --').includes('--evacuate'));
      assert.ok(!offers('pointsman stage deploy --').includes('--evacuate'));
      assert.ok(offers('pointsman fleet serve --').includes('--tls-key'));
      assert.ok(!offers('pointsman fleet kinds --').includes('--tls-key'));
    });

    test('knows the values of options', () => {
      assert.deepEqual(offers('pointsman explain --output ').sort(), ['json', 'text']);
      assert.deepEqual(offers('pointsman explain -o j'), ['json']);
      assert.deepEqual(offers('pointsman fleet status --output w'), ['wide']);
      assert.deepEqual(offers('pointsman fleet status --proxies o'), ['off']);
      assert.deepEqual(offers('pointsman completion z'), ['zsh']);
      assert.deepEqual(offers('pointsman explain --group '), []);
    });

    test('offers files where a file is meant, also with a blank in the name, and directories elsewhere', () => {
      assert.deepEqual(offers('pointsman run --config my'), ['my table.yaml']);
      assert.deepEqual(offers('pointsman check my'), ['my table.yaml']);
      assert.deepEqual(
        offers('pointsman stage status --repo m').map((name) => name.replace(/\/$/, '')),
        ['manifests'],
      );
    });
  });
}

test('pointsman completion says which shells there are', async () => {
  await assert.rejects(pointsman('completion', 'tcsh'), /name the shell: bash, zsh, fish/);
});
