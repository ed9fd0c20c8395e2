/** A reload that changes a backend's URL while DNS does not answer for the new one. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { FailureKind, Resolution } from '../../../src/backends/resolution.ts';
import { BackendSupervisor } from '../../../src/backends/supervisor.ts';
import { plainTargets } from '../../../src/backends/target.ts';
import { configSchema } from '../../../src/config/schema.ts';
import { ManualClock, settle } from './fixtures/manual-clock.ts';

async function reloaded(newAnswer: FailureKind) {
  const clock = new ManualClock();
  const answers = new Map<string, string[] | FailureKind>([
    ['old', ['10.0.0.1']],
    ['new', newAnswer],
  ]);
  const resolve = (host: string): Resolution => {
    const answer = answers.get(host)!;
    if (typeof answer === 'string') return { kind: 'failure', reason: answer, detail: `${host}: ${answer}` };
    return { kind: 'answer', targets: plainTargets(answer), ttlMs: 5_000, omitted: 0 };
  };
  const supervisor = new BackendSupervisor({
    clock,
    random: () => 0.5,
    log: { info: () => {}, warn: () => {} } as never,
    onEndpoints: () => {},
    makeResolver: () => ({ resolve: ({ host }) => Promise.resolve(resolve(host)), close: () => {} }),
    probe: () => Promise.resolve({ ok: true, detail: 'connected', durationMs: 1, local: false }),
  });
  const apply = async (url: string) => {
    supervisor.apply(
      configSchema.parse({ backends: { web: { url } }, routes: [{ name: 'all', split: {} }] }),
    );
    await settle();
  };
  await apply('http://old');
  await apply('http://new');
  const view = () => supervisor.endpoints()[0]!.endpoints.map(({ address }) => address);
  return { clock, answers, supervisor, apply, view };
}

describe('a changed URL', () => {
  for (const failure of ['timeout', 'serverFailure', 'refused', 'other'] as const) {
    test(`keeps the former endpoints while DNS cannot be asked (${failure}), says so, and moves on when it can`, async () => {
      const { view, supervisor, answers, clock } = await reloaded(failure);
      assert.deepEqual(view(), ['10.0.0.1']);
      assert.match(supervisor.status()[0]!.resolution.reason, new RegExp(`until new is ready: .*${failure}`));
      await supervisor.whenSettled();
      answers.set('new', ['10.0.0.2']);
      await clock.advance(60_000);
      assert.deepEqual(view(), ['10.0.0.2']);
      assert.equal(supervisor.status()[0]!.resolution.reason, '1 address');
    });
  }

  for (const failure of ['notFound', 'noAddresses'] as const) {
    test(`to a name without an address (${failure}) is what the file says`, async () => {
      const { view } = await reloaded(failure);
      assert.deepEqual(view(), []);
    });
  }

  test('that is taken back before it could be resolved leaves nothing behind', async () => {
    const { view, apply, supervisor, clock } = await reloaded('timeout');
    await apply('http://old');
    assert.deepEqual(view(), ['10.0.0.1']);
    assert.equal(supervisor.status()[0]!.resolution.reason, '1 address');
    supervisor.close();
    assert.equal(clock.pending, 0);
  });
});
