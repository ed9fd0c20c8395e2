import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { portsOf } from '../../../src/demo/child.ts';
import { eventOf } from '../../../src/demo/events.ts';

const TIME = '2026-01-31T12:00:00.000Z';

function told(entry: Record<string, unknown>) {
  return eventOf(JSON.stringify({ time: TIME, level: 'info', ...entry }), 0);
}

describe('events from the log of the proxy', () => {
  it('tell of health with its reason, at the time of the line', () => {
    const down = told({
      msg: 'endpoint is down',
      backends: ['canary'],
      from: 'up',
      reason: 'connection refused',
    });
    assert.deepEqual(down, {
      at: Date.parse(TIME),
      text: 'proxy: canary is down: connection refused',
      tone: 'bad',
    });
    assert.equal(
      told({ msg: 'endpoint is up', backends: ['canary'], from: 'down', reason: 'x' })?.tone,
      'good',
    );
  });

  it('say nothing of the first good check', () => {
    assert.equal(
      told({ msg: 'endpoint is up', backends: ['canary'], from: 'unchecked', reason: 'x' }),
      undefined,
    );
  });

  it('name the row of several changes once', () => {
    const changes = ['route free: canary 5 → 25', 'route free: production 95 → 75', 'route paid: paid 5 → 6'];
    assert.equal(
      told({ msg: 'configuration reloaded', changes })?.text,
      'proxy: reloaded: route free: canary 5 → 25; production 95 → 75; route paid: paid 5 → 6',
    );
  });

  it('show errors of a file that was edited by hand', () => {
    const problems = ['pointsman.yaml:12:3: is not a weight'];
    const event = told({ level: 'error', msg: 'not taken over', problems });
    assert.deepEqual(
      [event?.text, event?.tone],
      ['proxy: not taken over: pointsman.yaml:12:3: is not a weight', 'bad'],
    );
  });

  it('pass over other lines and what is no line of the log', () => {
    assert.equal(told({ msg: 'name resolved' }), undefined);
    for (const line of ['', '{', 'Debugger listening', '[1]']) assert.equal(eventOf(line, 0), undefined);
  });

  it('the line that says where the proxy listens gives its ports', () => {
    const line = { level: 'info', msg: 'listening', traffic: '127.0.0.1:4100', admin: '127.0.0.1:4101' };
    assert.deepEqual(portsOf(JSON.stringify(line)), { traffic: 4100, admin: 4101 });
    assert.equal(portsOf('{"msg":"listening"'), undefined);
    assert.equal(portsOf('{"msg":"something else"}'), undefined);
  });
});
