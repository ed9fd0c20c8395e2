/** What the configuration says about every request, compiled once per reload. */
import { isDeepStrictEqual } from 'node:util';
import { FORWARDABLE_METHODS } from '../config/schema/traffic.ts';
import type { Config } from '../config/schema.ts';
import { DebugGate } from '../debug-header/debug-fields.ts';
import { FieldClassifier } from '../http/fields.ts';
import { compilePropagation, type Propagation } from '../propagation/propagate.ts';
import { TrustList } from './peer.ts';

export interface ForwardPolicy {
  readonly trust: TrustList;
  /** The group is taken from trusted peers alone. */
  readonly groupNeedsTrust: boolean;
  readonly ambiguousGroup: Config['ambiguousGroup'];
  readonly xForwarded: boolean;
  readonly forwarded: boolean;
  /** What Via gets on the way to the upstream, such as `1.1 pointsman`; undefined: none. A gateway need not add it
   * to responses (RFC 9110, 7.6.3). */
  readonly via: string | undefined;
  /** The same as a line of a head; '' for none. */
  readonly viaLine: string;
  readonly groupHeader: string;
  readonly requestIdField: string;
  /** The line of a head, up to the id. */
  readonly requestIdStart: string;
  /** Routes look at the host; otherwise it need not be taken apart. */
  readonly needsHost: boolean;
  /** Routes look at the client's address; otherwise X-Forwarded-For need not be taken apart. */
  readonly needsClient: boolean;
  readonly isTrusted: (address: string) => boolean;
  /** Lower case. */
  readonly upgrades: ReadonlySet<string>;
  /** Methods of requests that are forwarded. */
  readonly methods: ReadonlySet<string>;
  /** The same as the value of Allow. */
  readonly allowedMethods: string;
  readonly maxRequestBody: number;
  readonly retryAttempts: number;
  readonly retryBuffer: number;
  readonly queueTimeout: number;
  readonly requestBodyTimeout: number;
  readonly tunnelTimeout: number;
  /** Who may ask why a request went where it went; undefined: nobody. */
  readonly debug: DebugGate | undefined;
  /** Undefined: services behind are told nothing of a decision. */
  readonly propagation: Propagation | undefined;
  /** Headers that name the user, where headers may come from peers that are not trusted; else undefined. */
  readonly identityHeaders: readonly string[] | undefined;
  readonly requestFields: FieldClassifier;
  readonly responseFields: FieldClassifier;
}

/**
 * @param needs  what routes look at besides the group
 * @param before    the policy that this one replaces: what its classifiers have met stays known
 */
export function compilePolicy(
  config: Config,
  needs: { readonly host: boolean; readonly client: boolean },
  before: ForwardPolicy | undefined,
): ForwardPolicy {
  const { forwarding, limits, retries, timeouts } = config;
  const methods = forwarding.methods ?? FORWARDABLE_METHODS;
  const trust = new TrustList(config.trust.cidrs);
  const propagation = compilePropagation(config.propagate);
  const identityHeaders = trust.empty ? undefined : identityHeadersOf(config);
  return {
    trust,
    isTrusted: (address) => trust.has(address),
    groupNeedsTrust: !trust.empty,
    ambiguousGroup: config.ambiguousGroup,
    xForwarded: forwarding.xForwarded,
    forwarded: forwarding.forwarded,
    via: forwarding.via === '' ? undefined : `1.1 ${forwarding.via}`,
    viaLine: forwarding.via === '' ? '' : `Via: 1.1 ${forwarding.via}\r\n`,
    requestIdField: forwarding.requestId,
    requestIdStart: `${forwarding.requestId}: `,
    needsHost: needs.host,
    needsClient: needs.client,
    upgrades: new Set(forwarding.upgrades.map((protocol) => protocol.toLowerCase())),
    methods: new Set(methods),
    allowedMethods: methods.join(', '),
    maxRequestBody: limits.requestBody ?? Number.POSITIVE_INFINITY,
    retryAttempts: retries.attempts,
    retryBuffer: retries.bufferSize,
    queueTimeout: timeouts.queue,
    requestBodyTimeout: timeouts.requestBody === 0 ? Number.POSITIVE_INFINITY : timeouts.requestBody,
    tunnelTimeout: timeouts.tunnel,
    groupHeader: config.groupHeader,
    debug: config.debug === undefined ? undefined : new DebugGate(config.debug.token),
    propagation,
    identityHeaders,
    ...(before !== undefined && sameFields(before, config, propagation, identityHeaders)
      ? { requestFields: before.requestFields, responseFields: before.responseFields }
      : {
          requestFields: FieldClassifier.forRequests(
            config.groupHeader,
            forwarding.requestId,
            propagation,
            identityHeaders,
          ),
          responseFields: FieldClassifier.forResponses(forwarding.requestId),
        }),
  };
}

function sameFields(
  before: ForwardPolicy,
  { groupHeader, forwarding }: Config,
  propagation: Propagation | undefined,
  identityHeaders: readonly string[] | undefined,
): boolean {
  return (
    before.groupHeader === groupHeader &&
    before.requestIdField === forwarding.requestId &&
    isDeepStrictEqual(before.propagation, propagation) &&
    isDeepStrictEqual(before.identityHeaders, identityHeaders)
  );
}

/** Returns the headers by which pins know a user. */
function identityHeadersOf({ pins }: Config): string[] {
  return Object.values(pins).flatMap(({ by }) =>
    by.flatMap((source) => ('header' in source ? [source.header] : [])),
  );
}
