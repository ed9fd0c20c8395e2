import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { parseConfig } from '../../../src/config/load.ts';
import { parseValue } from '../../../src/config/schema/header-rules.ts';
import type { ConfigInput } from '../../../src/config/schema.ts';
import { applyHeaderRules, compileHeaderRules, type RuleContext } from '../../../src/http/header-rules.ts';
import { clientAddress } from '../../../src/http/message-fields.ts';

type Rules = NonNullable<ConfigInput['routes'][number]['request']>;

const CONTEXT: RuleContext = {
  clientAddress: '192.0.2.7',
  clientPort: 4711,
  requestId: 'id-1',
  method: 'GET',
  host: 'Shop.Example:8080',
  path: '/cart?x=1',
  route: 'free',
  backend: 'canary',
  service: 'shop',
  rawHeaders: ['X-User', 'first', 'x-user', 'last', 'Cookie', 'a=1; sid=abc'],
};

function apply(rules: Rules, headers: readonly string[]): string[] {
  return applyHeaderRules(compileHeaderRules(rules)!, headers, CONTEXT);
}

suite('header rules', () => {
  test('remove first, then set, then add, whatever the case of names', () => {
    const headers = ['Host', 'h', 'X-A', '1', 'x-b', '2', 'X-C', '3', 'X-B', '4'];
    assert.deepEqual(apply({ add: { 'X-C': ['5', '6'] }, set: { 'X-B': 'new' }, remove: ['x-a'] }, headers), [
      'Host',
      'h',
      'X-C',
      '3',
      'X-B',
      'new',
      'X-C',
      '5',
      'X-C',
      '6',
    ]);
  });

  test('leave the list that they are given as it is, since a retry needs it again', () => {
    const headers = ['Host', 'h', 'X-A', '1'];
    apply({ remove: ['X-A'], set: { Host: 'other' } }, headers);
    assert.deepEqual(headers, ['Host', 'h', 'X-A', '1']);
  });

  test('set Host in its place', () => {
    assert.deepEqual(apply({ set: { host: 'inner.example' } }, ['Host', 'h', 'X-A', '1']), [
      'Host',
      'inner.example',
      'X-A',
      '1',
    ]);
  });

  test('fill in variables', () => {
    const value =
      '%{client.address}:%{client.port} %{request.id} %{request.method} %{request.host}%{request.path} %{route}/%{backend}@%{service} %{header:X-User} %{cookie:sid}%{cookie:none}%{header:None}';
    assert.deepEqual(apply({ set: { 'X-All': value } }, []), [
      'X-All',
      '192.0.2.7:4711 id-1 GET shop.example/cart?x=1 free/canary@shop last abc',
    ]);
    assert.deepEqual(apply({ set: { X: '100% of %%{route} 50%%' } }, []), ['X', '100% of %{route} 50%%']);
  });

  test('are nothing where nothing is said', () => {
    assert.equal(compileHeaderRules(undefined), undefined);
    assert.equal(compileHeaderRules({}), undefined);
  });

  test('have values that are read without loss, or refused', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'%{}ab:c.route '), maxLength: 20 }), (text) => {
        const parts = parseValue(text);
        if (typeof parts === 'string') return;
        const again = parts
          .map((part) =>
            'text' in part
              ? part.text.replaceAll('%{', '%%{')
              : 'variable' in part
                ? `%{${part.variable}}`
                : 'header' in part
                  ? `%{header:${part.header}}`
                  : `%{cookie:${part.cookie}}`,
          )
          .join('');
        assert.deepEqual(parseValue(again), parts);
      }),
      { numRuns: 2_000 },
    );
  });
});

suite('the configuration refuses header rules', () => {
  const problem = (rules: string, more = '') => {
    const text = `${more}backends: { a: { url: http://a } }\nroutes:\n  - { name: all, split: { a: 1 }, ${rules} }\n`;
    const { config, problems } = parseConfig(text, { file: 'f', environment: {} });
    return config === undefined ? `${problems[0]?.keyPath}: ${problems[0]?.message}` : 'nothing';
  };

  test('on fields that frame a message or belong to one connection, in any case', () => {
    for (const name of [
      'Content-Length',
      'transfer-encoding',
      'CONNECTION',
      'TE',
      'Upgrade',
      'Trailer',
      'Expect',
    ]) {
      assert.match(problem(`request: { set: { ${name}: x } }`), /frames the message/, name);
      assert.match(problem(`response: { add: { ${name}: x } }`), /frames the message/, name);
      assert.match(problem(`request: { remove: [${name}] }`), /frames the message/, name);
    }
    assert.match(problem('request: { remove: [Host] }'), /frames the message/);
    assert.match(problem('response: { set: { Host: x } }'), /frames the message/);
    assert.equal(problem('request: { set: { Host: inner.example:8080 } }'), 'nothing');
    assert.match(problem('request: { set: { Host: "%{route}" } }'), /request\.set\.Host: .*is not a host/);
  });

  test('with values that would end the line, or variables that there are not', () => {
    assert.match(problem('request: { set: { X: "a\\r\\nY: b" } }'), /request\.set\.X: .*no field may hold/);
    assert.match(
      problem('request: { set: { X: "%{nonsense}" } }'),
      /unknown variable; there are client\.address/,
    );
    assert.match(problem('request: { set: { X: "%{route" } }'), /without \}/);
    assert.match(problem(`request: { set: { X: "${'%{route}'.repeat(17)}" } }`), /more than 16 variables/);
    assert.match(problem('request: { replace: { X: y } }'), /unknown key "replace"/);
  });

  test('on the field of the request id, whatever it is called', () => {
    assert.match(problem('response: { set: { x-request-id: x } }'), /carries the id of the request/);
    assert.match(
      problem('request: { remove: [X-Id] }', 'forwarding: { requestId: X-Id }\n'),
      /carries the id/,
    );
    assert.equal(problem('request: { remove: [X-Id] }'), 'nothing');
  });

  test('in numbers that no row needs', () => {
    const many = Array.from({ length: 65 }, (_, i) => `X-${i}: x`).join(', ');
    assert.match(problem(`request: { set: { ${many} } }`), /at most 64 fields, found 65/);
  });
});

suite('the address of the client', () => {
  const trusted = (address: string) => address.startsWith('10.');

  test('is the peer, or the last address of X-Forwarded-For that is no trusted one', () => {
    assert.equal(clientAddress('10.0.0.1', undefined, trusted), '10.0.0.1');
    assert.equal(clientAddress('10.0.0.1', '198.51.100.1, 203.0.113.9, 10.2.2.2', trusted), '203.0.113.9');
    assert.equal(clientAddress('10.0.0.1', '10.3.3.3,10.2.2.2', trusted), '10.3.3.3');
    assert.equal(clientAddress('10.0.0.1', '[2001:db8::1]:80', trusted), '2001:db8::1');
    assert.equal(clientAddress('10.0.0.1', '203.0.113.9:5000', trusted), '203.0.113.9');
  });

  test('is not what is no address', () => {
    assert.equal(clientAddress('10.0.0.1', '203.0.113.9, unknown, 10.2.2.2', trusted), '10.2.2.2');
    assert.equal(clientAddress('10.0.0.1', 'unknown', trusted), '10.0.0.1');
  });
});
