import assert from 'node:assert/strict';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, describe, it } from 'node:test';
import { parseTraceparent } from '../../../src/tracing/traceparent.ts';
import { openTracing, type SpanFacts } from '../../../src/tracing/tracing.ts';

interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly { readonly key: string; readonly value: Record<string, unknown> }[];
  readonly status: { readonly code?: number };
}

interface Otlp {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: OtlpSpan['attributes'] };
    readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[];
  }[];
}

/** What a collector is: takes OTLP over HTTP in its JSON encoding. */
const received: Otlp[] = [];
const fields: IncomingHttpHeaders[] = [];
const collector = createServer(async (req, res) => {
  const chunks: Buffer[] = [];
  for await (const chunk of req as AsyncIterable<Buffer>) chunks.push(chunk);
  fields.push(req.headers);
  if (req.url === '/v1/traces') received.push(JSON.parse(Buffer.concat(chunks).toString()));
  res.writeHead(200, { 'content-type': 'application/json' }).end('{}');
});
await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve));
after(() => collector.close());
const endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}/v1/traces`;

const FACTS: SpanFacts = {
  method: 'GET',
  route: 'free',
  backend: 'canary',
  endpoint: '10.0.0.1:8080',
  status: 200,
  bucket: 431,
  retries: 1,
  reason: undefined,
};
const PARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

describe('tracing', () => {
  it('sends a span of each recorded request to the collector, in the trace that came', async () => {
    const config = { endpoint, headers: { authorization: 'Bearer x' }, sampleRatio: 1 };
    const tracing = await openTracing(config, 'account-service', '1.2.3');
    const continued = tracing.begin(PARENT, 'GET', 1_700_000_000_000);
    const fresh = tracing.begin('nonsense', 'POST', 1_700_000_000_000);
    assert.deepEqual([continued.continued, fresh.continued], [true, false]);
    continued.end(FACTS, 1_700_000_000_250);
    fresh.end(
      { ...FACTS, method: 'POST', status: 503, reason: 'no_endpoint', retries: 0 },
      1_700_000_000_001,
    );
    await tracing.close();

    const [resource] = received.flatMap((one) => one.resourceSpans);
    assert.ok(
      resource!.resource.attributes.some(
        ({ key, value }) => key === 'service.name' && value['stringValue'] === 'account-service',
      ),
    );
    const spans = received.flatMap((one) =>
      one.resourceSpans.flatMap((r) => r.scopeSpans.flatMap((s) => s.spans)),
    );
    assert.equal(spans.length, 2);
    const first = spans.find(({ name }) => name === 'GET free')!;
    assert.equal(first.traceId, '0af7651916cd43dd8448eb211c80319c');
    assert.equal(first.parentSpanId, 'b7ad6b7169203331');
    assert.equal(first.kind, 2);
    assert.equal(BigInt(first.endTimeUnixNano) - BigInt(first.startTimeUnixNano), 250_000_000n);
    assert.deepEqual(parseTraceparent(continued.traceparent), {
      traceId: first.traceId,
      spanId: first.spanId,
      sampled: true,
    });
    const values = Object.fromEntries(
      first.attributes.map(({ key, value }) => [key, Object.values(value)[0]]),
    );
    assert.deepEqual(values, {
      'http.request.method': 'GET',
      'http.response.status_code': 200,
      'network.peer.address': '10.0.0.1:8080',
      'http.request.resend_count': 1,
      'pointsman.route': 'free',
      'pointsman.backend': 'canary',
      'pointsman.bucket': 431,
    });
    const second = spans.find(({ name }) => name === 'POST free')!;
    assert.equal(second.status.code, 2);
    assert.notEqual(second.traceId, first.traceId);
    assert.equal(fields[0]!['authorization'], 'Bearer x');
  });

  it('records nothing of a trace that its caller does not record, and still passes it on', async () => {
    const before = received.length;
    const tracing = await openTracing({ endpoint, headers: {}, sampleRatio: 1 }, 's', '1');
    const request = tracing.begin(`${PARENT.slice(0, -2)}00`, 'GET', 1);
    const parent = parseTraceparent(request.traceparent)!;
    assert.deepEqual([parent.traceId, parent.sampled], ['0af7651916cd43dd8448eb211c80319c', false]);
    assert.notEqual(parent.spanId, 'b7ad6b7169203331');
    request.end(FACTS, 2);
    await tracing.close();
    assert.equal(received.length, before);
  });

  it('begins traces that are not recorded where the ratio says so', async () => {
    const tracing = await openTracing({ endpoint, headers: {}, sampleRatio: 0 }, 's', '1');
    assert.equal(parseTraceparent(tracing.begin(undefined, 'GET', 1).traceparent)?.sampled, false);
    await tracing.close();
  });
});
