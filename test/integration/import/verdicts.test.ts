/** What HAProxy refuses, the import refuses too, at the same line, with a word on what to do. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { suite, test } from 'node:test';
import { checkHaproxy } from '../../support/haproxy.ts';
import { temporaryDirectory } from '../../support/pointsman-process.ts';
import { importFile } from '../../support/side-by-side.ts';

interface Fault {
  readonly what: string;
  /** Takes the place of the line that begins with `at`. */
  readonly at: string;
  readonly by: string;
  readonly says: RegExp;
}

const GOOD = `global
    maxconn 100
defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
resolvers dns
    nameserver one 127.0.0.1:53
frontend in
    bind 127.0.0.1:18080
    acl is_free hdr(X-Group) -i free
    use_backend canary if is_free
    default_backend stable
backend canary
    server c1 127.0.0.1:8001 weight 5 check inter 2s resolvers dns
    server c2 127.0.0.1:8002 weight 95
backend stable
    server s1 127.0.0.1:8003
`;

const FAULTS: readonly Fault[] = [
  {
    what: 'an ACL that there is not',
    at: 'use_backend',
    by: 'use_backend canary if is_fre',
    says: /no such ACL : 'is_fre'; did you mean "is_free"\?/,
  },
  {
    what: 'a backend that there is not',
    at: 'use_backend',
    by: 'use_backend canry if is_free',
    says: /unable to find required use_backend: 'canry'; did you mean "canary"\?/,
  },
  {
    what: 'a default backend that there is not',
    at: 'default_backend',
    by: 'default_backend stale',
    says: /unable to find required default_backend: 'stale'/,
  },
  {
    what: 'and between conditions',
    at: 'use_backend',
    by: 'use_backend canary if is_free AND is_free',
    says: /no such ACL : 'AND'; conditions side by side/,
  },
  {
    what: 'a brace without blanks',
    at: 'use_backend',
    by: 'use_backend canary if {hdr(X) a}',
    says: /no such ACL : '\{hdr\(X\)'; put blanks around/,
  },
  {
    what: 'a brace that is not closed',
    at: 'use_backend',
    by: 'use_backend canary if { hdr(X) a',
    says: /missing closing '\}'/,
  },
  {
    what: 'a rule without if',
    at: 'use_backend',
    by: 'use_backend canary is_free',
    says: /expects if or unless/,
  },
  {
    what: 'an unknown matching method',
    at: 'acl',
    by: 'acl is_free hdr(X-Group) -m equals free',
    says: /unknown matching method 'equals'/,
  },
  { what: 'an unknown flag', at: 'acl', by: 'acl is_free hdr(X-Group) -z free', says: /unknown flag '-z'/ },
  {
    what: 'a range that is no number',
    at: 'acl',
    by: 'acl is_free hdr_cnt(X-Group) gt many',
    says: /'many' is neither a number nor a valid range/,
  },
  {
    what: 'a draw from a range',
    at: 'acl',
    by: 'acl is_free rand(0..100) lt 5',
    says: /rand\(0\.\.100\) needs a positive number/,
  },
  {
    what: 'a quote that does not end',
    at: 'acl',
    by: 'acl is_free hdr(X-Group) "free',
    says: /unmatched quote/,
  },
  {
    what: 'a missing pattern file',
    at: 'acl',
    by: 'acl is_free hdr(X-Group) -f nowhere.txt',
    says: /cannot read the pattern file 'nowhere.txt'/,
  },
  {
    what: 'two servers of one name',
    at: 'server c2',
    by: 'server c1 127.0.0.1:8002',
    says: /another server named 'c1' was already defined at line 16/,
  },
  {
    what: 'a weight above 256',
    at: 'server c2',
    by: 'server c2 127.0.0.1:8002 weight 257',
    says: /weight of a server is not within 0 and 256/,
  },
  {
    what: 'an interval of nothing',
    at: 'server c2',
    by: 'server c2 127.0.0.1:8002 check inter 0',
    says: /invalid value 0 for argument 'inter'/,
  },
  {
    what: 'rise 0',
    at: 'server c2',
    by: 'server c2 127.0.0.1:8002 check rise 0',
    says: /'rise' expects a whole number from 1/,
  },
  {
    what: 'a misspelt option',
    at: 'server c2',
    by: 'server c2 127.0.0.1:8002 chek',
    says: /unknown keyword 'chek' of a server; did you mean "check"\?/,
  },
  {
    what: 'a condition on a server',
    at: 'server c2',
    by: 'server c2 127.0.0.1:8002 check if is_free',
    says: /a server takes no condition/,
  },
  {
    what: 'a checked server without a port',
    at: 'server c2',
    by: 'server c2 127.0.0.1 check',
    says: /neither service port nor check port/,
  },
  {
    what: 'resolvers that there are not',
    at: 'server c2',
    by: 'server c2 127.0.0.1:8002 resolvers dsn',
    says: /unable to find required resolvers 'dsn'/,
  },
  {
    what: 'a time with a fraction',
    at: 'timeout server',
    by: 'timeout server 0.5s',
    says: /expects a time such as 500ms/,
  },
  {
    what: 'an unknown timeout',
    at: 'timeout server',
    by: 'timeout sever 1s',
    says: /'timeout' supports .*server/,
  },
  { what: 'an unknown mode', at: 'mode http', by: 'mode htp', says: /unknown proxy mode 'htp'/ },
  {
    what: 'a misspelt keyword',
    at: 'default_backend',
    by: 'default_backnd stable',
    says: /unknown keyword 'default_backnd'; did you mean "default_backend"\?/,
  },
  {
    what: 'a line that is continued',
    at: 'default_backend',
    by: '\\',
    says: /unknown keyword '\\'; a line cannot be continued/,
  },
  {
    what: 'a line before any section',
    at: 'global',
    by: 'maxcon 100',
    says: /unknown keyword 'maxcon' out of section/,
  },
  { what: 'an .if without .endif', at: 'maxconn', by: '.if 1', says: /'.if' of line 2 has no '.endif'/ },
  { what: 'a lone .endif', at: 'maxconn', by: '.endif', says: /lone '.endif'/ },
  {
    what: 'a backend declared twice',
    at: 'backend stable',
    by: 'backend canary',
    says: /backend 'canary' has the same name as backend 'canary' declared at .*:15/,
  },
  {
    what: 'a name with a slash',
    at: 'backend stable',
    by: 'backend sta/ble',
    says: /'sta\/ble' is not a name/,
  },
  {
    what: 'defaults that there are not',
    at: 'backend stable',
    by: 'backend stable from base',
    says: /unable to find the defaults section 'base'/,
  },
];

