/** Every mistake is found where it was made, and said so that it can be mended. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { GOOD, problemsOf } from './fixtures/good.ts';

/** What it is, the text, and every line of the answer: place, key path, and a part of the message. */
type Case = readonly [what: string, text: string, ...answer: string[]];

const withBackends = (text: string) => `backends: { a: { url: http://a }, b: { url: http://b } }\n${text}`;

const SYNTAX: readonly Case[] = [
  ['an empty file', '', '1:1: the file is empty; a configuration has at least the keys backends and routes'],
  ['comments alone', '# nothing\n', '1:1: the file is empty'],
  ['an empty document', '---\n', '1:1: the file is empty'],
  ['plain text', 'hello\n', '1:1: expected a map of keys and values'],
  ['a list', '- a\n', '1:1: expected a map of keys and values'],
  ['a tab as indentation', 'backends:\n\ta: 1\n', '2:1: a tab cannot indent; use spaces'],
  ['an open quote', `${GOOD}service: "abc\n`, '3:14: a closing quote is missing'],
  [
    'an open map',
    'backends: { a: { url: http://a }\nroutes: []\n',
    '2:1: the map that begins with { is not closed',
  ],
  ['a colon in plain text', `${GOOD}service: a: b\n`, '3:10: a second "key:" stands on one line'],
  ['a second document', `${GOOD}---\nservice: a\n`, '3:1: a second document begins here'],
  ['YAML 1.1', `%YAML 1.1\n---\n${GOOD}`, '1:1: YAML 1.1 is not supported; remove the %YAML line'],
  ['a tag', `${GOOD}service: !secret x\n`, '3:18: service: the tag "!secret" is not supported; remove it'],
  ['a binary tag', `${GOOD}service: !!binary aGk=\n`, '3:19: service: the tag'],
  [
    'an unknown alias',
    `${GOOD}service: *nope\n`,
    '3:10: service: there is no anchor &nope before this alias',
  ],
  [
    'an alias to itself',
    `${GOOD}health: &h { interval: *h }\n`,
    '3:24: health.interval: the alias *h refers to itself',
  ],
  ['a merge key', `${GOOD}health: { <<: {} }\n`, '3:11: health: merge keys (<<) are not supported'],
  ['a list as key', `${GOOD}? [a]\n: b\n`, '3:3: a key must be text, not an alias, a list or a map'],
  ['a missing key', `${GOOD}: b\n`, '3:1: a key is missing before the colon'],
  ['a duplicate key', `${GOOD}service: a\nservice: b\n`, '4:1: service: this key is already there above'],
  [
    'a duplicate deep down, one of them quoted',
    `${GOOD}health:\n  rise: 1\n  "rise": 2\n`,
    '5:3: health.rise: this key is already there above',
  ],
  [
    '__proto__',
    `${GOOD}health: { __proto__: { rise: 1 } }\n`,
    '3:11: health: the key "__proto__" is not allowed',
  ],
  ['constructor, quoted', `${GOOD}"constructor": 1\n`, '3:1: the key "constructor" is not allowed'],
  [
    'prototype in a list',
    'backends: { a: { url: http://a } }\nroutes:\n- name: all\n  split: { a: 1 }\n  prototype: 1\n',
    '5:3: routes[0]: the key "prototype" is not allowed',
  ],
  ['a NUL', `${GOOD}service: a\0b\n`, '3:11: holds a NUL character'],
];

