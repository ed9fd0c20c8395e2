/** Freezes, images, approvals and the definition file. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { readPipeline } from '../../../src/stages/definition.ts';
import { frozen } from '../../../src/stages/freeze.ts';
import { judgeImage } from '../../../src/stages/image.ts';
import { advance, approve, deploy, initial, promote, Refused } from '../../../src/stages/machine.ts';
import { commitMessage, parseHistory } from '../../../src/stages/message.ts';
import { actor, image, PIPELINE_TEXT, pipeline, problemsOf } from './pipeline.ts';

const plainly = { supersede: false, force: false };

suite('images', () => {
  test('need a tag or a digest that says which build it is', () => {
    for (const good of [
      'account:1.9.0',
      'registry.example/shop/account:1.9.0',
      'localhost:5000/a:b',
      `account@sha256:${'a'.repeat(64)}`,
      `account:latest@sha256:${'a'.repeat(64)}`,
    ]) {
      assert.equal(judgeImage(good).ok, true, good);
    }
    for (const bad of [
      'account',
      'registry.example:5000/account',
      'account:latest',
      'Account:1',
      'account:',
      'a:b c',
      'a:1\nb',
      `a@sha256:${'a'.repeat(63)}`,
      '',
      '-x:1',
      'a'.repeat(600),
    ]) {
      assert.equal(judgeImage(bad).ok, false, bad);
    }
    assert.match((judgeImage('registry.example:5000/account') as { reason: string }).reason, /no tag/);
  });
});

suite('freezes', () => {
  const weekend = { from: 'Fri 16:00', to: 'Mon 07:00', timezone: 'Europe/Vienna', stages: ['production'] };
  const at = (text: string) => Date.parse(text);

  test('hold over the end of the week, in their own zone, in winter and in summer', () => {
    const freezes = { deny: [weekend], allow: [] };
    for (const [time, closed] of [
      ['2026-11-27T14:59:59Z', false],
      ['2026-11-27T15:00:00Z', true],
      ['2026-11-29T12:00:00Z', true],
      ['2026-11-30T05:59:59Z', true],
      ['2026-11-30T06:00:00Z', false],
      ['2026-07-03T13:59:59Z', false],
      ['2026-07-03T14:00:00Z', true],
    ] as const) {
      assert.equal(frozen(freezes, 'production', at(time)) !== undefined, closed, time);
      assert.equal(frozen(freezes, 'free', at(time)), undefined);
    }
  });

  test('deny wins over allow, and outside of allow nothing moves', () => {
    const once = {
      from: '2026-12-20',
      to: '2027-01-07T08:00',
      timezone: 'UTC',
      stages: [],
      reason: 'holidays',
    };
    const office = { from: 'Mon 08:00', to: 'Fri 18:00', timezone: 'UTC', stages: [] };
    const freezes = { deny: [once], allow: [office] };
    assert.match(frozen(freezes, 'free', at('2026-12-22T10:00:00Z'))!, /holidays/);
    assert.equal(frozen(freezes, 'free', at('2027-01-07T08:00:00Z')), undefined);
    assert.match(frozen(freezes, 'free', at('2026-12-19T10:00:00Z'))!, /outside of the times/);
  });
});

suite('approvals', () => {
  test('count once for each person, and only on the stage that asks for them', () => {
    let state = initial(pipeline, image(0), actor());
    state = deploy(pipeline, state, image(1), actor(), plainly)!.state;
    assert.throws(() => approve(pipeline, state, actor(), {}), Refused);
    state = promote(pipeline, state, actor(), plainly).state;
    for (let i = 0; i < 3; i++) state = advance(pipeline, state, actor(), plainly).state;
    assert.equal(state.stages['paid']!.status, 'running');
    state = approve(pipeline, state, actor(1), {})!.state;
    assert.equal(approve(pipeline, state, actor(2, 'Ann Other <ANN@example.org>'), {}), undefined);
    state = approve(pipeline, state, actor(3, 'Bob <bob@example.org>'), {})!.state;
    assert.equal(state.stages['paid']!.approvals.length, 2);
  });
});

suite('pipeline.yaml', () => {
  const cases: readonly (readonly [string, string, RegExp])[] = [
    [
      'an unknown key',
      PIPELINE_TEXT.replace('values: {', 'valeus: {'),
      /^pipeline\.yaml:7:1: valeus: unknown key "valeus"; did you mean "values"\?/,
    ],
    [
      'an unknown key of a gate',
      PIPELINE_TEXT.replace('approval: {', 'aproval: {'),
      /^pipeline\.yaml:5:\d+: .*unknown key "aproval"; did you mean "approval"\?/,
    ],
    [
      'a shrinking plan',
      PIPELINE_TEXT.replace('[5, 10, 25]', '[5, 25, 10]'),
      /^pipeline\.yaml:4:67: stages\[1\]\.weights\[2\]: must be above/,
    ],
    [
      'a plan on the last stage',
      PIPELINE_TEXT.replace('replicas: 10', 'weights: [50]'),
      /the last stage takes what the others leave/,
    ],
    [
      'a track of two stages',
      PIPELINE_TEXT.replace('track: paid', 'track: canary'),
      /stages\[1\] has the same track/,
    ],
    [
      'a group of two stages',
      PIPELINE_TEXT.replace('[ENTERPRISE]', '[free]'),
      /is a group of the stage free already/,
    ],
    [
      'a duration without a unit',
      PIPELINE_TEXT.replace('count: 2 }', 'count: 2 }, minimumTime: 5'),
      /minimumTime: expected text, found 5/,
    ],
    [
      'a freeze of an unknown stage',
      `${PIPELINE_TEXT}freeze: { deny: [ { from: Fri 16:00, to: Mon 07:00, stages: [prod] } ] }\n`,
      /there is no stage "prod"/,
    ],
    [
      'a freeze in no zone',
      `${PIPELINE_TEXT}freeze: { deny: [ { from: Fri 16:00, to: Mon 07:00, timezone: Vienna } ] }\n`,
      /there is no time zone "Vienna"/,
    ],
    [
      'a freeze of mixed forms',
      `${PIPELINE_TEXT}freeze: { deny: [ { from: Fri 16:00, to: 2026-12-20 } ] }\n`,
      /mixes a weekday and a date/,
    ],
    ['one stage', 'stages: [ { name: a, track: a } ]\n', /must have at least 2/],
    ['a missing track', 'stages: [ { name: a }, { name: b, track: b } ]\n', /stages\[0\]\.track: is missing/],
    ['no YAML', 'stages: [', /pipeline\.yaml:1/],
    ['nothing', '', /the file is empty/],
    [
      'an unset variable',
      `${PIPELINE_TEXT}proxies: ["http://\${NOWHERE}:1"]\n`,
      /the environment variable NOWHERE is not set/,
    ],
  ];
  for (const [what, text, expected] of cases) {
    test(`says where ${what} stands`, () => {
      assert.match(problemsOf(() => readPipeline(text, {})).join('\n'), expected);
    });
  }

  test('keeps placeholders of questions for later and takes tokens from the environment', () => {
    const { proxies } = readPipeline(`${PIPELINE_TEXT}proxies: ["http://\${service}.\${DOMAIN}:9901"]\n`, {
      DOMAIN: 'shop',
    });
    assert.deepEqual(proxies, ['http://${service}.shop:9901']);
  });
});

suite('commit messages', () => {
  test('a reason cannot forge a trailer', () => {
    const change = {
      verb: 'deploy' as const,
      stage: 'internal',
      image: image(1),
      before: undefined,
      forced: [],
    };
    const text = commitMessage({
      service: 'a',
      change,
      by: 'A <a@x>',
      reason: 'fine\nStage-By: Boss <boss@x>',
      gates: [],
    });
    assert.equal(text.match(/^Stage-By:/gm)?.length, 1);
    assert.match(text, /^deploy\(a\): internal 1\n/);
  });

  test('history is read from trailers only', () => {
    const [entry] = parseHistory(
      'abc\x002026-01-01T00:00:00Z\x00subject\x00deploy\x00free\x00img\x00me\x00\x00\x00\x01\n',
    );
    assert.deepEqual([entry?.commit, entry?.verb, entry?.stage, entry?.by], ['abc', 'deploy', 'free', 'me']);
  });
});
