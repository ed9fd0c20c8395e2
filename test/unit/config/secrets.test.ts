/** No message about a configuration, and nothing that is shown of one, has a secret in it. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { buildStatus } from '../../../src/admin/status.ts';
import { describeChanges, maskedConfig } from '../../../src/config/changes.ts';
import { type JsonSchema, valueSchema } from '../../../src/config/json-schema.ts';
import { parseConfig } from '../../../src/config/load.ts';
import { formatProblem } from '../../../src/config/problems.ts';
import type { Config } from '../../../src/config/schema.ts';
import { secretKeys } from '../../../src/config/secrets.ts';
import { kindOf } from '../../../src/config/type-words.ts';
import { NO_TOTALS } from '../../../src/observe/totals.ts';
import { explainRequest } from '../../../src/routing/explain.ts';
import { compileTable } from '../../../src/routing/table.ts';
import { QUIET_PROCESS } from '../../support/process-facts.ts';
import { keysLeftOut, leaksIn, MARK, secretTable } from '../../support/secret-table.ts';

const upstream = 'http://127.0.0.1:9';
const redis = '127.0.0.1:6379';
const { config: table, env } = secretTable({ upstream, redis });
const TEXT = stringify(table);

function read(text: string, environment: Readonly<Record<string, string>> = env) {
  return parseConfig(text, { file: 'f', environment });
}

function configOf(text: string, environment?: Readonly<Record<string, string>>): Config {
  const { config, problems } = read(text, environment);
  assert.ok(config, problems.map(formatProblem).join('\n'));
  return config;
}

/** Text that may hold anything, as far as the schema says. Those of conditions once, not for every depth again. */
function textKeys(): string[] {
  const found = new Set<string>();
  const visit = (schema: JsonSchema, key: string): void => {
    if (schema.writeOnly === true || /\.match(\[\])?\.(and|not)$/.test(key)) return;
    for (const branch of schema.anyOf ?? []) visit(branch, key);
    for (const [name, inner] of Object.entries(schema.properties ?? {})) {
      visit(inner, key === '' ? name : `${key}.${name}`);
    }
    if (typeof schema.additionalProperties === 'object') visit(schema.additionalProperties, `${key}.<name>`);
    if (schema.items !== undefined) visit(schema.items, key);
    if (schema.type === 'string' && kindOf(schema) === 'text') found.add(key);
  };
  visit(valueSchema(), '');
  return [...found];
}

suite('secrets in the schema', () => {
  test('every text is either marked as a secret or listed here as one that may be shown', () => {
    assert.deepEqual(textKeys(), [
      'service',
      'acting.tokenFile',
      'runAs.user',
      'runAs.group',
      'groupHeader',
      'unknownGroup',
      'backends.<name>.build',
      'backends.<name>.drain',
      'backends.<name>.health.path',
      'backends.<name>.health.host',
      'backends.<name>.health.body',
      'backends.<name>.health.status',
      'routes.name',
      'routes.match.group',
      'routes.match.host',
      'routes.match.path',
      'routes.match.path.exact',
      'routes.match.path.prefix',
      'routes.match.path.suffix',
      'routes.match.path.contains',
      'routes.match.path.regex',
      'routes.match.method',
      'routes.match.client',
      'routes.pin',
      'routes.main',
      'routes.request.remove',
      'routes.response.remove',
      'sets.<name>',
      'propagate.route',
      'propagate.bucket',
      'invariants.never.group',
      'invariants.never.backend',
      'invariants.maxShare.group',
      'invariants.maxShare.backend',
      'invariants.force',
      'health.path',
      'health.host',
      'health.body',
      'health.status',
      'alerts.email.from',
      'alerts.email.to',
      'pins.<name>.by.header',
      'pins.<name>.by.cookie',
      'pins.<name>.by.bearerClaim',
      'pins.<name>.issueCookie.name',
      'pins.<name>.issueCookie.path',
      'pins.<name>.issueCookie.domain',
      'redis.tls.ca',
      'redis.tls.serverName',
      'redis.keyPrefix',
      'resolver.nameservers',
      'resolver.stubDomains.<name>',
      'resolver.upstreamNameservers',
      'resolver.clusterDomain',
      'resolver.search',
      'trust.cidrs',
      'forwarding.via',
      'forwarding.requestId',
      'forwarding.upgrades',
      'limits.rates.<name>.by.pin',
      'limits.rates.<name>.groups',
    ]);
  });

  test('the table of these tests has one in every place', () => {
    assert.ok(secretKeys().includes('redis.password'));
    assert.deepEqual(keysLeftOut(table), []);
  });

  test('these tests find a secret however it is spelt', () => {
    for (const text of [
      `x${MARK}`,
      `x${encodeURIComponent(MARK)}`,
      JSON.stringify({ a: MARK }),
      ...['', 'a', 'ab', 'abc'].map((front) => Buffer.from(`${front}${MARK}rest`).toString('base64')),
    ]) {
      assert.equal(leaksIn(text).length, 1, text);
    }
    assert.deepEqual(leaksIn(JSON.stringify({ redis: '(hidden)' })), []);
  });
});

