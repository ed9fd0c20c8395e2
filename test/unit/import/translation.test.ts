/** What single lines of a haproxy.cfg become. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { fieldValueOf } from '../../../src/import/header-edits.ts';
import { coveredOf, parseIntegers } from '../../../src/import/integers.ts';
import { parseNetwork } from '../../../src/import/networks.ts';
import { parseBytes, parseTime } from '../../../src/import/quantities.ts';
import { ratio, wholeNumbers } from '../../../src/import/rational.ts';
import { parseSample } from '../../../src/import/sample.ts';
import { configOf, DEFAULTS, importText, rulesText } from './import-text.ts';

/** One backend with these lines, and the route and backends that it becomes. */
function backendOf(lines: readonly string[], frontend: readonly string[] = []) {
  const text = `${DEFAULTS}frontend in\n    bind :8080\n${frontend.map((line) => `    ${line}\n`).join('')}    default_backend app\nbackend app\n${lines.map((line) => `    ${line}\n`).join('')}`;
  const config = configOf(text);
  return { config, route: config.routes.at(-1)!, report: importText(text).report };
}

function fateOf(report: ReturnType<typeof importText>['report'], start: string) {
  const line = report.find(({ statement }) =>
    statement.words
      .map(({ text }) => text)
      .join(' ')
      .startsWith(start),
  );
  return line === undefined ? undefined : `${line.fate}: ${line.note}`;
}

suite('servers', () => {
  test('that are replicas become one backend with a list, others tracks of a split', () => {
    const replicas = backendOf(['server app1 10.0.0.1:80 check', 'server app2 10.0.0.2:80 check']);
    assert.deepEqual(replicas.route.split, { app: 1 });
    assert.equal(replicas.config.backends['app']?.servers?.length, 2);
    const tracks = backendOf(['server canary 10.0.0.1:80', 'server production 10.0.0.2:80']);
    assert.deepEqual(tracks.route.split, { canary: 1, production: 1 });
    const weighted = backendOf(['server app1 10.0.0.1:80 weight 3', 'server app2 10.0.0.2:80 weight 1']);
    assert.deepEqual(weighted.route.split, { 'app-app1': 3, 'app-app2': 1 });
    const busy = backendOf(['balance leastconn', 'server a 10.0.0.1:80 weight 9', 'server b 10.0.0.2:80']);
    assert.equal(busy.config.backends['app']?.balance, 'leastRequests');
    assert.deepEqual(
      busy.config.backends['app']?.servers?.map(({ weight }) => weight),
      [9, 1],
    );
  });

  test('that are the same in several backends are one backend, checked once', () => {
    const { backends } = configOf(
      rulesText(['use_backend one if { path_beg /1 }', 'default_backend two'], []) +
        'backend one\n    server canary 10.0.0.1:80 weight 5\n    server production 10.0.0.2:80 weight 95\n' +
        'backend two\n    server production 10.0.0.2:80\n',
    );
    assert.deepEqual(Object.keys(backends), ['canary', 'production']);
  });

  test('with the same name and another address are told apart', () => {
    const { backends, routes } = configOf(
      rulesText(['use_backend one if { path_beg /1 }', 'default_backend two'], []) +
        'backend one\n    server main 10.0.0.1:80\nbackend two\n    server main 10.0.0.2:80\n',
    );
    assert.deepEqual(Object.keys(backends), ['main', 'two-main']);
    assert.deepEqual(
      routes.map(({ name, split }) => [name, split]),
      [
        ['one', { main: 1 }],
        ['two', { 'two-main': 1 }],
      ],
    );
  });

  test('keep their options', () => {
    const { config } = backendOf([
      'default-server inter 3s rise 3',
      'server app 10.0.0.1:80 check fall 5 fastinter 1s downinter 10s port 81 maxconn 50 maxqueue 7 slowstart 30s',
      'server spare 10.0.0.2:80 backup disabled',
    ]);
    const app = config.backends['app']!;
    assert.equal(app.maxConnections, 50);
    assert.equal(app.maxPending, 7);
    assert.equal(app.slowStart, 30_000);
    assert.deepEqual(config.health.interval, 3_000);
    assert.equal(config.health.rise, 3);
    assert.equal(config.health.fall, 5);
    assert.equal(config.health.fastInterval, 1_000);
    assert.equal(config.health.downInterval, 10_000);
    assert.equal(config.health.port, 81);
    const spare = config.backends['spare']!;
    assert.equal(spare.backup, true);
    assert.equal(spare.drain, true);
    assert.equal(spare.health?.enabled, false);
  });

  test('are addresses of every form', () => {
    const url = (address: string, frontend: string[] = []) => {
      const { url: parsed } = backendOf([`server app ${address}`], frontend).config.backends['app']!;
      return `${parsed?.scheme} ${parsed?.host} ${parsed?.port}`;
    };
    assert.equal(url('ipv4@app.example:81'), 'http app.example 81');
    assert.equal(url('[fd00::1]:81'), 'http fd00::1 81');
    assert.equal(url('10.0.0.1'), 'http 10.0.0.1 8080');
    assert.equal(url('10.0.0.1:+1'), 'http 10.0.0.1 8081');
    assert.equal(url('10.0.0.1:443 ssl verify required'), 'https 10.0.0.1 443');
  });

  test('from a template are every address of a name, or what SRV records tell', () => {
    const names = backendOf(['server-template web 1-10 web.example:80 check']);
    assert.equal(names.config.backends['app']?.url?.host, 'web.example');
    assert.match(fateOf(names.report, 'server-template')!, /^approximated: every address/);
    const records = backendOf(['server-template web 5 _http._tcp.web.example check']);
    assert.equal(records.config.backends['app']?.url?.srv, true);
  });

  test('that cannot be reached by TCP, or safely, are not supported', () => {
    for (const [server, says] of [
      ['unix@/run/app.sock', /is no TCP address/],
      ['10.0.0.1:443 ssl verify none', /TLS without verifying/],
      ['10.0.0.1:80 send-proxy-v2', /PROXY protocol/],
    ] as const) {
      const { report } = backendOf(['server good 10.0.0.9:80', `server app ${server}`]);
      assert.match(fateOf(report, 'server app')!, says);
    }
  });
});

