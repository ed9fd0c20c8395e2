/** What the configuration says about every request, compiled once per reload. */
import type { Config } from '../config/schema.ts';
import { FieldClassifier } from './fields.ts';
import { TrustList } from './peer.ts';

export interface ForwardPolicy {
  readonly trust: TrustList;
  /** The group is taken from trusted peers alone. */
  readonly groupNeedsTrust: boolean;
  readonly ambiguousGroup: Config['ambiguousGroup'];
  readonly xForwarded: boolean;
  readonly forwarded: boolean;
  /** Value that is appended to Via, such as `1.1 pointsman`; undefined: none. */
  readonly via: string | undefined;
  readonly requestIdField: string;
  /** Lower case. */
  readonly upgrades: ReadonlySet<string>;
  readonly maxRequestBody: number;
  readonly retryAttempts: number;
  readonly retryBuffer: number;
  readonly queueTimeout: number;
  readonly requestBodyTimeout: number;
  readonly tunnelTimeout: number;
  readonly requestFields: FieldClassifier;
  readonly responseFields: FieldClassifier;
}

export function compilePolicy(config: Config): ForwardPolicy {
  const { forwarding, limits, retries, timeouts, trust } = config;
  return {
    trust: new TrustList(trust.cidrs),
    groupNeedsTrust: trust.cidrs.length > 0,
    ambiguousGroup: config.ambiguousGroup,
    xForwarded: forwarding.xForwarded,
    forwarded: forwarding.forwarded,
    via: forwarding.via === '' ? undefined : `1.1 ${forwarding.via}`,
    requestIdField: forwarding.requestId,
    upgrades: new Set(forwarding.upgrades.map((protocol) => protocol.toLowerCase())),
    maxRequestBody: limits.requestBody ?? Number.POSITIVE_INFINITY,
    retryAttempts: retries.attempts,
    retryBuffer: retries.bufferSize,
    queueTimeout: timeouts.queue,
    requestBodyTimeout: timeouts.requestBody === 0 ? Number.POSITIVE_INFINITY : timeouts.requestBody,
    tunnelTimeout: timeouts.tunnel,
    requestFields: FieldClassifier.forRequests(config.groupHeader, forwarding.requestId),
    responseFields: FieldClassifier.forResponses(forwarding.requestId),
  };
}