suite('a file that HAProxy refuses', () => {
  test('the file that the faults are put into is good for both', async () => {
    const file = path.join(temporaryDirectory(), 'haproxy.cfg');
    writeFileSync(file, GOOD);
    assert.equal((await checkHaproxy(file)).code, 0);
    assert.deepEqual(importFile(file).verdicts, []);
  });

  for (const { what, at, by, says } of FAULTS) {
    test(what, async () => {
      const lines = GOOD.split('\n');
      const index = lines.findIndex((line) => line.trim().startsWith(at));
      lines[index] = by;
      const file = path.join(temporaryDirectory(), 'haproxy.cfg');
      writeFileSync(file, lines.join('\n'));
      const haproxy = await checkHaproxy(file);
      assert.equal(haproxy.code, 1, `HAProxy takes it:\n${haproxy.output}`);
      const result = importFile(file);
      assert.equal(result.yaml, undefined);
      const verdict = result.verdicts.find(({ message }) => says.test(message));
      assert.ok(verdict, JSON.stringify(result.verdicts));
      assert.equal(verdict.line, index + 1);
      assert.ok(verdict.column >= 1 && verdict.column <= by.length, `column ${verdict.column}`);
      assert.equal(verdict.file, 'haproxy.cfg');
    });
  }
});
