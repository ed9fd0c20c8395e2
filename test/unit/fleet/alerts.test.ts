import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Alerter } from '../../../src/fleet/alerts/alerter.ts';
import {
  type AlertState,
  alertStateSchema,
  attempted,
  type Delivery,
  delivered,
  dueMessages,
  type Message,
  NOTHING_KNOWN,
  type Notice,
  nextState,
} from '../../../src/fleet/alerts/state.ts';
import { FileStore } from '../../../src/fleet/alerts/state-store.ts';
import { mailHtml, mailText, slackPayload, subjectOf } from '../../../src/fleet/alerts/text.ts';
import type { Finding, Severity } from '../../../src/fleet/finding.ts';
import { cleanUp } from '../../support/clean-up.ts';
import { DEFAULTS } from './fixtures.ts';

const MINUTE = 60_000;
const START = 1_000_000_000_000;
const settings = { ...DEFAULTS.alerts, perHour: 1_000 };

function finding(service: string, severity: Severity = 'warning', kind = 'rollout-paused'): Finding {
  return {
    kind,
    severity,
    namespace: 'shop',
    service,
    object: `Deployment/${service}`,
    message: `${service} is wrong`,
    since: 0,
    advice: 'repair it',
  };
}

/** Surveys two minutes apart; every message is delivered at once. What was told, survey by survey. */
function tell(surveys: readonly (readonly Finding[])[], over = settings, stepMs = 2 * MINUTE): string[][] {
  let state: AlertState = NOTHING_KNOWN;
  return surveys.map((findings, index) => {
    const at = START + index * stepMs;
    state = nextState(state, { cluster: 'c', at, findings }, over, ['slack']);
    const told = dueMessages(state, over, at);
    for (const { id } of told) state = delivered(attempted(state, id), id, { result: 'sent' }, at);
    assert.ok(told.length <= 1, 'one message per survey');
    return told.flatMap(({ notices }) => notices.map(({ what, service }) => `${what} ${service}`));
  });
}

describe('alerts', () => {
  const a = finding('a');
  it('tell of a warning that two surveys saw, once, and of its end that two did not see it, once', () => {
    assert.deepEqual(tell([[a], [a], [a], [a], [], [], []]), [
      [],
      ['firing a'],
      [],
      [],
      [],
      ['resolved a'],
      [],
    ]);
  });
  it('tell of what is critical at once', () => {
    assert.deepEqual(tell([[finding('a', 'critical')]]), [['firing a']]);
  });
  it('say nothing of what one survey saw, nor of what one survey missed', () => {
    assert.deepEqual(tell([[a], [], [a], [a], [], [a], [a]]), [[], [], [], ['firing a'], [], [], []]);
  });
  it('remind of what stays broken, and say when it gets worse', () => {
    const hourly = tell([[a], [a], [a], [a], [a], [a], [a]], settings, 60 * MINUTE);
    assert.deepEqual(hourly, [[], ['firing a'], [], [], [], ['reminder a'], []]);
    assert.deepEqual(tell([[a], [a], [finding('a', 'critical')], [finding('a', 'critical')]]), [
      [],
      ['firing a'],
      ['worse a'],
      [],
    ]);
  });
  it('put all of one survey into one message', () => {
    assert.deepEqual(tell([[finding('a', 'critical'), finding('b', 'critical')]]), [
      ['firing a', 'firing b'],
    ]);
  });
  it('say once that something flaps, and then nothing until it is quiet', () => {
    const c = [finding('a', 'critical')];
    const quick = { ...settings, resolveAfter: 1 };
    const told = tell([c, [], c, [], c, [], c, []], quick);
    assert.deepEqual(told.flat(), ['firing a', 'resolved a', 'firing a', 'flapping a']);
  });
  it('take nothing for recovered while its namespace cannot be seen', () => {
    const blind: Finding = {
      kind: 'not-seen',
      severity: 'unknown',
      namespace: 'shop',
      service: '',
      object: 'Kind/Pod',
      message: 'forbidden',
      since: 0,
      advice: 'grant it',
    };
    assert.deepEqual(tell([[a], [a], [blind], [blind], [blind], [a]]), [
      [],
      ['firing a'],
      [],
      ['firing '],
      [],
      [],
    ]);
  });
  it('leave out what is below the least severity', () => {
    assert.deepEqual(tell([[a], [a]], { ...settings, least: 'critical' }), [[], []]);
  });
});

