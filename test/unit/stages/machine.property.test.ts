/** Whatever people do in whatever order, the promises of the pipeline hold. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import {
  advance,
  approve,
  brokenPromise,
  deploy,
  initial,
  type Outcome,
  promote,
  Refused,
  rollback,
  weightOf,
} from '../../../src/stages/machine.ts';
import { renderService } from '../../../src/stages/render.ts';
import { readState, type ServiceState, stateText } from '../../../src/stages/state.ts';
import { actor, image, pipeline, shippedTemplates } from './pipeline.ts';

const STAGES = pipeline.stages.map(({ name }) => name);
const stage = fc.option(fc.constantFrom(...STAGES), { nil: undefined });

const action = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('deploy' as const),
      build: fc.integer({ min: 1, max: 6 }),
      supersede: fc.boolean(),
      force: fc.boolean(),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constantFrom('advance' as const, 'promote' as const),
      stage,
      to: fc.constant(undefined),
      supersede: fc.boolean(),
      force: fc.constant(false),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('promote' as const),
      stage,
      to: stage,
      supersede: fc.boolean(),
      force: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('rollback' as const),
      stage,
      to: stage,
      mode: fc.constantFrom('drain' as const, 'evacuate' as const),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('approve' as const),
      stage,
      who: fc.constantFrom('a@x', 'b@x'),
    }),
  },
);
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;

function act(state: ServiceState, done: Action, at: number): Outcome | undefined {
  const by = actor(at);
  switch (done.kind) {
    case 'deploy':
      return deploy(pipeline, state, image(done.build), by, done);
    case 'advance':
      return advance(pipeline, state, by, done);
    case 'promote':
      return promote(pipeline, state, by, { ...done, reason: 'because' });
    case 'rollback':
      return rollback(pipeline, state, by, { ...done, reason: 'bad' });
    case 'approve':
      return approve(pipeline, state, { ...by, by: done.who }, done);
  }
}

/** Calls `check` before and after every action that was not refused. */
function histories(
  check: (before: ServiceState, done: Action, outcome: Outcome, index: number) => void,
): void {
  const start = fc.option(fc.constant(image(0)), { nil: undefined });
  fc.assert(
    fc.property(start, fc.array(action, { minLength: 20, maxLength: 120, size: 'max' }), (first, actions) => {
      let state = initial(pipeline, first, actor());
      for (const [index, done] of actions.entries()) {
        let outcome: Outcome | undefined;
        try {
          outcome = act(state, done, index + 1);
        } catch (error) {
          if (error instanceof Refused) continue;
          throw error;
        }
        if (outcome === undefined) continue;
        check(state, done, outcome, index);
        state = outcome.state;
      }
    }),
    { numRuns: 200 },
  );
}

