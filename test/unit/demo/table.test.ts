import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { readConfig } from '../../../src/config/load.ts';
import { demoConfigText, withCanaryWeight } from '../../../src/demo/table.ts';

const TEXT = demoConfigText({ internal: 4001, canary: 4002, paid: 4003, production: 4004 });

async function load(text: string) {
  const directory = mkdtempSync(path.join(tmpdir(), 'pointsman-test-'));
  try {
    const file = path.join(directory, 'pointsman.yaml');
    writeFileSync(file, text);
    return await readConfig(file, {});
  } finally {
    rmSync(directory, { recursive: true });
  }
}

describe('the table of the demo', () => {
  it('is a configuration without errors or warnings', async () => {
    const { config, problems } = await load(TEXT);
    assert.deepEqual(problems, []);
    assert.deepEqual(
      config?.routes.map(({ name, split, pin }) => ({ name, split: { ...split }, pin })),
      [
        { name: 'internal', split: { internal: 100 }, pin: undefined },
        { name: 'free', split: { canary: 5, production: 95 }, pin: 'user' },
        { name: 'enterprise', split: { production: 100 }, pin: undefined },
        { name: 'paid', split: { paid: 5, production: 95 }, pin: 'user' },
      ],
    );
    assert.equal(config?.pins['user']?.store, 'memory');
    assert.equal(config?.accessLog.mode, 'off');
  });

  it('takes another weight of the canary, and nothing else changes', async () => {
    const edited = withCanaryWeight(TEXT, 25);
    assert.ok(edited !== undefined);
    const { config } = await load(edited);
    assert.deepEqual({ ...config?.routes[1]?.split }, { canary: 25, production: 75 });
    assert.equal(withCanaryWeight(edited, 5), TEXT);
  });

  it('is not edited when the row was written anew by a person', () => {
    assert.equal(withCanaryWeight(TEXT.replace('- { name: free,', '- {name: free,'), 25), undefined);
  });
});