describe('the outbox', () => {
  const broken = (...names: string[]) => names.map((name) => finding(name, 'critical'));
  const first = nextState(NOTHING_KNOWN, { cluster: 'c', at: START, findings: broken('a') }, settings, [
    'slack',
    'email',
  ]);

  it('keeps a message that could not be delivered, doubles the pause, and heeds Retry-After', () => {
    const [message] = first.outbox;
    let state = first;
    let at = START;
    const pauses: number[] = [];
    for (let i = 0; i < 4; i++) {
      state = delivered(attempted(state, message!.id), message!.id, { result: 'later', error: 'away' }, at);
      const { notBefore, attempts } = state.outbox.find(({ id }) => id === message!.id)!;
      pauses.push((notBefore - at) / 1_000);
      assert.equal(attempts, i + 1);
      assert.ok(!dueMessages(state, settings, notBefore - 1).some(({ id }) => id === message!.id));
      at = notBefore;
      assert.ok(dueMessages(state, settings, at).some(({ id }) => id === message!.id));
    }
    assert.deepEqual(pauses, [5, 10, 20, 40]);
    const limited = delivered(
      attempted(first, message!.id),
      message!.id,
      { result: 'later', error: '429', retryAfterMs: 90_000 },
      START,
    );
    assert.equal(limited.outbox.find(({ id }) => id === message!.id)!.notBefore, START + 90_000);
  });

  it('merges what comes while a message waits untried, and never changes one that was tried', () => {
    const merged = nextState(first, { cluster: 'c', at: START + 1, findings: broken('a', 'b') }, settings, [
      'slack',
    ]);
    assert.deepEqual(
      merged.outbox
        .filter(({ channel }) => channel === 'slack')
        .map(({ notices }) => notices.map(({ service }) => service)),
      [['a', 'b']],
    );
    const tried = attempted(first, first.outbox[0]!.id);
    const apart = nextState(tried, { cluster: 'c', at: START + 1, findings: broken('a', 'b') }, settings, [
      'slack',
    ]);
    assert.deepEqual(
      apart.outbox
        .filter(({ channel }) => channel === 'slack')
        .map(({ notices }) => notices.map(({ service }) => service)),
      [['a'], ['b']],
    );
  });

  it('sends no more per hour than allowed, and what waited is one message then', () => {
    const few = { ...settings, perHour: 2 };
    let state: AlertState = NOTHING_KNOWN;
    const sent: string[][] = [];
    for (let i = 0; i < 40; i++) {
      const at = START + i * 2 * MINUTE;
      const findings = broken(...Array.from({ length: Math.min(i + 1, 20) }, (_, n) => `s${n}`));
      state = nextState(state, { cluster: 'c', at, findings }, few, ['slack']);
      for (const { id, notices } of dueMessages(state, few, at)) {
        sent.push(notices.map(({ service }) => service));
        state = delivered(attempted(state, id), id, { result: 'sent' }, at);
      }
    }
    assert.deepEqual(
      sent.map(({ length }) => length),
      [1, 1, 18],
    );
    assert.equal(new Set(sent.flat()).size, 20);
  });
});