const SCHEMA: readonly Case[] = [
  ['an unknown key', `${GOOD}helth: {}\n`, '3:1: helth: unknown key "helth"; did you mean "health"?'],
  [
    'a method in small letters',
    `${GOOD}forwarding: { methods: [GET, post] }\n`,
    '3:30: forwarding.methods[1]: expected GET, HEAD, POST,',
  ],
  [
    'a method that is never forwarded',
    `${GOOD}forwarding: { methods: [TRACE] }\n`,
    '3:25: forwarding.methods[0]: expected GET, HEAD, POST,',
  ],
  ['no method', `${GOOD}forwarding: { methods: [] }\n`, '3:24: forwarding.methods: '],
  ['the wrong case', `${GOOD}Service: x\n`, '3:1: Service: unknown key "Service"; did you mean "service"?'],
  [
    'an unknown key with nothing near',
    `${GOOD}redis: { url: redis://r, colour: x }\n`,
    '3:26: redis.colour: unknown key "colour"; known keys here: url, username, password, ',
  ],
  [
    'a key cut short',
    `${GOOD}limits: { conn: 5 }\n`,
    '3:11: limits.conn: unknown key "conn"; did you mean "connections"?',
  ],
  ['nothing but routes', 'routes: [ { name: a, split: { a: 1 } } ]\n', '1:1: backends: is missing'],
  [
    'no routes',
    'backends: { a: { url: http://a } }\nroutes: []\n',
    '2:9: routes: must have at least one route',
  ],
  [
    'no backends',
    'backends: {}\nroutes: [ { name: all, split: { a: 1 } } ]\n',
    '1:1: backends: must name at least one',
    '2:33: routes[0].split.a: there is no backend "a"',
  ],
  [
    'a missing url',
    'backends:\n  a: {}\nroutes: [ { name: all, split: { a: 1 } } ]\n',
    '2:3: backends.a: does not say where it is; give it a url, such as http://my-service:8080',
  ],
  [
    'a url beside servers',
    'backends:\n  a: { url: http://a, servers: [ { url: http://b } ] }\nroutes: [ { name: all, split: { a: 1 } } ]\n',
    '2:23: backends.a.servers: stands beside url; give one of them, and put the url into the list',
  ],
  [
    'a SRV name with a port',
    'backends:\n  a: { url: dns+srv://_http._tcp.a:80 }\nroutes: [ { name: all, split: { a: 1 } } ]\n',
    '2:13: backends.a.url: "dns+srv://_http._tcp.a:80" has a port or an address; a SRV record has a name and tells the port itself',
  ],
  [
    'a map without value',
    `${GOOD}health:\n`,
    '3:1: health: expected a map of keys and values, found nothing; give it a value, or remove the key',
  ],
  [
    'text for a number',
    `${GOOD}workers: many\n`,
    '3:10: workers: expected a whole number or auto, found text "many"',
  ],
  [
    'a fraction',
    `${GOOD}health: { rise: 1.5 }\n`,
    '3:17: health.rise: expected a whole number, found the number 1.5',
  ],
  [
    'a quoted number',
    `${GOOD}health: { rise: "2" }\n`,
    '3:17: health.rise: expected a whole number, found text "2"; remove the quotes',
  ],
  [
    'not a number',
    `${GOOD}health: { jitter: .nan }\n`,
    '3:19: health.jitter: expected a number, found the number .nan',
  ],
  [
    'a YAML 1.1 boolean',
    `${GOOD}health: { enabled: yes }\n`,
    '3:20: health.enabled: expected true or false, found text "yes"',
  ],
  ['too small', `${GOOD}workers: 0\n`, '3:10: workers: must be at least 1, found the number 0'],
  [
    'too large',
    `${GOOD}retries: { attempts: 11 }\n`,
    '3:22: retries.attempts: must be at most 10, found the number 11',
  ],
  [
    'a duration without unit',
    `${GOOD}health: { interval: 2 }\n`,
    '3:21: health.interval: expected a duration such as 250ms or 2s, found the number 2; add a unit: 2ms or 2s',
  ],
  [
    'a duration with a strange unit',
    `${GOOD}health: { interval: 2sec }\n`,
    '3:21: health.interval: "2sec" is not a duration',
  ],
  [
    'a duration out of range',
    `${GOOD}health: { interval: 1ms, timeout: 10ms }\n`,
    '3:21: health.interval: "1ms" is out of range; it must be 50ms to 1h',
  ],
  [
    'a size in other units',
    `${GOOD}limits: { headSize: 16k }\n`,
    '3:21: limits.headSize: "16k" is not a size',
  ],
  [
    'an address that is a name',
    `${GOOD}listen: localhost:80\n`,
    '3:9: listen: "localhost:80" is not an address to listen on',
  ],
  [
    'a bare port',
    `${GOOD}listen: 8080\n`,
    '3:9: listen: expected an address such as 0.0.0.0:8080, found the number 8080',
  ],
  ['a port too high', `${GOOD}listen: ":65536"\n`, '3:9: listen: ":65536" is not an address to listen on'],
  [
    'an upstream with a path',
    GOOD.replace('http://a', 'http://a/x'),
    '1:23: backends.a.url: "http://a/x" has more than scheme, host and port',
  ],
  [
    'an upstream of another scheme',
    GOOD.replace('http://a', 'ftp://u:geheim@a'),
    '1:23: backends.a.url: "ftp://***@a" is not an upstream URL',
  ],
  [
    'an upstream port 0',
    GOOD.replace('http://a', 'http://a:0'),
    '1:23: backends.a.url: "http://a:0" has a port that is not from 1 to 65535',
  ],
  [
    'a bad backend name',
    'backends: { a b: { url: http://a } }\nroutes: [ { name: all, split: { a b: 1 } } ]\n',
    '1:13: backends["a b"]: "a b" is not a valid name',
    '2:33: routes[0].split["a b"]: "a b" is not a valid name',
  ],
  [
    'a choice misspelt',
    `${GOOD}log: { level: warning }\n`,
    '3:15: log.level: expected debug, info, warn or error, found text "warning"; did you mean warn?',
  ],
  ['a negative weight', GOOD.replace('a: 1', 'a: -1'), '2:36: routes[0].split.a: must not be negative'],
  [
    'a weight as text',
    GOOD.replace('a: 1', 'a: x'),
    '2:36: routes[0].split.a: expected a whole number, found text "x"',
  ],
  [
    'a weight in percent',
    GOOD.replace('a: 1', 'a: 5%'),
    '2:36: routes[0].split.a: expected a whole number, found text "5%"',
  ],
  [
    'a group that is a number',
    GOOD.replace('[ {', '[ { name: x, match: { group: 7 }, split: { a: 1 } }, {'),
    '2:38: routes[0].match.group: expected text or a list, found the number 7; put it in quotes: "7"',
  ],
  [
    'an empty list of groups',
    GOOD.replace('[ {', '[ { name: x, match: { group: [] }, split: { a: 1 } }, {'),
    '2:38: routes[0].match.group: must have at least 1 entry',
  ],
  [
    'a method in small letters',
    GOOD.replace('[ {', '[ { name: x, match: { method: [get] }, split: { a: 1 } }, {'),
    '2:40: routes[0].match.method[0]: "get" is not a method',
  ],
  [
    'a pin by a misspelt source',
    `${GOOD}pins: { u: { by: [ { heder: X } ] } }\n`,
    '3:22: pins.u.by[0].heder: unknown key "heder"; did you mean "header"?',
  ],
  [
    'a pin by two sources at once',
    `${GOOD}pins: { u: { by: [ { header: X, cookie: y } ] } }\n`,
    '3:20: pins.u.by[0]: has header and cookie; give only one of them',
  ],
  [
    'a pin by nothing',
    `${GOOD}pins: { u: { by: [ {} ] } }\n`,
    '3:20: pins.u.by[0]: must have the key header, cookie, bearerClaim or clientAddress',
  ],
  [
    'a pin by a bad cookie',
    `${GOOD}pins: { u: { by: [ { cookie: "a;b" } ] } }\n`,
    '3:30: pins.u.by[0].cookie: "a;b" is not a valid cookie name',
  ],
  [
    'a bad range',
    `${GOOD}trust: { cidrs: [10.0.0.0/33] }\n`,
    '3:18: trust.cidrs[0]: "10.0.0.0/33" is not an address range',
  ],
  [
    'a name server that is none',
    `${GOOD}resolver: { nameservers: ["1.1.1.1:99999"] }\n`,
    '3:27: resolver.nameservers[0]: "1.1.1.1:99999" is not IP or IP:PORT',
  ],
  [
    'a Redis URL with a password',
    `${GOOD}redis: { url: "http://:geheim@r" }\n`,
    '3:15: redis.url: the value is not a Redis URL',
  ],
];

