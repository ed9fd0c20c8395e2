import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger } from '../../../src/observe/log.ts';
import { MemoryDestination } from './fixtures/memory-destination.ts';

test('a line is JSON with the level as a word, an ISO time, the service and the message', () => {
  const destination = new MemoryDestination();
  const log = createLogger({ level: 'info', service: 'accounts', destination });
  log.logger.warn({ backend: 'canary' }, 'something');
  const [line] = destination.lines();
  assert.match(String(line!['time']), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.deepEqual(line, {
    level: 'warn',
    time: line!['time'],
    service: 'accounts',
    backend: 'canary',
    msg: 'something',
  });
});

test('an error is written with type, message and stack', () => {
  const destination = new MemoryDestination();
  createLogger({ level: 'info', service: 's', destination }).logger.error(
    { err: new TypeError('no') },
    'failed',
  );
  const err = destination.lines()[0]!['err'] as Record<string, string>;
  assert.equal(err['type'], 'TypeError');
  assert.equal(err['message'], 'no');
  assert.match(err['stack']!, /log\.test/);
});

test('of an error nothing else is written: clients hang commands and requests on it, with their passwords', () => {
  const destination = new MemoryDestination();
  const refused = Object.assign(new Error('ERR no'), {
    code: 'ECONNREFUSED',
    port: 6379,
    command: { name: 'auth', args: ['user', 'hunter2'] },
    request: { headers: { authorization: 'Bearer hunter2' } },
    cause: Object.assign(new Error('inner'), { password: 'hunter2' }),
  });
  const several = new AggregateError(
    [refused, Object.assign(new Error('second'), { password: 'hunter2' })],
    'both',
  );
  const { logger } = createLogger({ level: 'info', service: 's', destination });
  logger.fatal({ err: refused }, 'one');
  logger.fatal({ err: several }, 'several');
  const [one, all] = destination.lines().map(({ err }) => err as Record<string, unknown>);
  assert.deepEqual(Object.keys(one!), ['type', 'message', 'stack', 'code', 'port']);
  assert.equal(one!['message'], 'ERR no: inner');
  assert.deepEqual(all!['errors'], ['ERR no: inner', 'second']);
  assert.doesNotMatch(JSON.stringify([one, all]), /hunter2/);
});

test('the level can be changed while running', () => {
  const destination = new MemoryDestination();
  const log = createLogger({ level: 'error', service: 's', destination });
  log.logger.info('hidden');
  log.setLevel('debug');
  log.logger.debug('shown');
  assert.deepEqual(
    destination.lines().map(({ msg }) => msg),
    ['shown'],
  );
});