suite('checks', () => {
  const check = (...lines: string[]) => {
    const { health } = backendOf([...lines, 'server app 10.0.0.1:80 check']).config;
    const { path, method, host, headers, status, body } = health;
    return { path, method, host, headers, status, body };
  };

  test('are TCP connects, or requests as option httpchk and http-check say', () => {
    assert.equal(check().path, undefined);
    assert.deepEqual(check('option httpchk'), {
      path: '/',
      method: 'OPTIONS',
      host: undefined,
      headers: undefined,
      status: ['2xx', '3xx'],
      body: undefined,
    });
    const old = check('option httpchk GET /up HTTP/1.1\\r\\nHost:\\ app.example\\r\\nX-Probe:\\ 1');
    assert.deepEqual(
      [old.path, old.method, old.host, old.headers],
      ['/up', 'GET', 'app.example', { 'X-Probe': '1' }],
    );
    const sent = check(
      'option httpchk',
      'http-check send meth HEAD uri /up hdr Host a.example hdr X-Probe yes',
    );
    assert.deepEqual(
      [sent.path, sent.method, sent.host, sent.headers],
      ['/up', 'HEAD', 'a.example', { 'X-Probe': 'yes' }],
    );
  });

  test('expect statuses and texts', () => {
    const status = (expectation: string) =>
      check('option httpchk', `http-check expect ${expectation}`).status;
    assert.deepEqual(status('status 200,204'), [200, 204]);
    assert.deepEqual(status('status 200-399'), ['2xx', '3xx']);
    assert.deepEqual(status('! status 500-599'), ['1xx', '2xx', '3xx', '4xx']);
    assert.deepEqual(status('rstatus ^[23]'), ['2xx', '3xx']);
    assert.deepEqual(status('! rstatus ^5'), ['1xx', '2xx', '3xx', '4xx']);
    assert.equal(check('option httpchk', 'http-check expect string ready').body, 'ready');
  });
});