describe('over any history of surveys and deliveries', () => {
  const survey = fc.uniqueArray(
    fc.record({
      service: fc.constantFrom('a', 'b', 'c', 'd'),
      severity: fc.constantFrom<Severity>('warning', 'critical'),
    }),
    { selector: ({ service }) => service, maxLength: 4 },
  );
  const step = fc.record({
    survey,
    result: fc.constantFrom<Delivery['result']>('sent', 'later', 'refused'),
    minutes: fc.integer({ min: 1, max: 40 }),
  });

  it('every change is told exactly once, firing and recovered in turn, and the state stays valid', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const calm = { ...settings, flapping: 100 };
        let state: AlertState = NOTHING_KNOWN;
        let at = START;
        const told: Notice[] = [];
        const round = (result: Delivery['result']) => {
          for (const { id, notices } of dueMessages(state, calm, at)) {
            state = attempted(state, id);
            if (result === 'sent') told.push(...notices);
            state = delivered(state, id, result === 'sent' ? { result } : { result, error: 'no' }, at);
          }
        };
        for (const { survey: seen, result, minutes } of steps) {
          at += minutes * MINUTE;
          state = nextState(
            state,
            { cluster: 'c', at, findings: seen.map(({ service, severity }) => finding(service, severity)) },
            calm,
            ['slack'],
          );
          state = alertStateSchema.parse(JSON.parse(JSON.stringify(state)));
          round(result);
        }
        // In the end everything recovers and the receiver is back.
        for (let i = 0; i < 40; i++) {
          at += 20 * MINUTE;
          state = nextState(state, { cluster: 'c', at, findings: [] }, calm, ['slack']);
          round('sent');
        }
        assert.deepEqual(state.outbox, []);
        for (const service of ['a', 'b', 'c', 'd']) {
          const of = told.filter((notice) => notice.service === service).map(({ what }) => what);
          // A reminder or worse only while it is broken; an end only after a beginning, unless both waited untold.
          let open = false;
          for (const what of of) {
            if (what === 'firing') {
              assert.equal(open, false, `${service}: ${of}`);
              open = true;
            } else if (what === 'resolved') open = false;
            else assert.equal(open, true, `${service}: ${of}`);
          }
          assert.equal(open, false, `${service}: ${of}`);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('the state file', () => {
  const directory = () => {
    const made = mkdtempSync(path.join(tmpdir(), 'pointsman-alerts-'));
    cleanUp(() => rmSync(made, { recursive: true, force: true }));
    return made;
  };

  it('is empty at first, survives, and leaves no temporary file', async () => {
    const folder = directory();
    const store = new FileStore(path.join(folder, 'state.json'));
    assert.deepEqual(await store.load(), NOTHING_KNOWN);
    const state = nextState(
      NOTHING_KNOWN,
      { cluster: 'c', at: START, findings: [finding('a', 'critical')] },
      settings,
      ['slack'],
    );
    await store.save(state);
    assert.deepEqual(await store.load(), state);
    assert.deepEqual(readdirSync(folder), ['state.json']);
  });

  it('that is broken is refused with its name rather than taken for empty', async () => {
    const file = path.join(directory(), 'state.json');
    writeFileSync(file, '{"version":1');
    await assert.rejects(new FileStore(file).load(), /state\.json is no JSON; delete it/);
    writeFileSync(file, '{"version":7}');
    await assert.rejects(new FileStore(file).load(), /is no state of pointsman fleet alert/);
  });

  it('that cannot be written keeps everything from being sent', async () => {
    const sent: Message[] = [];
    const alerter = new Alerter({
      settings,
      store: new FileStore('/nowhere/at/all/state.json'),
      send: {
        slack: (message) => {
          sent.push(message);
          return Promise.resolve({ result: 'sent' });
        },
      },
      now: () => START,
      onDelivery: () => {},
    });
    await assert.rejects(alerter.observe('c', START, [finding('a', 'critical')]), /cannot be written/);
    await alerter.deliver();
    assert.deepEqual(sent, []);
  });
});

describe('what is sent', () => {
  const nasty = 'a <!channel> & *b*\r\nBcc: x@example.org \x1b[31m';
  const state = nextState(
    NOTHING_KNOWN,
    {
      cluster: 'c',
      at: START,
      findings: Array.from({ length: 60 }, (_, i) => ({
        ...finding(`service-${i}`, 'critical'),
        message: nasty,
      })),
    },
    settings,
    ['slack'],
  );
  const [message] = state.outbox;

  it('has a subject of one line, whatever objects are called', () => {
    const subject = subjectOf({ ...message!, notices: [{ ...message!.notices[0]!, service: nasty }] });
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    assert.doesNotMatch(subject, /[\u0000-\u001f]/);
    assert.match(subject, /^\[c\] 1 broken: a /);
  });

  it('keeps to the limits of Slack and calls nobody', () => {
    const payload = slackPayload(message!);
    assert.ok(payload.blocks.length <= 50);
    const text = JSON.stringify(payload);
    assert.ok(text.length < 13_000, `${text.length}`);
    assert.match(text, /and 40 more/);
    assert.doesNotMatch(text, /<!channel>/);
    assert.match(text, /&lt;!channel&gt; &amp;/);
  });

  it('names everything in the e-mail, as text and as HTML that holds no markup of others', () => {
    assert.equal(mailText(message!).match(/^BROKEN critical/gm)?.length, 60);
    const html = mailHtml(message!);
    assert.match(html, /&lt;!channel&gt; &amp; \*b\*/);
    assert.doesNotMatch(html, /<!channel/);
  });
});
