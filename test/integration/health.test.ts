/** Checks over real sockets: what a probe finds, and what backends make of upstreams that die, hang and come back. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import { getCACertificates, setDefaultCACertificates, type TLSSocket } from 'node:tls';
import type { BackendEndpoints } from '../../src/backends/endpoint.ts';
import { probe, probeHttp, probeTcp } from '../../src/backends/probe.ts';
import type { HttpProbe } from '../../src/backends/probe-target.ts';
import { BackendSupervisor, type SupervisorEvent } from '../../src/backends/supervisor.ts';
import { type ConfigInput, configSchema } from '../../src/config/schema.ts';
import { selfSigned } from '../support/certificate.ts';
import { cleanUp } from '../support/clean-up.ts';
import { reserveClosedPort } from '../support/closed-port.ts';
import { oneBackend } from '../support/design-table.ts';
import { startDnsServer } from '../support/dns-server.ts';
import { startHttpUpstream } from '../support/http-upstream.ts';
import { type PointsmanProcess, startPointsman } from '../support/pointsman-process.ts';
import { inParallel, send } from '../support/request.ts';
import { startStoppedListener } from '../support/stopped-listener.ts';
import { startUpstreamProcess } from '../support/upstream-process.ts';
import { inTime, pause, waitFor } from '../support/wait-for.ts';

/** Counts what is open, and closes it with the test. */
async function listen(server: Server, host = '127.0.0.1', port = 0) {
  const sockets = new Set<Socket>();
  let connections = 0;
  server.on('connection', (socket) => {
    connections++;
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  const close = () => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  cleanUp(close);
  server.listen(port, host);
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    open: () => sockets.size,
    connections: () => connections,
    close,
  };
}

const listenHttp = (listener: RequestListener) => listen(createHttpServer(listener));

/** Sends these bytes to whoever connects, and what `then` adds. */
const listenRaw = (bytes: string, then: (socket: Socket) => void = () => {}) =>
  listen(
    createServer((socket) => {
      socket.once('data', () => {
        socket.write(bytes, 'latin1');
        then(socket);
      });
    }),
  );

function httpProbe(port: number, changes: Partial<HttpProbe> = {}): HttpProbe {
  return {
    kind: 'http',
    scheme: 'http',
    address: '127.0.0.1',
    port,
    timeout: 2_000,
    method: 'GET',
    path: '/healthz',
    host: 'account-service:8080',
    serverName: 'account-service',
    status: ['2xx', '3xx'],
    headers: {},
    body: undefined,
    ...changes,
  };
}

async function verdict(result: ReturnType<typeof probe>): Promise<[boolean, string]> {
  const { ok, detail, local, durationMs } = await inTime('the verdict', result, 5_000);
  assert.equal(local, false);
  assert.ok(durationMs >= 0 && durationMs < 5_000);
  return [ok, detail];
}

describe('a TCP check', () => {
  test('is good when a connection comes about, and leaves none behind', async () => {
    const { port, open, connections } = await listen(createServer());
    assert.deepEqual(await verdict(probeTcp({ address: '127.0.0.1', port, timeout: 1_000 })), [
      true,
      'connected',
    ]);
    await waitFor('the connection to be closed', () => connections() === 1 && open() === 0);
  });

  test('fails where nobody listens', async () => {
    const port = await reserveClosedPort();
    assert.deepEqual(await verdict(probeTcp({ address: '127.0.0.1', port, timeout: 1_000 })), [
      false,
      'connection refused',
    ]);
  });

  test('fails when nobody accepts in time', async () => {
    const { port } = await startStoppedListener();
    assert.deepEqual(await verdict(probeTcp({ address: '127.0.0.1', port, timeout: 150 })), [
      false,
      'timed out after 150ms',
    ]);
  });

  test('can be called off', async () => {
    const { port } = await startStoppedListener();
    const controller = new AbortController();
    const result = probeTcp({ address: '127.0.0.1', port, timeout: 60_000 }, controller.signal);
    controller.abort();
    assert.deepEqual(await verdict(result), [false, 'called off']);
  });
});

describe('an HTTP check', () => {
  test('asks as it is told to, under the name of the backend, on a connection of its own', async () => {
    const seen: unknown[] = [];
    const { port, open } = await listenHttp(({ method, url, headers }, res) => {
      seen.push([method, url, headers.host, headers['user-agent'], headers.connection]);
      res.end('ok');
    });
    for (const method of ['GET', 'HEAD', 'OPTIONS'] as const) {
      const result = probe(httpProbe(port, { method, path: '/health?full=1', host: 'shop.test' }));
      assert.deepEqual(await verdict(result), [true, 'HTTP 200']);
    }
    assert.deepEqual(
      seen,
      ['GET', 'HEAD', 'OPTIONS'].map((method) => [
        method,
        '/health?full=1',
        'shop.test',
        'pointsman-check',
        'close',
      ]),
    );
    await waitFor('the connections to be closed', () => open() === 0);
  });

  test('goes by the list of codes and classes', async () => {
    let status = 200;
    const { port } = await listenHttp((_, res) => {
      res.statusCode = status;
      res.end();
    });
    const cases: [number, (number | string)[], boolean][] = [
      [200, ['2xx', '3xx'], true],
      [204, ['2xx'], true],
      [399, ['2xx', '3xx'], true],
      [404, ['2xx', '3xx'], false],
      [404, [200, 404], true],
      [401, ['4xx'], true],
      [503, ['2xx', '3xx'], false],
      [200, [204], false],
    ];
    for (const [code, list, ok] of cases) {
      status = code;
      assert.deepEqual(await verdict(probe(httpProbe(port, { status: list }))), [ok, `HTTP ${code}`]);
    }
  });

  test('does not follow redirects', async () => {
    let requests = 0;
    const { port } = await listenHttp((_, res) => {
      requests++;
      res.writeHead(302, { location: `http://127.0.0.1:${port}/elsewhere` }).end();
    });
    assert.deepEqual(await verdict(probe(httpProbe(port))), [true, 'HTTP 302']);
    assert.deepEqual(await verdict(probe(httpProbe(port, { status: ['2xx'] }))), [false, 'HTTP 302']);
    assert.equal(requests, 2);
  });

  test('does not take an interim response for the answer', async () => {
    const { port } = await listenRaw(
      'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n',
    );
    assert.deepEqual(await verdict(probe(httpProbe(port))), [false, 'HTTP 503']);
  });

  test('fails when the answer does not come in time, or comes byte by byte', async () => {
    const silent = await listenHttp(() => {});
    assert.deepEqual(await verdict(probe(httpProbe(silent.port, { timeout: 150 }))), [
      false,
      'timed out after 150ms',
    ]);
    const drip = await listenRaw('HTTP/1.1 2', (socket) => {
      const timer = setInterval(() => socket.write('0'), 20);
      socket.on('close', () => clearInterval(timer));
    });
    assert.equal((await verdict(probe(httpProbe(drip.port, { timeout: 150 }))))[0], false);
    await waitFor('the connections to be closed', () => silent.open() === 0 && drip.open() === 0);
  });

  test('goes by the status of an answer whose body never ends, and reads little of it', async () => {
    let written = 0;
    const { port, open } = await listenHttp((_, res) => {
      res.writeHead(200);
      const chunk = Buffer.alloc(16 * 1024);
      const pour = () => {
        while (res.write(chunk)) written += chunk.length;
        written += chunk.length;
      };
      res.on('drain', pour);
      pour();
    });
    assert.deepEqual(await verdict(probe(httpProbe(port))), [true, 'HTTP 200']);
    await waitFor('the connection to be closed', () => open() === 0);
    assert.ok(written < 16 * 1024 ** 2, `${written} bytes`);
  });

  test('goes by the status when the body stops half way or breaks off', async () => {
    const half = await listenRaw('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf');
    assert.deepEqual(await verdict(probe(httpProbe(half.port, { timeout: 150 }))), [true, 'HTTP 200']);
    const broken = await listenRaw('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf', (socket) =>
      socket.end(),
    );
    assert.deepEqual(await verdict(probe(httpProbe(broken.port))), [true, 'HTTP 200']);
    const bad = await listenRaw('HTTP/1.1 500 No\r\nContent-Length: 100\r\n\r\nhalf');
    assert.deepEqual(await verdict(probe(httpProbe(bad.port, { timeout: 150 }))), [false, 'HTTP 500']);
  });

  test('says what is wrong in the words of the one who runs the upstream', async () => {
    assert.deepEqual(await verdict(probe(httpProbe(await reserveClosedPort()))), [
      false,
      'connection refused',
    ]);
    const closing = await listenRaw('', (socket) => socket.end());
    assert.deepEqual(await verdict(probe(httpProbe(closing.port))), [
      false,
      'connection closed without a response',
    ]);
    const resetting = await listenRaw('', (socket) => socket.resetAndDestroy());
    assert.deepEqual(await verdict(probe(httpProbe(resetting.port))), [false, 'connection reset']);
    const foreign = await listenRaw('SSH-2.0-OpenSSH_9.2\r\n');
    assert.deepEqual(await verdict(probe(httpProbe(foreign.port))), [false, 'response is not HTTP/1']);
    const long = await listenRaw(`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`);
    assert.deepEqual(await verdict(probe(httpProbe(long.port))), [false, 'response head is too large']);
    const switching = await listenRaw(
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n',
    );
    assert.deepEqual(await verdict(probe(httpProbe(switching.port))), [
      false,
      'HTTP 101, though no upgrade was asked for',
    ]);
  });

  test('of an address that no URL can hold is a failed check like any other', async () => {
    for (const scheme of ['http', 'https'] as const) {
      const target = httpProbe(9, { address: 'fe80::1%nosuchlink', scheme, timeout: 100 });
      const { ok, detail } = await inTime('the verdict', probe(target), 5_000);
      assert.equal(ok, false);
      assert.match(detail, /^(network unreachable|timed out after 100ms|no route to host)$|EINVAL/);
    }
  });

  test('can be called off at any moment without leaving a connection', async () => {
    const { port, open, connections } = await listenHttp(() => {});
    for (const ms of [0, 1, 5, 20]) {
      const controller = new AbortController();
      const result = probe(httpProbe(port, { timeout: 60_000 }), controller.signal);
      await pause(ms);
      controller.abort();
      assert.deepEqual(await verdict(result), [false, 'called off']);
    }
    await waitFor('the connections to be closed', () => connections() > 0 && open() === 0);
  });
});

describe('a check of an https backend', () => {
  const certificate = selfSigned('shop.test', '127.0.0.1');
  const usual = getCACertificates('default');
  const trust = (...certificates: string[]) => setDefaultCACertificates([...usual, ...certificates]);
  cleanUp(() => trust());

  const listenHttps = () =>
    listen(
      createHttpsServer(certificate, (req, res) => {
        res.statusCode = (req.socket as TLSSocket).servername === 'shop.test' ? 200 : 299;
        res.end();
      }),
    );

  test('with a path goes over TLS, under the name of the URL', async () => {
    trust(certificate.cert);
    const { port } = await listenHttps();
    const https = { scheme: 'https', serverName: 'shop.test' } as const;
    assert.deepEqual(await verdict(probe(httpProbe(port, https))), [true, 'HTTP 200']);
    // An address is not sent by SNI, and stands in the certificate as an address.
    const address = { scheme: 'https', serverName: '127.0.0.1' } as const;
    assert.deepEqual(await verdict(probe(httpProbe(port, address))), [true, 'HTTP 299']);
  });

  test('fails for a certificate of another name, of an unknown authority, or none at all', async () => {
    trust(certificate.cert);
    const { port } = await listenHttps();
    assert.deepEqual(await verdict(probe(httpProbe(port, { scheme: 'https', serverName: 'other.test' }))), [
      false,
      'TLS: the certificate is for another name',
    ]);
    trust();
    assert.deepEqual(await verdict(probe(httpProbe(port, { scheme: 'https', serverName: 'shop.test' }))), [
      false,
      'TLS: the certificate is self-signed',
    ]);
    const plain = await listenHttp((_, res) => res.end());
    assert.deepEqual(
      await verdict(probe(httpProbe(plain.port, { scheme: 'https', serverName: 'shop.test' }))),
      [false, 'TLS: the endpoint does not speak TLS'],
    );
  });

  test('is bounded also while TLS is being set up', async () => {
    const { port, open } = await listen(createServer((socket) => socket.resume()));
    const result = probeHttp(httpProbe(port, { scheme: 'https', serverName: 'shop.test', timeout: 150 }));
    assert.deepEqual(await verdict(result), [false, 'timed out after 150ms']);
    await waitFor('the connection to be closed', () => open() === 0);
  });
});

describe('backends whose upstreams die and come back', () => {
  const QUICK = { interval: '60ms', timeout: '200ms', rise: 2, fall: 3 } as const;

  function supervise(backends: ConfigInput['backends'], changes: Partial<ConfigInput> = {}) {
    const told: BackendEndpoints[][] = [];
    const events: SupervisorEvent[] = [];
    const lines: { message: string; [field: string]: unknown }[] = [];
    const write = (fields: object, message: string) => {
      lines.push({ message, ...fields });
    };
    const supervisor = new BackendSupervisor({
      log: { info: write, warn: write } as never,
      onEndpoints: (lists) => told.push(lists),
      onEvent: (event) => events.push(event),
    });
    cleanUp(() => supervisor.close());
    const routes = [{ name: 'all', split: {} }];
    supervisor.apply(configSchema.parse({ health: QUICK, ...changes, backends, routes }));
    const health = (backend = 0) =>
      supervisor.endpoints()[backend]!.endpoints.map((endpoint) => endpoint.health);
    const checks = () => supervisor.status()[0]!.endpoints[0]!.checks;
    return { supervisor, told, events, lines, health, checks };
  }

  test('a killed one is down after `fall` failed checks, and up after `rise` good ones', async () => {
    const upstream = await startUpstreamProcess('web');
    const { supervisor, health, checks, lines } = supervise({ web: { url: upstream.url } });
    await supervisor.whenSettled();
    assert.deepEqual(health(), ['up']);
    await upstream.kill();
    await waitFor('the endpoint to be down', () => health()[0] === 'down');
    const failed = checks().map(({ ok }) => ok);
    assert.deepEqual(failed.slice(failed.indexOf(false), failed.indexOf(false) + 3), [false, false, false]);
    assert.equal(supervisor.status()[0]!.endpoints[0]!.reason, 'connection refused');
    await upstream.restart();
    await waitFor('the endpoint to be up', () => health()[0] === 'up');
    const all = checks().map(({ ok }) => ok);
    assert.deepEqual(all.slice(all.lastIndexOf(false) + 1).length, 2);
    const changes = lines.filter(({ message }) => message.startsWith('endpoint is'));
    assert.deepEqual(
      changes.map(({ from, to, reason }) => `${from} ${to}: ${reason}`),
      ['unchecked up: connected', 'up down: connection refused', 'down up: connected'],
    );
    assert.ok(changes.every(({ lasted }) => /^\d+(ms|s)$/.test(String(lasted))));
  });

  test('one that is dead at the start is down after its first check, and does not stop the others', async () => {
    const { port } = await listen(createServer());
    const { supervisor, health } = supervise({
      dead: { url: `http://127.0.0.1:${await reserveClosedPort()}` },
      live: { url: `http://127.0.0.1:${port}` },
    });
    await supervisor.whenSettled();
    assert.deepEqual([health(0), health(1)], [['down'], ['up']]);
  });

  test('one that is stopped and accepts no more is down by the timeout of its checks', async () => {
    const stopped = await startStoppedListener();
    const { supervisor, health, checks } = supervise({ web: { url: stopped.url } });
    await supervisor.whenSettled();
    assert.deepEqual(health(), ['down']);
    assert.equal(checks()[0]?.detail, 'timed out after 200ms');
  });

  test('a slow one does not hold up the checks of another', async () => {
    const silent = await listenHttp(() => {});
    let requests = 0;
    const live = await listenHttp((_, res) => {
      requests++;
      res.end();
    });
    supervise(
      { silent: { url: `http://127.0.0.1:${silent.port}` }, live: { url: `http://127.0.0.1:${live.port}` } },
      { health: { ...QUICK, timeout: '60s', path: '/' } },
    );
    await waitFor('ten checks of the other one', () => requests >= 10);
    assert.equal(silent.connections(), 1);
  });

  test('a failure seen by the data path finds a killed one down long before its next check', async () => {
    const upstream = await startUpstreamProcess('web');
    const { supervisor, health } = supervise(
      { web: { url: upstream.url } },
      // Three ordinary checks would take longer than this test waits; reports bring one every half second.
      { health: { interval: '5s', jitter: 0, timeout: '200ms', fall: 3 } },
    );
    await supervisor.whenSettled();
    await upstream.kill();
    await waitFor('the endpoint to be down', () => {
      supervisor.reportFailure('web', '127.0.0.1', upstream.port);
      return health()[0] === 'down';
    });
  });

  test('each address of a name has its own health, and a moved one is found through DNS', async () => {
    const dns = await startDnsServer({ 'web.test': ['127.0.0.2', '127.0.0.3'] }, { ttl: 0 });
    const second = await listen(createServer(), '127.0.0.2');
    const third = await listen(createServer(), '127.0.0.3', second.port);
    const { supervisor, health, told } = supervise(
      { web: { url: `http://web.test:${second.port}` } },
      { resolver: { nameservers: [dns.address], minTtl: '50ms', maxTtl: '100ms' } },
    );
    await supervisor.whenSettled();
    assert.deepEqual(health(), ['up', 'up']);
    third.close();
    await waitFor('one of them to be down', () => health().join() === 'up,down');
    await listen(createServer(), '127.0.0.4', second.port);
    await dns.serve({ 'web.test': ['127.0.0.2', '127.0.0.4'] });
    await waitFor('the new one to be up', () => {
      const { endpoints } = supervisor.endpoints()[0]!;
      return (
        endpoints.map(({ address, health: state }) => `${address} ${state}`).join() ===
        '127.0.0.2 up,127.0.0.4 up'
      );
    });
    // What the forwarding side has been told is what there is.
    await waitFor('the last word', () => {
      assert.deepEqual(told.at(-1)![0], supervisor.endpoints()[0]);
      return true;
    });
  });

  test('closing in the middle of checks leaves nothing open', async () => {
    const silent = await listenHttp(() => {});
    const { supervisor, told } = supervise(
      { web: { url: `http://127.0.0.1:${silent.port}` } },
      { health: { ...QUICK, timeout: '60s', path: '/' } },
    );
    await waitFor('a check', () => silent.open() === 1);
    supervisor.close();
    await waitFor('the connection to be closed', () => silent.open() === 0);
    const before = told.length;
    await pause(200);
    assert.equal(told.length, before);
    assert.equal(silent.connections(), 1);
  });
});

describe('checks and traffic of the proxy', () => {
  const endpointOf = async (proxy: PointsmanProcess, backend: string) =>
    (await proxy.status()).backends.find(({ name }) => name === backend)!.endpoints[0]!;

  async function tally(proxy: PointsmanProcess, count: number): Promise<Record<string, number>> {
    const counts: Record<string, number> = {};
    const names = await inParallel(count, 4, async () => {
      const answer = await send(proxy.trafficPort);
      assert.equal(answer.status, 200);
      return answer.echo().upstream;
    });
    for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
    return counts;
  }

  /**
   * Who got traffic, exactly; how much, within one request per backend of the split: the rotation goes on from the
   * phase in which a change of health met it.
   */
  function assertShares(
    counts: Readonly<Record<string, number>>,
    expected: Readonly<Record<string, number>>,
    backends: number,
  ): void {
    assert.deepEqual(Object.keys(counts).sort(), Object.keys(expected).sort());
    for (const [name, count] of Object.entries(expected)) {
      assert.ok(Math.abs(counts[name]! - count) <= backends, `${name}: ${counts[name]} for ${count}`);
    }
  }

  test('a killed upstream gives its weight to the rest of its split, and gets it back when it has risen', async () => {
    const canary = await startUpstreamProcess('canary');
    const paid = await startHttpUpstream('paid');
    const production = await startHttpUpstream('production');
    const proxy = await startPointsman({
      backends: {
        canary: { url: canary.url },
        paid: { url: paid.url },
        production: { url: production.url },
      },
      routes: [{ name: 'all', split: { canary: 2, paid: 1, production: 3 } }],
      health: { interval: '60ms', timeout: '200ms', rise: 2, fall: 3 },
    });
    // Every request is answered all the while, since GET is sent again elsewhere.
    const killed = canary.kill();
    await tally(proxy, 60);
    await killed;
    await proxy.waitForHealth('canary', 'down');
    const results = (await endpointOf(proxy, 'canary')).checks.map(({ ok }) => ok);
    assert.ok(results.filter((ok) => !ok).length >= 3, 'down only after `fall` failed checks');
    await canary.restart();
    await proxy.waitForHealth('canary', 'up');
    const { checks } = await endpointOf(proxy, 'canary');
    const good = checks.length - 1 - checks.findLastIndex(({ ok }) => !ok);
    assert.ok(good >= 2, 'up only after `rise` good checks');
    await canary.kill();
    await proxy.waitForHealth('canary', 'down');
    assertShares(await tally(proxy, 60), { paid: 15, production: 45 }, 3);
  });

  test('HTTP checks decide on traffic: whatever the health endpoint does, requests see good backends alone', async () => {
    let healthy = false;
    let redirected = 0;
    let streams = 0;
    const upstream = (name: string, healthz: RequestListener) =>
      startHttpUpstream(name, { behaviours: { healthz: (request, response) => healthz(request, response) } });
    const good = await upstream('good', (_, response) => response.end());
    const unlisted = await upstream('unlisted', (_, response) => response.writeHead(204).end());
    const failing = await upstream('failing', (_, response) => response.writeHead(healthy ? 200 : 503).end());
    const silent = await upstream('silent', () => {});
    const moved = await startHttpUpstream('moved', {
      behaviours: {
        healthz: (_, response) => response.writeHead(302, { location: '/elsewhere' }).end(),
        elsewhere: (_, response) => {
          redirected++;
          response.end();
        },
      },
    });
    const streaming = await upstream('streaming', (_, response) => {
      streams++;
      response.once('close', () => streams--);
      response.writeHead(200);
      const send = () => {
        while (!response.destroyed && response.write(Buffer.alloc(16_384)));
      };
      response.on('drain', send);
      send();
    });
    const garbage = await listenRaw('\x00\x01 this is no HTTP \r\n\r\n');
    const urls = {
      good: good.url,
      unlisted: unlisted.url,
      failing: failing.url,
      silent: silent.url,
      moved: moved.url,
      streaming: streaming.url,
      garbage: `http://127.0.0.1:${garbage.port}`,
    };
    const proxy = await startPointsman({
      backends: Object.fromEntries(Object.entries(urls).map(([name, url]) => [name, { url }])),
      routes: [{ name: 'all', split: Object.fromEntries(Object.keys(urls).map((name) => [name, 1])) }],
      health: { path: '/healthz', status: [200], interval: '60ms', timeout: '300ms', rise: 2, fall: 3 },
    });
    const found = Object.fromEntries(
      (await proxy.status()).backends.map(({ name, endpoints: [endpoint] }) => [
        name,
        `${endpoint!.health}: ${endpoint!.reason}`,
      ]),
    );
    assert.deepEqual(found, {
      good: 'up: HTTP 200',
      unlisted: 'down: HTTP 204',
      failing: 'down: HTTP 503',
      silent: 'down: timed out after 300ms',
      moved: 'down: HTTP 302',
      streaming: 'up: HTTP 200',
      garbage: 'down: response is not HTTP/1',
    });
    assertShares(await tally(proxy, 40), { good: 20, streaming: 20 }, 7);
    assert.equal(redirected, 0);
    assert.ok(streams <= 1, `${streams} bodies are still read`);
    healthy = true;
    await proxy.waitForHealth('failing', 'up');
    assertShares(await tally(proxy, 60), { good: 20, failing: 20, streaming: 20 }, 7);
  });

  test('a check that hangs holds up no request, neither of its own backend nor of another', async () => {
    const hanging = await startHttpUpstream('hanging', { behaviours: { healthz: () => {} } });
    const other = await startHttpUpstream('other');
    const proxy = await startPointsman(
      {
        backends: { hanging: { url: hanging.url }, other: { url: other.url, health: { path: '/ok' } } },
        routes: [{ name: 'all', split: { hanging: 1, other: 1 } }],
        health: { path: '/healthz', interval: '60ms', timeout: '10m' },
      },
      { ready: false },
    );
    assertShares(await tally(proxy, 40), { hanging: 20, other: 20 }, 2);
    assert.equal((await endpointOf(proxy, 'hanging')).health, 'unchecked');
    const checks = hanging.requests.filter(({ url }) => url === '/healthz');
    assert.equal(checks.length, 1, 'no second check while one is under way');
    assert.equal(await proxy.stop(), 0);
  });

  test('with checks off a dead endpoint counts as up, and serves again the moment it is back', async () => {
    const upstream = await startUpstreamProcess('web');
    const proxy = await startPointsman(oneBackend(upstream.url, { health: { enabled: false } }));
    await upstream.kill();
    assert.equal((await send(proxy.trafficPort)).failure().reason, 'connect_failed');
    const endpoint = await endpointOf(proxy, 'main');
    assert.deepEqual([endpoint.health, endpoint.reason, endpoint.checks], ['up', 'checks are off', []]);
    await upstream.restart();
    assert.equal((await send(proxy.trafficPort)).status, 200);
  });

  test('checks are TCP connects by default, and send nothing', async () => {
    let received = 0;
    const { port, connections } = await listen(
      createServer((socket) => {
        socket.on('data', (chunk) => {
          received += chunk.length;
        });
      }),
    );
    const proxy = await startPointsman(oneBackend(`http://127.0.0.1:${port}`));
    await proxy.waitFor('some checks', () => connections() >= 3);
    const { health, reason } = await endpointOf(proxy, 'main');
    assert.deepEqual([health, reason, received], ['up', 'connected', 0]);
  });
});
