import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { lookUpHost, parseHostsFile } from '../../../src/backends/hosts-file.ts';

describe('the hosts file', () => {
  const hosts = parseHostsFile(
    [
      '# Kubernetes-managed hosts file.',
      '127.0.0.1\tlocalhost',
      '::1\tlocalhost ip6-localhost',
      '10.1.2.3  Legacy-DB legacy  # an alias',
      '10.1.2.4 legacy',
      '10.1.2.4 legacy',
      'not-an-address broken',
      '10.1.2.5',
    ].join('\r\n'),
  );

  test('names are found in any case, with a trailing dot too, with all their addresses in order', () => {
    assert.deepEqual(lookUpHost(hosts, 'legacy-db'), ['10.1.2.3']);
    assert.deepEqual(lookUpHost(hosts, 'LEGACY.'), ['10.1.2.3', '10.1.2.4']);
    assert.deepEqual(lookUpHost(hosts, 'localhost'), ['127.0.0.1', '::1']);
  });

  test('what the file does not hold is left to DNS', () => {
    for (const name of ['broken', 'an', 'alias', 'legacy.example', '']) {
      assert.equal(lookUpHost(hosts, name), undefined, name);
    }
  });

  test('localhost is this host also without a file (RFC 6761)', () => {
    const none = parseHostsFile('');
    for (const name of ['localhost', 'LocalHost', 'localhost.', 'api.localhost']) {
      assert.deepEqual(lookUpHost(none, name), ['127.0.0.1', '::1'], name);
    }
    assert.equal(lookUpHost(none, 'notlocalhost'), undefined);
  });

  test('names of built-in properties are names like any other', () => {
    assert.equal(lookUpHost(hosts, '__proto__'), undefined);
    assert.equal(lookUpHost(hosts, 'constructor'), undefined);
    assert.deepEqual(lookUpHost(parseHostsFile('10.0.0.1 __proto__'), '__proto__'), ['10.0.0.1']);
  });

  test('an address with a scope is left out, since no URL can hold it', () => {
    const scoped = parseHostsFile('fe80::1%eth0 link both\n10.0.0.1 both\n');
    assert.equal(lookUpHost(scoped, 'link'), undefined);
    assert.deepEqual(lookUpHost(scoped, 'both'), ['10.0.0.1']);
  });

  test('no text makes parsing fail', () => {
    fc.assert(fc.property(fc.string(), (text) => parseHostsFile(text) instanceof Map));
  });
});