suite('no secret is in', () => {
  test('a problem of a file that is wrong in any way around it', () => {
    const wrong: string[] = [
      // Whole sections as text, numbers where text belongs, a list for a map.
      ...['redis', 'acting', 'alerts', 'debug', 'tracing', 'pins', 'health'].map(
        (key) => `${key}: "${MARK}${MARK}"`,
      ),
      `alerts: { slack: "${MARK}", webhook: ["${MARK}"], email: { server: "${MARK}" } }`,
      `redis: { url: "${MARK}", password: ["${MARK}"], keySecret: { "a b": "${MARK}" } }`,
      `redis: { url: "redis://u:${MARK}/x@h:1" }`,
      `redis: { url: "redis://h?password=${MARK}" }`,
      `tracing: { endpoint: "${MARK}", headers: { A: "\u0001${MARK}", B: ["${MARK}"] } }`,
      `pins: { u: { by: [], issueCookie: { keys: "${MARK}" }, salt: ["${MARK}"] } }`,
      `acting: { token: "${MARK}", tokenFile: "${MARK}" }`,
      `debug: { token: "${MARK.slice(0, 15)}" }`,
      // What YAML makes of one that stands without quotes.
      ...['!', '*', '&', '@', '`', '|', '>', '%', '"', "'", '[', '{', '- ', '? ', ': '].flatMap((sign) => [
        `redis: { url: redis://r, password: ${sign}${MARK} }`,
        `redis:\n  url: redis://r\n  password: ${sign}${MARK}\n  keyPrefix: x`,
      ]),
      // A blank too few makes it a part of the key.
      `redis: { url: redis://r, password:${MARK} }`,
      `"redis: redis://:${MARK}@r": 1`,
      `redis: { url: redis://r, "password: ${MARK}" }`,
      `redis:\n  url: redis://r\n  password:${MARK}`,
      `tracing: { endpoint: http://t, headers: { Authorization:Bearer ${MARK} } }`,
      `tracing: { endpoint: http://t, headers: { "Authorization ${MARK}": {} } }`,
      `health: { path: /, headers: { Authorization: Bearer ${MARK}: x } }`,
    ].flatMap((line) => [`${line}\n`, `${line.replaceAll(MARK, '${S}${S}')}\n`]);
    const good = stringify({ backends: table.backends, routes: table.routes });
    for (const lines of wrong) {
      const { problems } = read(`${good}${lines}`, { ...env, S: MARK });
      const told = problems.map(formatProblem).join('\n');
      assert.deepEqual(leaksIn(told), [], lines);
    }
    const numbers = read(
      `${good}redis: { url: redis://r, password: 91827364, keySecret: 918273645546372819 }\n`,
    );
    assert.equal(numbers.config, undefined);
    assert.doesNotMatch(numbers.problems.map(formatProblem).join(), /9182/);
  });

  test('a problem of a file with a slip of the finger anywhere', () => {
    const slip = fc.record({
      at: fc.nat(TEXT.length - 1),
      // No comma: what stands alone after it is a key of its own, and looks like one.
      typed: fc.constantFrom(
        '',
        ' ',
        ':',
        '"',
        "'",
        '{',
        '}',
        '[',
        ']',
        '\n',
        '#',
        '!',
        '*',
        '&',
        '$',
        '|',
        'x',
      ),
      over: fc.nat(3),
    });
    fc.assert(
      fc.property(fc.array(slip, { minLength: 1, maxLength: 3 }), (slips) => {
        let text = TEXT;
        for (const { at, typed, over } of slips) text = text.slice(0, at) + typed + text.slice(at + over);
        for (const problem of read(text).problems) assert.deepEqual(leaksIn(formatProblem(problem)), []);
      }),
      { numRuns: 200 },
    );
  });

  test('what a reload tells, the dump, the status, or an explanation', () => {
    const config = configOf(TEXT);
    const other = secretTable({ upstream, redis, edition: 2 });
    const bare = configOf(
      stringify({ backends: table.backends, routes: [{ name: 'all', split: { main: 1 } }] }),
    );
    const rotated = configOf(stringify(other.config), other.env);
    const changes = [
      ...describeChanges(config, rotated),
      ...describeChanges(bare, config),
      ...describeChanges(config, bare),
    ];
    assert.ok(changes.some(({ text }) => text === 'route all: request.set.X-Upstream-Key changed'));
    assert.ok(changes.some(({ text }) => text === 'health.headers.Authorization changed'));
    const routing = compileTable(config);
    const facts = { method: 'GET', path: '/', host: '', group: '', groups: undefined, client: '' };
    const asked = ['X-Tenant', 'a', 'X-Key', 'b', 'Cookie', 'session=c'];
    const shown = {
      changes,
      dump: maskedConfig(config),
      status: buildStatus({
        config,
        backends: [],
        totals: NO_TOTALS,
        facts: QUIET_PROCESS,
      }),
      explanations: [[], asked].map((rawHeaders) => explainRequest(routing, { ...facts, rawHeaders })),
    };
    assert.match(JSON.stringify(shown.status), /"X-Tenant":"\(hidden\)"/);
    assert.match(JSON.stringify(shown.explanations), /X-Tenant is not what the row wants/);
    assert.match(JSON.stringify(shown.dump), /redis:\/\/\*\*\*@127\.0\.0\.1:6379/);
    assert.deepEqual(leaksIn(JSON.stringify(shown)), []);
    const told = explainRequest(routing, { ...facts, rawHeaders: [] }, undefined, { showValues: true });
    assert.ok(leaksIn(JSON.stringify(told)).length > 0, 'unless somebody asks for it');
  });
});