suite('users that stay on a server', () => {
  test('are pinned by what the table, the hash or the cookie is keyed by', () => {
    const pin = (...lines: string[]) => {
      const { config, route } = backendOf([...lines, 'server canary 10.0.0.1:80', 'server main 10.0.0.2:80']);
      return route.pin === undefined ? undefined : config.pins[route.pin];
    };
    const table = pin('stick-table type string size 2k expire 10m', 'stick on req.cook(sid)');
    assert.deepEqual(table?.by, [{ cookie: 'sid' }]);
    assert.deepEqual([table?.store, table?.ttl, table?.maxEntries], ['memory', 600_000, 2_048]);
    assert.deepEqual(pin('balance hdr(X-User)')?.by, [{ header: 'X-User' }]);
    assert.deepEqual(pin('balance hash req.cook(uid)')?.by, [{ cookie: 'uid' }]);
    assert.deepEqual(pin('balance source')?.by, [{ clientAddress: { trustedHops: 0 } }]);
    assert.deepEqual(pin('cookie JSESSIONID prefix')?.by, [{ cookie: 'JSESSIONID' }]);
    const issued = pin('cookie SRV insert indirect maxlife 8h')?.issueCookie;
    assert.deepEqual([issued?.name, issued?.ttl, issued?.secure], ['SRV', 28_800_000, false]);
    assert.equal(pin(), undefined);
  });
});

suite('fields', () => {
  test('come out as HAProxy leaves them, whatever the order of rules', () => {
    const { route } = backendOf(
      ['http-request add-header X-B 3', 'http-request del-header X-C', 'server app 10.0.0.1:80'],
      [
        'http-request set-header X-A 1',
        'http-request add-header X-A 2',
        'http-request set-header X-B first',
        'http-request add-header X-C gone',
        'http-response set-header X-R %[src]',
      ],
    );
    assert.deepEqual(route.request, {
      remove: ['X-C'],
      set: { 'X-A': '1', 'X-B': 'first' },
      add: { 'X-A': '2', 'X-B': '3' },
    });
    assert.deepEqual(route.response, { set: { 'X-R': '%{client.address}' } });
  });

  test('have values of texts and known expressions alone', () => {
    assert.equal(
      fieldValueOf('a %[req.hdr(Host)] %ci:%cp %[method]'),
      'a %{header:Host} %{client.address}:%{client.port} %{request.method}',
    );
    assert.equal(fieldValueOf('100%% %%{x}'), '100% %%{x}');
    for (const unknown of ['%[ssl_c_s_dn]', '%[req.hdr(X),lower]', '%Tq', '50% off']) {
      assert.equal(typeof fieldValueOf(unknown), 'object', unknown);
    }
  });

  test('that rules look at, or that change under a condition, are not supported', () => {
    const text = rulesText(
      [
        'http-request set-header X-Group free',
        'http-request set-header X-Odd yes if { path_beg /odd }',
        'http-request set-header X-Proto https if { ssl_fc }',
        'use_backend canary if { hdr(X-Group) -i free }',
        'default_backend stable',
      ],
      ['canary', 'stable'],
    );
    const { report } = importText(text);
    assert.match(
      fateOf(report, 'http-request set-header X-Group')!,
      /^not supported: it changes X-Group before/,
    );
    assert.match(fateOf(report, 'http-request set-header X-Odd')!, /^not supported: .*row of their own/);
    assert.match(
      fateOf(report, 'http-request set-header X-Proto')!,
      /^translated: its condition never holds/,
    );
  });
});

