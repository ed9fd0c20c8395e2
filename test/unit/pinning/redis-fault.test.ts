import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { redisFaultOf } from '../../../src/pinning/redis-fault.ts';

const faultOf = (message: string, code?: string) =>
  redisFaultOf(Object.assign(new Error(message), code === undefined ? {} : { code }));

describe('errors of Redis', () => {
  it('are told by what to do', () => {
    for (const [message, word] of [
      ['NOAUTH Authentication required.', 'wants a password'],
      ['WRONGPASS invalid username-password pair or user is disabled.', 'refuses the user or the password'],
      ['ERR invalid password', 'refuses the user or the password'],
      ["NOPERM this user has no permissions to run the 'set' command", 'may not do this'],
      ["READONLY You can't write against a read only replica.", 'read-only replica'],
      ["OOM command not allowed when used memory > 'maxmemory'.", 'out of memory'],
      ['LOADING Redis is loading the dataset in memory', 'still loading'],
      ['MOVED 3999 127.0.0.1:6381', 'redis+cluster://'],
      ['CLUSTERDOWN The cluster is down', 'Cluster'],
      ['ERR syntax error', 'older than 7.0'],
    ] as const) {
      const fault = faultOf(message);
      assert.equal(fault.kind, 'refused', message);
      assert.ok(fault.reason.includes(word), `${message}: ${fault.reason}`);
    }
  });

  it('are told without the arguments of commands, which hold passwords', () => {
    const quoting = "ERR unknown command 'AUTH', with args beginning with: 'hunter2' ";
    const fault = faultOf(quoting);
    assert.match(fault.reason, /knows no AUTH; take user and password out/);
    const others = [
      quoting.replace('AUTH', 'HELLO'),
      quoting.replace('AUTH', 'HELLO').replaceAll("'", '`'),
      `All sentinels are unreachable. Retrying from scratch after 10ms. Last error: ${quoting}`,
    ];
    for (const message of [quoting, ...others]) {
      assert.doesNotMatch(faultOf(message).reason, /hunter2/, message);
    }
  });

  it('are told from those of the way to it', () => {
    assert.deepEqual(faultOf('connect ECONNREFUSED 10.0.0.1:6379', 'ECONNREFUSED'), {
      kind: 'away',
      reason: 'Redis cannot be reached (ECONNREFUSED)',
    });
    assert.equal(faultOf("Stream isn't writeable and enableOfflineQueue options is false").kind, 'closed');
    assert.equal(faultOf('Command timed out').kind, 'timeout');
    assert.equal(
      faultOf('WRONGTYPE Operation against a key holding the wrong kind of value').kind,
      'otherType',
    );
    assert.ok(faultOf('x'.repeat(5_000)).reason.length < 300);
  });
});