suite('the pipeline, over random histories', () => {
  test('production never runs a build that has not been through every stage, unless a skip is on record', () => {
    histories((_, __, { state }) => assert.equal(brokenPromise(pipeline, state), undefined));
  });

  test('without force, a build enters a stage only from the one before it', () => {
    histories((before, done, { state, change }) => {
      if (done.kind !== 'promote' && done.kind !== 'advance') return;
      if (change.verb !== 'promote' || change.forced.length > 0) return;
      const index = STAGES.indexOf(change.stage);
      const from = before.stages[STAGES[index - 1]!]!;
      assert.equal(from.status, 'running');
      assert.equal(from.image, change.image);
      assert.equal(from.step, pipeline.stages[index - 1]!.weights.length - 1, 'the plan was walked');
      assert.equal(state.stages[change.stage]!.image, change.image);
    });
  });

  test('an image comes to a track only while the table gives it the first weight of the plan at most', () => {
    histories((before, _, { state }) => {
      for (const one of pipeline.stages.slice(1, -1)) {
        const old = before.stages[one.name]!;
        const now = state.stages[one.name]!;
        if (old.image === now.image || now.status !== 'running') continue;
        const weight = weightOf(one, old);
        assert.ok(weight === 'drain' || weight <= one.weights[0]!, `${one.name} was at ${weight} %`);
        assert.equal(weightOf(one, now), one.weights[0]);
      }
    });
  });

  test('a build on trial is displaced only by supersede, rollback or production', () => {
    histories((before, done, { state, change }) => {
      if (done.kind === 'rollback' || ('supersede' in done && done.supersede)) return;
      for (const name of STAGES.slice(0, -1)) {
        const old = before.stages[name]!;
        const now = state.stages[name]!;
        if (old.status === 'running' && old.image !== now.image)
          assert.fail(`${change.verb} displaced ${old.image} on ${name}`);
      }
    });
  });

  test('after a rollback the build is on no stage beyond the one it was sent to, and users are on it only by draining', () => {
    histories((before, done, { state, change }) => {
      if (done.kind !== 'rollback') return;
      const keep = done.to === undefined ? -1 : STAGES.indexOf(done.to);
      for (const [index, name] of STAGES.entries()) {
        const slot = state.stages[name]!;
        if (index <= keep || slot.image !== change.before) continue;
        assert.equal(
          slot.status,
          'draining',
          `${name} after ${JSON.stringify(done)} of ${JSON.stringify(before.stages)}`,
        );
        assert.equal(done.mode, 'drain');
      }
      assert.ok(state.held.some((held) => held.image === change.before));
    });
  });

  test('what production would go back to is another build, and none that was rolled back', () => {
    histories((_, __, { state }) => {
      const { image: now } = state.stages['production']!;
      assert.ok(now === undefined || !state.previous.includes(now), 'it runs already');
      assert.equal(new Set(state.previous).size, state.previous.length);
      for (const { image: held } of state.held) assert.ok(!state.previous.includes(held), held);
    });
  });

  test('a rollback is refused only when there is nothing to go back from or to', () => {
    histories((_, __, { state }) => {
      const onTrial = STAGES.slice(0, -1).filter((name) => state.stages[name]!.status === 'running');
      for (const name of onTrial) {
        const production = state.stages['production']!.image;
        if (production === state.stages[name]!.image && state.previous.length === 0) continue;
        assert.ok(rollback(pipeline, state, actor(99), { stage: name, mode: 'evacuate', reason: 'x' }));
      }
    });
  });

  test('a build that was rolled back does not come again without force', () => {
    histories((before, done, { change }) => {
      if (
        done.kind === 'rollback' ||
        done.kind === 'approve' ||
        change.weights !== undefined ||
        change.image === undefined
      )
        return;
      if (!before.held.some((held) => held.image === change.image) || change.verb === 'advance') return;
      assert.ok('force' in done && done.force, `${change.verb} of a held build`);
      assert.ok(change.forced.includes('held'));
    });
  });

  test('a track without a build of its own gets no traffic, and weights only come from the plan', () => {
    histories((_, __, { state }) => {
      for (const one of pipeline.stages.slice(0, -1)) {
        const slot = state.stages[one.name]!;
        const weight = weightOf(one, slot);
        if (slot.status === 'empty' || slot.status === 'stable') assert.equal(weight, 0);
        else if (slot.status === 'draining') assert.equal(weight, 'drain');
        else assert.ok(one.weights.includes(weight as number));
        if (slot.status === 'stable') assert.equal(slot.image, state.stages['production']!.image);
      }
    });
  });

  test('every state can be written, read back unchanged, and rendered to a table that proxies take', () => {
    const files = shippedTemplates();
    let rendered = 0;
    histories((_, __, { state }, index) => {
      const text = stateText(state);
      assert.equal(stateText(readState(text, 'account', pipeline)), text);
      if (index % 7 !== 0 || rendered++ > 60) return;
      const input = { service: 'account', pipeline, definition: { replicas: {}, values: {} }, state, files };
      const once = renderService(input);
      assert.deepEqual([...renderService(input).files], [...once.files]);
      const enterprise = once.table.config.routes.find(({ name }) => name === 'enterprise');
      assert.deepEqual(enterprise?.split, { production: 100 });
    });
    assert.ok(rendered > 20);
  });
});
