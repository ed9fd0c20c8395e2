/** Mistakes in the keys of the resolver are found where they were made. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GOOD, problemsOf } from './fixtures/good.ts';

const CASES: readonly (readonly [what: string, text: string, ...answer: string[]])[] = [
  [
    'a longest TTL below the shortest',
    'resolver: { minTtl: 10s, maxTtl: 5s }',
    'f:3:34: resolver.maxTtl: minTtl is longer than maxTtl; make maxTtl at least as long',
  ],
  [
    'one stub domain in two spellings',
    'resolver: { stubDomains: { corp.example: [10.0.0.1], Corp.Example.: [10.0.0.2] } }',
    'f:3:54: resolver.stubDomains["Corp.Example."]: is the same domain as "corp.example" above',
  ],
  [
    'the cluster domain as a stub domain',
    'resolver: { stubDomains: { Cluster.Local: [10.0.0.1] } }',
    'f:3:28: resolver.stubDomains["Cluster.Local"]: is the cluster domain',
  ],
  [
    'another cluster domain as a stub domain',
    'resolver: { clusterDomain: k8s.test., stubDomains: { k8s.test: [10.0.0.1] } }',
    'f:3:54: resolver.stubDomains["k8s.test"]: is the cluster domain',
  ],
  [
    'a cluster domain that is none',
    'resolver: { clusterDomain: a..b }',
    'f:3:28: resolver.clusterDomain: "a..b" is not a domain',
  ],
  [
    'an empty cluster domain',
    'resolver: { clusterDomain: "" }',
    'f:3:28: resolver.clusterDomain: "" is not a domain',
  ],
  [
    'a hold that is no time',
    'resolver: { hold: { notFound: never } }',
    'f:3:31: resolver.hold.notFound: "never" is not a duration',
  ],
  [
    'a server that is a name',
    'resolver: { stubDomains: { a.test: [dns.a.test] } }',
    'f:3:37: resolver.stubDomains["a.test"][0]: "dns.a.test" is not IP',
  ],
];

for (const [what, text, ...answer] of CASES) {
  test(`${what} is said with its place`, () => {
    const problems = problemsOf(`${GOOD}${text}\n`);
    assert.equal(problems.length, answer.length, problems.join('\n'));
    for (const [i, expected] of answer.entries())
      assert.ok(problems[i]!.startsWith(expected), String(problems[i]));
  });
}

test('a stub domain below or above the cluster domain is fine', () => {
  const text = 'resolver: { stubDomains: { legacy.cluster.local: [10.0.0.1], local: [10.0.0.2] } }';
  assert.deepEqual(problemsOf(`${GOOD}${text}\n`), []);
});
