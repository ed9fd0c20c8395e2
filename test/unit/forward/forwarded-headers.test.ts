import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { peerAt, policyOf } from '../../support/forward-policy.ts';
import { HEAD_READERS } from '../../support/head-readers.ts';

const policy = policyOf({ trust: { cidrs: ['192.0.2.7/32', '10.0.0.0/8'] } });
const NAMES = [
  'X-Request-Id',
  'X-Forwarded-For',
  'X-Forwarded-Proto',
  'X-Forwarded-Host',
  'Forwarded',
  'Via',
];

/** Values of all lines with that name. */
function valuesOf(headers: readonly string[], name: string): string[] {
  const lower = name.toLowerCase();
  return headers.filter((_, i) => i % 2 === 1 && headers[i - 1]!.toLowerCase() === lower);
}

for (const [lane, reader] of Object.entries(HEAD_READERS)) {
  const read = (headers: readonly string[], trusted = true, under = policy) =>
    reader(headers, under, peerAt(trusted));

  describe(`forwarded headers of the ${lane} lane`, () => {
    it('describe the peer if it says nothing', () => {
      const { passed, request } = read([]);
      assert.deepEqual(
        NAMES.map((name) => valuesOf(passed, name)),
        [[request.requestId], ['192.0.2.7'], ['http'], ['a'], [], ['1.1 pointsman']],
      );
      assert.match(request.requestId, /^[0-9a-f-]{36}$/);
    });

    it('keep what a trusted peer says, and add the peer', () => {
      const { passed, request } = read([
        ...['X-Request-Id', 'id-1', 'X-Forwarded-For', '198.51.100.1', 'X-Forwarded-For', '10.0.0.1'],
        ...['X-Forwarded-Proto', 'https', 'X-Forwarded-Host', 'shop', 'X-Forwarded-Port', '443'],
        ...['Forwarded', 'for=198.51.100.1'],
      ]);
      assert.deepEqual(
        [...NAMES, 'X-Forwarded-Port'].map((name) => valuesOf(passed, name)),
        [
          ['id-1'],
          ['198.51.100.1, 10.0.0.1, 192.0.2.7'],
          ['https'],
          ['shop'],
          ['for=198.51.100.1'],
          ['1.1 pointsman'],
          ['443'],
        ],
      );
      assert.equal(request.facts.client, '198.51.100.1');
    });

    it('take nothing from an untrusted peer', () => {
      const { passed, request } = read(
        NAMES.slice(0, 5).flatMap((name) => [name, '1']),
        false,
      );
      assert.deepEqual(
        NAMES.map((name) => valuesOf(passed, name)),
        [[request.requestId], ['192.0.2.7'], ['http'], ['a'], [], ['1.1 pointsman']],
      );
      assert.notEqual(request.requestId, '1');
    });

    it('count an empty value of a trusted peer as absent', () => {
      const { passed, request } = read([
        ...['X-Request-Id', '', 'X-Forwarded-For', '', 'X-Forwarded-Proto', '', 'X-Forwarded-Host', ''],
        ...['X-Forwarded-Port', '', 'Forwarded', ''],
      ]);
      assert.deepEqual(
        [...NAMES, 'X-Forwarded-Port'].map((name) => valuesOf(passed, name)),
        [[request.requestId], ['192.0.2.7'], ['http'], ['a'], [], ['1.1 pointsman'], []],
      );
      assert.match(request.requestId, /^[0-9a-f-]{36}$/);
      assert.equal(request.facts.client, '192.0.2.7');
    });

    it('skip empty lines among others', () => {
      const { passed, request } = read([
        ...['X-Forwarded-For', '', 'X-Forwarded-For', '198.51.100.1', 'X-Forwarded-For', ' , '],
        ...['X-Forwarded-For', '10.0.0.1', 'X-Forwarded-For', ''],
        ...['X-Forwarded-Proto', '', 'X-Forwarded-Proto', 'https', 'X-Forwarded-Proto', 'ftp'],
        ...['X-Forwarded-Host', '', 'X-Forwarded-Host', 'shop', 'X-Request-Id', '', 'X-Request-Id', 'id-2'],
      ]);
      assert.deepEqual(
        NAMES.slice(0, 4).map((name) => valuesOf(passed, name)),
        [['id-2'], ['198.51.100.1, 10.0.0.1, 192.0.2.7'], ['https'], ['shop']],
      );
      assert.equal(request.facts.client, '198.51.100.1');
    });

    it('replace a request id that could break a log line', () => {
      for (const id of ['a b', '\xe4', 'x'.repeat(129)]) {
        const { passed, request } = read(['X-Request-Id', id]);
        assert.match(request.requestId, /^[0-9a-f-]{36}$/);
        assert.deepEqual(valuesOf(passed, 'X-Request-Id'), [request.requestId]);
      }
    });

    it('follow the configuration', () => {
      const other = policyOf({
        forwarding: { forwarded: true, xForwarded: false, via: '', requestId: 'X-Trace' },
      });
      const { passed, request } = read(['X-Forwarded-For', '1.1.1.1'], false, other);
      assert.deepEqual(passed, [
        ...['Host', 'a', 'X-Trace', request.requestId],
        ...['Forwarded', 'for=192.0.2.7;host="a";proto=http'],
      ]);
    });

    it('quote an IPv6 address in Forwarded', () => {
      const other = policyOf({ forwarding: { forwarded: true } });
      const { passed } = reader([], other, { ...peerAt(false), address: '2001:db8::1' });
      assert.deepEqual(valuesOf(passed, 'Forwarded'), ['for="[2001:db8::1]";host="a";proto=http']);
      assert.deepEqual(valuesOf(passed, 'X-Forwarded-For'), ['2001:db8::1']);
    });
  });
}
