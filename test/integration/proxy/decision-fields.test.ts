/** What services behind, people who may ask, and a collector of traces are told of a decision. */

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { suite, test } from 'node:test';
import { cleanUp } from '../../support/clean-up.ts';
import { reserveClosedPort } from '../../support/closed-port.ts';
import { type PointsmanProcess, startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { RawClient } from '../../support/raw-client.ts';
import { type RawRequest, startRawUpstream } from '../../support/raw-upstream.ts';
import { waitFor } from '../../support/wait-for.ts';

const TOKEN = 'let-me-see-please';
const TRUSTED = '127.0.0.2';
const UNTRUSTED = '127.0.0.1';

const upstream = await startRawUpstream();

function config(more: Partial<TestConfig> = {}): TestConfig {
  return {
    backends: { canary: { url: upstream.url }, production: { url: upstream.url } },
    routes: [{ name: 'all', split: { canary: 5, production: 95 }, pin: 'user' }],
    pins: { user: { by: [{ header: 'X-User' }], store: 'none' } },
    trust: { cidrs: [`${TRUSTED}/32`] },
    health: { enabled: false },
    ...more,
  };
}

let asked = 0;

async function ask(proxy: PointsmanProcess, lines: string, localAddress: string, status = 200) {
  const target = `/${asked++}`;
  const client = await RawClient.connect(proxy.trafficPort, { localAddress });
  const answer = await client.send(`GET ${target} HTTP/1.1\r\nHost: a\r\n${lines}\r\n`).read();
  client.destroy();
  assert.equal(answer.status, status);
  const request = upstream.requests.findLast((candidate) => candidate.target === target);
  return { request: request as RawRequest, answer };
}

suite('propagation', async () => {
  const proxy = await startPointsman(config({ propagate: {} }));

  test('tells the upstream route and bucket, as fields and as baggage', async () => {
    const { request } = await ask(proxy, 'X-User: 7\r\nbaggage: mine=1\r\n', UNTRUSTED);
    const bucket = request.value('x-pointsman-bucket');
    assert.equal(request.value('x-pointsman-route'), 'all');
    assert.match(bucket!, /^\d{1,4}$/);
    assert.equal(request.value('baggage'), `pointsman.route=all,pointsman.bucket=${bucket},mine=1`);
  });

  test('takes out what an untrusted peer says, and keeps the user of a trusted one in its bucket', async () => {
    const given = 'X-User: 7\r\nX-Pointsman-Bucket: 3\r\nX-Pointsman-Route: other\r\n';
    const own = await ask(proxy, given, UNTRUSTED);
    assert.notEqual(own.request.value('x-pointsman-bucket'), '3');
    const kept = await ask(proxy, given, TRUSTED);
    assert.equal(kept.request.value('x-pointsman-bucket'), '3');
    assert.equal(kept.request.value('x-pointsman-route'), 'all');
    assert.equal((await proxy.accessLine(kept.answer.value('x-request-id')!))['backend'], 'canary');
  });
});

suite('asking why', async () => {
  const proxy = await startPointsman(
    config({ debug: { token: TOKEN }, routes: [{ name: 'all', split: { production: 1 } }] }),
  );

  test('is answered to who has the token, and to trusted peers', async () => {
    for (const [lines, address] of [
      [`X-Pointsman-Debug: ${TOKEN}\r\n`, UNTRUSTED],
      ['X-Pointsman-Debug: 1\r\n', TRUSTED],
    ] as const) {
      const { request, answer } = await ask(proxy, lines, address);
      assert.equal(answer.value('x-pointsman-route'), 'all');
      assert.equal(answer.value('x-pointsman-backend'), 'production');
      assert.equal(answer.value('x-pointsman-endpoint'), `127.0.0.1:${upstream.port}`);
      assert.match(answer.value('server-timing')!, /upstream;dur=[\d.]+/);
      assert.equal(request.value('x-pointsman-debug'), undefined, 'the token goes no further');
    }
  });

  test('is not answered to anybody else', async () => {
    for (const lines of ['X-Pointsman-Debug: a-wrong-token-indeed\r\n', '']) {
      const { answer } = await ask(proxy, lines, UNTRUSTED);
      assert.equal(answer.value('x-pointsman-route'), undefined);
      assert.equal(answer.value('server-timing'), undefined);
    }
  });

  test('is answered on failures, too', async () => {
    const dead = await startPointsman(
      config({
        debug: {},
        backends: { dead: { url: `http://127.0.0.1:${await reserveClosedPort()}` } },
        routes: [{ name: 'all', split: { dead: 1 } }],
      }),
    );
    const { answer } = await ask(dead, 'X-Pointsman-Debug: 1\r\n', TRUSTED, 503);
    assert.equal(answer.value('x-pointsman-backend'), 'dead');
  });
});

suite('tracing', async () => {
  interface Span {
    readonly name: string;
    readonly traceId: string;
    readonly parentSpanId?: string;
    readonly spanId: string;
  }
  const spans: Span[] = [];
  const collector = createServer(async (req, res) => {
    let text = '';
    for await (const chunk of req) text += chunk;
    const { resourceSpans } = JSON.parse(text) as {
      resourceSpans: { scopeSpans: { spans: Span[] }[] }[];
    };
    spans.push(...resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans)));
    res.end('{}');
  });
  await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve));
  cleanUp(() => collector.close());
  const endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}/v1/traces`;
  const proxy = await startPointsman(config({ tracing: { endpoint, sampleRatio: 1 } }));

  test('carries a trace on, and sends its span to the collector', async () => {
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
    const { request } = await ask(
      proxy,
      `traceparent: 00-${traceId}-00f067aa0ba902b7-01\r\ntracestate: a=1\r\n`,
      UNTRUSTED,
    );
    const sent = /^00-([0-9a-f]{32})-([0-9a-f]{16})-01$/.exec(request.value('traceparent')!)!;
    assert.equal(sent[1], traceId);
    assert.notEqual(sent[2], '00f067aa0ba902b7');
    assert.equal(request.value('tracestate'), 'a=1');
    await waitFor('the span', () => spans.some(({ spanId }) => spanId === sent[2]));
    const span = spans.find(({ spanId }) => spanId === sent[2])!;
    assert.equal(span.name, 'GET all');
    assert.equal(span.parentSpanId, '00f067aa0ba902b7');
  });

  test('begins one where there is none, or one that is not valid, whose state then ends here', async () => {
    for (const lines of ['', 'traceparent: 00-short-1-01\r\ntracestate: a=1\r\n']) {
      const { request } = await ask(proxy, lines, UNTRUSTED);
      assert.match(request.value('traceparent')!, /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
      assert.equal(request.value('tracestate'), undefined);
    }
  });
});