const RULES: readonly Case[] = [
  [
    'an unknown backend',
    withBackends('routes: [ { name: all, split: { a: 1, bb: 2 } } ]\n'),
    '2:39: routes[0].split.bb: there is no backend "bb"; backends: a, b',
  ],
  [
    'an unknown backend with nothing near',
    withBackends('routes: [ { name: all, split: { zebra: 2 } } ]\n'),
    '2:33: routes[0].split.zebra: there is no backend "zebra"; backends: a, b',
  ],
  [
    'a backend named like a method of objects',
    withBackends('routes: [ { name: all, split: { toString: 2 } } ]\n'),
    '2:33: routes[0].split.toString: there is no backend "toString"',
  ],
  [
    'an empty split',
    withBackends('routes: [ { name: all, split: {} } ]\n'),
    '2:31: routes[0].split: is empty; give at least one backend a weight',
  ],
  [
    'weights all zero',
    withBackends('routes: [ { name: all, split: { a: 0, b: 0 } } ]\n'),
    '2:31: routes[0].split: all weights are 0',
  ],
  [
    'a route name twice',
    withBackends(
      'routes:\n- { name: x, match: { group: A }, split: { a: 1 } }\n- { name: x, split: { b: 1 } }\n',
    ),
    '4:11: routes[1].name: routes[0] has the same name',
  ],
  [
    'a main outside the split',
    withBackends('routes: [ { name: all, split: { a: 1 }, main: b } ]\n'),
    '2:47: routes[0].main: the split of this route has no backend "b"; its backends: a',
  ],
  [
    'no row that matches all',
    withBackends('routes: [ { name: x, match: { group: A }, split: { a: 1 } } ]\n'),
    '2:22: routes[0].match: requests that no row matches would have nowhere to go; add a last row without match',
  ],
  [
    'a pin without pins',
    withBackends('routes: [ { name: x, split: { a: 1 }, pin: user } ]\n'),
    '2:44: routes[0].pin: there is no pin "user"; define it under pins',
  ],
  [
    'an unknown pin',
    `${GOOD.replace('a: 1 }', 'a: 1 }, pin: usr')}pins: { user: { by: [ { header: X } ] } }\n`,
    '2:46: routes[0].pin: there is no pin "usr"; did you mean "user"?',
  ],
  [
    'a Redis URL with a query',
    `${GOOD}redis: { url: "redis://r?password=geheim" }\n`,
    '3:15: redis.url: must have no query or fragment; settings have keys of their own under redis',
  ],
  [
    'Sentinels without a master',
    `${GOOD}redis: { url: "redis+sentinel://a,b" }\n`,
    '3:15: redis.url: names no master; write redis+sentinel://HOST:26379,HOST:26379/MASTER',
  ],
  [
    'a signing key in the file',
    `${GOOD}pins: { u: { by: [ { header: X } ], issueCookie: { keys: [ 0123456789abcdef ] } } }\n`,
    '3:60: pins.u.issueCookie.keys[0]: stands in the file, where everybody who reads it could sign cookies',
  ],
  [
    'a cookie that browsers refuse',
    `${GOOD}pins: { u: { by: [ { header: X } ], issueCookie: { name: __Host-u, domain: a.test, keys: [ "\${K:-0123456789abcdef}" ] } } }\n`,
    '3:76: pins.u.issueCookie.domain: browsers refuse a cookie whose name begins with __Host- with a domain',
  ],
  [
    'store: redis without redis',
    `${GOOD.replace('a: 1 }', 'a: 1 }, pin: u')}pins: { u: { by: [ { header: X } ], store: redis } }\n`,
    '3:44: pins.u.store: store: redis needs the key redis',
  ],
  [
    'an open group in a regular expression',
    GOOD.replace('[ {', '[ { name: x, match: { path: { regex: "(a" } }, split: { a: 1 } }, {'),
    '2:46: routes[0].match.path.regex: is not a regular expression in RE2 syntax: missing closing ) in (a',
  ],
  [
    'the same where the expression may be a secret',
    GOOD.replace('[ {', '[ { name: x, match: { headers: { H: { regex: "(a" } } }, split: { a: 1 } }, {'),
    '2:54: routes[0].match.headers.H.regex: is not a regular expression in RE2 syntax: missing closing )',
  ],
  [
    'look-ahead',
    GOOD.replace('[ {', '[ { name: x, match: { headers: { H: { regex: "(?=a)" } } }, split: { a: 1 } }, {'),
    '2:54: routes[0].match.headers.H.regex: is not a regular expression in RE2 syntax: invalid or unsupported Perl syntax; look-around and back-references are not possible',
  ],
  [
    'a huge regular expression',
    GOOD.replace(
      '[ {',
      '[ { name: x, match: { headers: { H: { regex: "(ab){1000}(cd){1000}(ef){1000}" } } }, split: { a: 1 } }, {',
    ),
    '2:54: routes[0].match.headers.H.regex: the regular expression is too large',
  ],
  [
    'a field rule that says nothing',
    GOOD.replace('[ {', '[ { name: x, match: { headers: { H: {} } }, split: { a: 1 } }, {'),
    '2:42: routes[0].match.headers.H: says nothing to compare with',
  ],
  [
    'present beside exact',
    GOOD.replace(
      '[ {',
      '[ { name: x, match: { headers: { H: { exact: a, present: true } } }, split: { a: 1 } }, {',
    ),
    '2:57: routes[0].match.headers.H.present: stands alone',
  ],
  [
    'a blank group',
    GOOD.replace('[ {', '[ { name: x, match: { group: [A, " "] }, split: { a: 1 } }, {'),
    '2:42: routes[0].match.group[1]: must not be blank',
  ],
  [
    'one port for both',
    `${GOOD}listen: 0.0.0.0:80\nadmin: 127.0.0.1:80\n`,
    '4:8: admin: is the same port as listen',
  ],
  ['the default port of the other', `${GOOD}listen: "[::]:9901"\n`, '3:9: listen: is the same port as admin'],
  [
    'a group in Connection',
    `${GOOD}groupHeader: connection\n`,
    '3:14: groupHeader: this field has a meaning of its own in HTTP',
  ],
  [
    'one field for group and id',
    `${GOOD}groupHeader: x-request-id\n`,
    '3:14: groupHeader: groupHeader and forwarding.requestId are the same field',
  ],
  [
    'TTLs the wrong way round',
    `${GOOD}resolver: { minTtl: 1m }\n`,
    '3:21: resolver.minTtl: minTtl is longer than maxTtl',
  ],
];