suite('settings', () => {
  test('of timeouts in all units, with those of single backends in their rows', () => {
    const text =
      'defaults\n    mode http\n    timeout connect 1500\n    timeout client 1m\n    timeout server 60s\n    timeout http-request 5000000us\n    timeout http-keep-alive 10s\n    timeout queue 3s\n    timeout tunnel 1d\n' +
      'frontend in\n    bind :8080\n    use_backend slow if { path_beg /slow }\n    default_backend app\n' +
      'backend app\n    server app 10.0.0.1:80\nbackend slow\n    timeout server 5m\n    server slow 10.0.0.2:80\n';
    const { timeouts, routes } = configOf(text);
    assert.deepEqual(timeouts, {
      connect: 1_500,
      responseHead: 60_000,
      idle: 60_000,
      requestHead: 5_000,
      requestBody: 0,
      keepAlive: 10_000,
      queue: 3_000,
      tunnel: 86_400_000,
    });
    assert.deepEqual(
      routes.map((route) => route.timeouts),
      [{ responseHead: 300_000, idle: 300_000 }, undefined],
    );
  });

  test('of the listener, forwarding, retries and limits', () => {
    const { config } = backendOf(
      ['retries 5', 'server app 10.0.0.1:80'],
      ['option forwardfor', 'unique-id-header X-Trace', 'maxconn 2000'],
    );
    assert.deepEqual(config.listen, { host: '0.0.0.0', port: 8080 });
    assert.equal(config.forwarding.xForwarded, true);
    assert.equal(config.forwarding.requestId, 'X-Trace');
    assert.equal(config.retries.attempts, 5);
    assert.equal(config.limits.connections, 2_000);
    assert.equal(backendOf(['server app 10.0.0.1:80']).config.forwarding.xForwarded, false);
  });

  test('of the group: the field that most rules compare, unless HTTP has a use for it', () => {
    const header = (...rules: string[]) => configOf(rulesText([...rules, 'default_backend b'], ['a', 'b']));
    const config = header(
      'use_backend a if { hdr(X-Tier) -i one } { hdr(user-agent) -i x }',
      'use_backend a if { hdr(X-Tier) -i two }',
      'use_backend a if { hdr(X-Other) -i y }',
    );
    assert.equal(config.groupHeader, 'X-Tier');
    assert.equal(config.ambiguousGroup, 'any');
    assert.equal(header('use_backend a if { hdr(X-Tier) one }').groupHeader, 'X-Traffic-Group');
  });
});

suite('small readers', () => {
  test('of integers, draws, networks, times, sizes and samples', () => {
    const covered = (patterns: string, count: number) =>
      coveredOf(parseIntegers(patterns.split(' ')) as never, count);
    assert.equal(covered('lt 5', 100), 5);
    assert.equal(covered('ge 90', 100), 10);
    assert.equal(covered('eq 1 2 2', 10), 2);
    assert.equal(covered('3:7', 10), 5);
    assert.equal(covered(':4', 10), 5);
    assert.equal(covered('lt 500', 10), 10);
    assert.equal(typeof parseIntegers(['many']), 'string');
    assert.equal(parseNetwork('10/8'), '10.0.0.0/8');
    assert.equal(parseNetwork('10.1.0.0/255.255.0.0'), '10.1.0.0/16');
    assert.equal(parseNetwork('fd00::/8'), 'fd00::/8');
    for (const bad of ['example.com', '10.0.0.0/33', '10.0.0.0/255.0.255.0', '300.1.1.1', '10']) {
      assert.equal(parseNetwork(bad), undefined, bad);
    }
    assert.deepEqual(
      ['1500', '2s', '3m', '1d', '10us', '0.5s', '2sec', ''].map((text) => parseTime(text)),
      [1_500, 2_000, 180_000, 86_400_000, 1, undefined, undefined, undefined],
    );
    assert.deepEqual(['512', '1k', '2m', 'x'].map(parseBytes), [512, 1_024, 2_097_152, undefined]);
    assert.deepEqual(parseSample('req.hdr(X,1),field(2,","),lower'), {
      fetch: { name: 'req.hdr', args: ['X', '1'] },
      converters: [
        { name: 'field', args: ['2', ','] },
        { name: 'lower', args: [] },
      ],
    });
    assert.equal(typeof parseSample('hdr(X'), 'string');
    assert.deepEqual(wholeNumbers([ratio(1, 20), ratio(19, 20)]), { weights: [1, 19], exact: true });
  });
});
