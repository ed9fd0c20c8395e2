import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { configSchema } from '../../../src/config/schema.ts';
import { compilePolicy } from '../../../src/forward/policy.ts';
import { peerAt, policyOf } from '../../support/forward-policy.ts';
import { HEAD_READERS } from '../../support/head-readers.ts';

const trust = { cidrs: ['192.0.2.7/32'] };
const guarded = policyOf({
  trust,
  propagate: {},
  pins: { users: { by: [{ header: 'X-User-Id' }, { header: 'X_Login' }, { cookie: 'a_b' }] } },
});

const ALIASES = [
  'X_Traffic_Group',
  'x_traffic-group',
  'X_Request_Id',
  'X_Forwarded_For',
  'X-Forwarded_For',
  'X_FORWARDED_PROTO',
  'X_Forwarded_Host',
  'X_Forwarded_Anything',
  'X_Pointsman_Debug',
  'X_Pointsman_Route',
  'X_Pointsman_Bucket',
  'Content_Length',
  'Transfer_Encoding',
  'Proxy_Authorization',
  'Keep_Alive',
  'X_User_Id',
  'X-Login',
];

const OTHERS = ['X_Custom', 'X-Custom', 'X_Login', 'X-User-Id', 'Content_Type', 'X_Traffic_Groups', 'a_b'];

for (const [lane, read] of Object.entries(HEAD_READERS)) {
  describe(`header aliases in the ${lane} lane`, () => {
    it('do not reach the upstream, from any peer, if trust.cidrs is set', () => {
      for (const trusted of [false, true]) {
        const { passed, request } = read(
          ALIASES.flatMap((name) => [name, 'spoofed']),
          guarded,
          peerAt(trusted),
        );
        assert.ok(!passed.includes('spoofed'), passed.join());
        assert.equal(request.facts.group, '');
        assert.equal(request.facts.client, '192.0.2.7');
      }
    });

    it('leave other headers with an underscore', () => {
      const { passed } = read(
        OTHERS.flatMap((name) => [name, name]),
        guarded,
        peerAt(false),
      );
      for (const name of OTHERS) assert.ok(passed.join().includes(`${name},${name}`), name);
    });

    it('are headers like any other if trust.cidrs is empty', () => {
      const headers = ALIASES.filter((name) => !name.startsWith('X-')).flatMap((name) => [name, 'kept']);
      const { passed } = read(headers, policyOf(), peerAt(false));
      assert.ok(passed.join().includes(headers.join()));
    });

    it('include the dashed form of a group header with an underscore', () => {
      const policy = policyOf({ trust, groupHeader: 'X_Team' });
      const { passed, request } = read(['X-Team', 'spoofed', 'X_Team', 'Blue'], policy, peerAt(true));
      assert.ok(!passed.includes('spoofed'));
      assert.equal(request.facts.group, 'blue');
    });
  });
}

describe('a reload', () => {
  const parsed = (more: object) =>
    configSchema.parse({
      backends: { main: { url: 'http://127.0.0.1:1' } },
      routes: [{ name: 'all', split: { main: 1 } }],
      ...more,
    });
  const needs = { host: false, client: false };

  it('keeps the classifier unless headers change their role', () => {
    const first = compilePolicy(parsed({ trust }), needs, undefined);
    const same = compilePolicy(parsed({ trust: { cidrs: ['10.0.0.0/8'] } }), needs, first);
    assert.equal(same.requestFields, first.requestFields);
    for (const change of [{}, { trust, pins: { users: { by: [{ header: 'X-User-Id' }] } } }]) {
      const next = compilePolicy(parsed(change), needs, first);
      assert.notEqual(next.requestFields, first.requestFields);
    }
    assert.equal(first.requestFields.roleOf('X_Request_Id'), 'alias');
    assert.equal(compilePolicy(parsed({}), needs, first).requestFields.roleOf('X_Request_Id'), 'pass');
  });
});
