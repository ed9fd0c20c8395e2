/** Which servers are asked for a name. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { serversFor, zonesOf } from '../../../src/backends/dns/zones.ts';
import { parseNameServer, serverLabel } from '../../../src/backends/resolv-conf.ts';

const POD = [parseNameServer('10.96.0.10')!];

type Settings = Parameters<typeof zonesOf>[0];
const settings = (changes: Partial<Settings>): Settings => ({
  nameservers: undefined,
  stubDomains: {},
  upstreamNameservers: undefined,
  clusterDomain: 'cluster.local',
  ...changes,
});

const asked = (name: string, changes: Partial<Settings>) =>
  serversFor(name, zonesOf(settings(changes), POD))
    .map(serverLabel)
    .join();

describe('the servers of a name', () => {
  test('are those of resolv.conf, or those of nameservers instead', () => {
    assert.equal(asked('web.shop.svc.cluster.local', {}), '10.96.0.10');
    assert.equal(
      asked('example.com', { nameservers: ['10.0.0.1:5353', 'fd00::1'] }),
      '10.0.0.1:5353,fd00::1',
    );
  });

  test('are those of the most specific stub domain, itself included', () => {
    const stubDomains = {
      'corp.example': ['10.1.0.1'],
      'lab.corp.example.': ['10.2.0.1'],
      example: ['10.3.0.1'],
    };
    assert.equal(asked('corp.example', { stubDomains }), '10.1.0.1');
    assert.equal(asked('db.corp.example', { stubDomains }), '10.1.0.1');
    assert.equal(asked('x.LAB.corp.example', { stubDomains }), '10.2.0.1');
    assert.equal(asked('other.example', { stubDomains }), '10.3.0.1');
    assert.equal(asked('example.com', { stubDomains }), '10.96.0.10');
  });

  test('go by whole labels: notcorp.example is not in corp.example', () => {
    const stubDomains = { 'corp.example': ['10.1.0.1'] };
    assert.equal(asked('notcorp.example', { stubDomains }), '10.96.0.10');
    assert.equal(asked('corp.example.net', { stubDomains }), '10.96.0.10');
  });

  test('outside of the cluster domain are the upstream ones, where there are some', () => {
    const upstream = { upstreamNameservers: ['10.4.0.1'], stubDomains: { 'corp.example': ['10.1.0.1'] } };
    assert.equal(asked('example.com', upstream), '10.4.0.1');
    assert.equal(asked('web', upstream), '10.4.0.1');
    assert.equal(asked('db.corp.example', upstream), '10.1.0.1');
    assert.equal(asked('web.shop.svc.cluster.local', upstream), '10.96.0.10');
    assert.equal(asked('web.k8s.test', { ...upstream, clusterDomain: 'K8s.Test.' }), '10.96.0.10');
    assert.equal(asked('web.cluster.local', { ...upstream, clusterDomain: 'k8s.test' }), '10.4.0.1');
  });

  test('of the cluster domain stay its own beside a stub domain above it, and give way to one within it', () => {
    const stubDomains = { local: ['10.5.0.1'], 'legacy.cluster.local': ['10.6.0.1'] };
    assert.equal(asked('web.shop.svc.cluster.local', { stubDomains }), '10.96.0.10');
    assert.equal(asked('db.legacy.cluster.local', { stubDomains }), '10.6.0.1');
    assert.equal(asked('printer.local', { stubDomains }), '10.5.0.1');
  });

  test('are those of the longest domain that the name ends in, whatever the domains', () => {
    const label = fc.constantFrom('a', 'b', 'c');
    const domain = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'));
    fc.assert(
      fc.property(
        domain,
        domain,
        fc.uniqueArray(domain, { maxLength: 6 }),
        fc.boolean(),
        (name, clusterDomain, stubs, hasUpstream) => {
          const others = stubs.filter((stub) => stub !== clusterDomain);
          const stubDomains = Object.fromEntries(others.map((stub, i) => [stub, [`10.1.0.${i}`]]));
          const within = [clusterDomain, ...others]
            .filter((each) => `.${name}`.endsWith(`.${each}`))
            .sort((x, y) => y.length - x.length);
          const outside = hasUpstream ? '10.4.0.1' : '10.96.0.10';
          const expected =
            within[0] === undefined
              ? outside
              : within[0] === clusterDomain
                ? '10.96.0.10'
                : `10.1.0.${others.indexOf(within[0])}`;
          const upstream = hasUpstream ? { upstreamNameservers: ['10.4.0.1'] } : {};
          assert.equal(asked(name, { stubDomains, clusterDomain, ...upstream }), expected);
        },
      ),
    );
  });
});