const ENVIRONMENT: readonly Case[] = [
  [
    'an unset variable',
    `${GOOD}service: \${NOPE}\n`,
    '3:10: service: the environment variable NOPE is not set; set it, or give a default: ${NOPE:-default}',
  ],
  [
    'a malformed reference',
    `${GOOD}service: \${1A}\n`,
    '3:10: service: a reference to the environment is malformed',
  ],
  [
    'an open reference',
    `${GOOD}service: "\${A"\n`,
    '3:10: service: a reference to the environment is malformed',
  ],
  [
    'a nested reference',
    `${GOOD}service: "\${A:-\${B}}"\n`,
    '3:10: service: a reference to the environment is malformed',
  ],
  [
    'a reference in a key',
    `${GOOD}"\${A}": x\n`,
    '3:1: references to the environment are replaced in values, not in keys',
  ],
  [
    'two unset variables in one value',
    `${GOOD}service: \${NOPE}\${NADA}\n`,
    '3:10: service: the environment variable NOPE is not set',
    '3:10: service: the environment variable NADA is not set',
  ],
];

for (const [name, cases] of Object.entries({ SYNTAX, SCHEMA, RULES, ENVIRONMENT })) {
  suite(`broken configurations: ${name.toLowerCase()}`, () => {
    for (const [what, text, ...answer] of cases) {
      test(what, () => {
        const problems = problemsOf(text);
        assert.equal(problems.length, answer.length, problems.join('\n'));
        for (const [index, expected] of answer.entries()) {
          assert.ok(
            problems[index]?.startsWith(`f:${expected}`),
            `${problems[index]}\nis not\nf:${expected}`,
          );
        }
      });
    }
  });
}

test('the example of a misspelt file is told in one go, in the order of the file', () => {
  const text = withBackends(
    [
      'helth: {}',
      'service: ${NOPE}',
      'routes:',
      '  - { name: x, match: { grup: A }, split: { a: -1, c: 1 } }',
      '  - { name: x, match: { headers: { H: { regex: "(" } } }, split: { b: 0 }, pin: user }',
      'listen: 1',
      'listen: 2',
      '',
    ].join('\n'),
  );
  assert.deepEqual(
    problemsOf(text).map((problem) => problem.split(': ').slice(0, 2).join(' ')),
    [
      'f:2:1 helth',
      'f:3:10 service',
      'f:5:25 routes[0].match.grup',
      'f:5:48 routes[0].split.a',
      'f:5:52 routes[0].split.c',
      'f:6:13 routes[1].name',
      'f:6:16 routes[1].match',
      'f:6:48 routes[1].match.headers.H.regex',
      'f:6:66 routes[1].split',
      'f:6:81 routes[1].pin',
      'f:7:9 listen',
      'f:8:1 listen',
    ],
  );
});
