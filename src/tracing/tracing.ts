/**
 * Spans of requests, sent by OTLP over HTTP with OpenTelemetry's own SDK. It is loaded when tracing is on
 * and never before: what it costs, only those pay who want it.
 */
import type { Attributes, Tracer } from '@opentelemetry/api';
import type { Config } from '../config/schema.ts';
import { formatTraceparent, parseTraceparent } from './traceparent.ts';

/** Spans that wait for the collector; further ones are dropped while it is away. */
const MAX_WAITING = 4_096;
const MAX_BATCH = 512;
const EXPORT_INTERVAL_MS = 2_000;
const EXPORT_TIMEOUT_MS = 10_000;

/** What a span says of its request; nothing of it names a user. */
export interface SpanFacts {
  readonly method: string;
  /** Undefined when it never got one. */
  readonly route: string | undefined;
  readonly backend: string | undefined;
  readonly endpoint: string | undefined;
  /** 0 or undefined: nothing was answered. */
  readonly status: number | undefined;
  readonly bucket: number | undefined;
  readonly retries: number;
  /** Machine-readable, of failures of Pointsman's own. */
  readonly reason: string | undefined;
}

/** One request under way. */
export interface TracedRequest {
  /** For the upstream, in place of the one that came. `tracestate` is passed on only where `continued`. */
  readonly traceparent: string;
  /** The trace that came was valid and goes on. */
  readonly continued: boolean;
  /** Once. Costs next to nothing where the trace is not recorded. @param endMs epoch milliseconds */
  end(facts: SpanFacts, endMs: number): void;
}

export interface Tracing {
  /**
   * @param received value of `traceparent`, when the request has exactly one
   * @param startMs  epoch milliseconds, fractions allowed
   */
  begin(received: string | undefined, method: string, startMs: number): TracedRequest;
  /** Sends what waits, for some seconds at most. */
  close(): Promise<void>;
}

/** @throws Error in plain words when the SDK cannot be loaded */
export async function openTracing(
  config: NonNullable<Config['tracing']>,
  service: string,
  version: string,
): Promise<Tracing> {
  const [
    api,
    { TracerProvider, BatchSpanProcessor, ParentBasedSampler, TraceIdRatioBasedSampler },
    otlp,
    res,
  ] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/sdk-trace'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/resources'),
  ]).catch((error: Error) => {
    throw new Error(
      `tracing needs OpenTelemetry's SDK, which cannot be loaded (${error.message}); install the package with all of its dependencies`,
    );
  });
  const { ROOT_CONTEXT, SpanKind, SpanStatusCode, TraceFlags, trace } = api;
  const provider = new TracerProvider({
    resource: res.resourceFromAttributes({ 'service.name': service, 'service.version': version }),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(config.sampleRatio) }),
    spanProcessors: [
      new BatchSpanProcessor({
        exporter: new otlp.OTLPTraceExporter({
          url: config.endpoint,
          headers: { ...config.headers },
          timeoutMillis: EXPORT_TIMEOUT_MS,
        }),
        maxQueueSize: MAX_WAITING,
        maxExportBatchSize: MAX_BATCH,
        scheduledDelayMillis: EXPORT_INTERVAL_MS,
        exportTimeoutMillis: EXPORT_TIMEOUT_MS,
      }),
    ],
  });
  const tracer: Tracer = provider.getTracer('pointsman', version);
  return {
    begin: (received, method, startMs) => {
      const parent = received === undefined ? undefined : parseTraceparent(received);
      const context =
        parent === undefined
          ? ROOT_CONTEXT
          : trace.setSpanContext(ROOT_CONTEXT, {
              traceId: parent.traceId,
              spanId: parent.spanId,
              traceFlags: parent.sampled ? TraceFlags.SAMPLED : TraceFlags.NONE,
              isRemote: true,
            });
      const span = tracer.startSpan(method, { kind: SpanKind.SERVER, startTime: startMs }, context);
      const { traceId, spanId, traceFlags } = span.spanContext();
      const sampled = (traceFlags & TraceFlags.SAMPLED) !== 0;
      return {
        traceparent: formatTraceparent({ traceId, spanId, sampled }),
        continued: parent !== undefined,
        end: (facts, endMs) => {
          if (span.isRecording()) {
            if (facts.route !== undefined) span.updateName(`${facts.method} ${facts.route}`);
            span.setAttributes(attributesOf(facts));
            if ((facts.status ?? 0) >= 500 || !facts.status) span.setStatus({ code: SpanStatusCode.ERROR });
          }
          span.end(endMs);
        },
      };
    },
    close: () => provider.shutdown(),
  };
}

/** Names as in OpenTelemetry's semantic conventions where they have one. */
function attributesOf(facts: SpanFacts): Attributes {
  const { method, route, backend, endpoint, status, bucket, retries, reason } = facts;
  const attributes: Attributes = { 'http.request.method': method };
  if (status) attributes['http.response.status_code'] = status;
  if (endpoint !== undefined) attributes['network.peer.address'] = endpoint;
  if (reason !== undefined) attributes['error.type'] = reason;
  if (retries > 0) attributes['http.request.resend_count'] = retries;
  if (route !== undefined) attributes['pointsman.route'] = route;
  if (backend !== undefined) attributes['pointsman.backend'] = backend;
  if (bucket !== undefined) attributes['pointsman.bucket'] = bucket;
  return attributes;
}
