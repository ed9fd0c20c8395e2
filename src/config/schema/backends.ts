/** Upstream services: where they are, how they are checked, balanced and protected. */

import { isIP } from 'node:net';
import { z } from 'zod';
import { duration, fieldName, secret } from './values.ts';

/**
 * An upstream's URL → scheme, host, port and the authority as written (for Host, where the client sent none). With
 * `srv` the host is the name of a SRV record, which tells the ports; `port` is 0 then.
 */
const backendUrl = z
  .string()
  .meta({ format: 'uri', pattern: '^(https?|dns\\+srvs?)://[^/?#@]+/?$' })
  .transform((text, context) => {
    const problem = (message: string) => {
      context.issues.push({ code: 'custom', input: text, message });
      return z.NEVER;
    };
    const match =
      /^(https?|dns\+srvs?):\/\/(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::(\d{1,5}))?(\/?)(.*)$/.exec(text);
    if (match === null)
      return problem(
        'is not an upstream URL; write http://HOST[:PORT], https://HOST[:PORT] or dns+srv://_http._tcp.NAME',
      );
    if (match[5] !== '') {
      return problem('has more than scheme, host and port; paths pass through as the client sent them');
    }
    const srv = match[1]!.startsWith('dns+');
    const scheme = match[1] === 'https' || match[1] === 'dns+srvs' ? 'https' : 'http';
    const bracketed = match[2]!.startsWith('[');
    const host = match[2]!.replace(/^\[|\]$/g, '');
    if (bracketed && isIP(host) !== 6) return problem('has no IPv6 address between the brackets');
    if (host.length > 253) return problem('has a host name longer than 253 characters');
    if (!bracketed && !/^[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?$/.test(host)) {
      return problem('has a host name with a part that is empty or longer than 63 characters');
    }
    if (srv && (match[3] !== undefined || isIP(host) !== 0)) {
      return problem('has a port or an address; a SRV record has a name and tells the port itself');
    }
    const port = srv ? 0 : match[3] === undefined ? (scheme === 'http' ? 80 : 443) : Number(match[3]);
    if (!srv && (port < 1 || port > 65_535)) return problem('has a port that is not from 1 to 65535');
    const authority = match[3] === undefined ? match[2]! : `${match[2]!}:${match[3]}`;
    return { scheme, srv, host, port, authority } as const;
  });

/** Fields of a check that frame its request or choose what becomes of the connection. */
const OWN_FIELDS: ReadonlySet<string> = new Set([
  'host',
  'connection',
  'content-length',
  'transfer-encoding',
  'te',
  'trailer',
  'upgrade',
  'expect',
  'keep-alive',
  'proxy-connection',
]);

/** One set of fields for `health` (where each has a default) and for a backend's overrides (where none has). */
const healthFields = {
  enabled: z.boolean().describe('`false`: endpoints count as up without being checked.'),
  interval: duration({ min: 50, max: 3_600_000 }).describe('Between two checks of one endpoint.'),
  fastInterval: duration({ min: 50, max: 3_600_000 }).describe(
    'Between two checks while the results contradict the state (HAProxy: `fastinter`); default: `interval`.',
  ),
  downInterval: duration({ min: 50, max: 3_600_000 }).describe(
    'Between two checks of an endpoint that is down (HAProxy: `downinter`); default: `interval`.',
  ),
  timeout: duration({ min: 10, max: 600_000 }).describe('For one check, connecting included.'),
  rise: z.int().min(1).max(100).describe('Good checks in a row that bring a down endpoint back up.'),
  fall: z.int().min(1).max(100).describe('Failed checks in a row that take an up endpoint down.'),
  jitter: z.number().min(0).max(0.5).describe('Share of the interval by which checks are spread at random.'),
  path: z
    .string()
    .regex(/^\/[\x21-\x7e]*$/, 'must start with / and hold neither blanks nor control characters')
    .max(2048)
    .describe('Check with an HTTP request to this path; without it, with a TCP connect.'),
  method: z.enum(['GET', 'HEAD', 'OPTIONS']).describe('Method of an HTTP check.'),
  host: z
    .string()
    .regex(/^[A-Za-z0-9._:[\]-]{1,253}$/, 'is not a host; write HOST or HOST:PORT')
    .describe("Host field of an HTTP check; default: the backend's own authority."),
  headers: z
    .record(
      fieldName.refine(
        (field) => !OWN_FIELDS.has(field.toLowerCase()),
        'is a field that the check sets itself; for Host there is `host`',
      ),
      secret(z.string().regex(/^[\x20-\x7e\t]{0,4096}$/, 'has a character that no field may hold')),
    )
    .describe('Further fields of an HTTP check.'),
  port: z.int().min(1).max(65_535).describe('Port that is checked; default: that of the endpoint.'),
  body: z
    .string()
    .min(1)
    .max(4096)
    .describe('Text that the body of an HTTP check must hold, within its first 64 KiB.'),
  status: z
    .array(
      z.union([
        z.int().min(100).max(599),
        z.string().regex(/^[1-5]xx$/, 'is not a status code or a class such as 2xx'),
      ]),
    )
    .min(1)
    .max(100)
    .describe('Status codes or classes that count as good.'),
};

export const health = z.strictObject({
  enabled: healthFields.enabled.default(true),
  interval: healthFields.interval.prefault('2s'),
  timeout: healthFields.timeout.prefault('1s'),
  rise: healthFields.rise.default(2),
  fall: healthFields.fall.default(3),
  jitter: healthFields.jitter.default(0.1),
  fastInterval: healthFields.fastInterval.optional(),
  downInterval: healthFields.downInterval.optional(),
  path: healthFields.path.optional(),
  method: healthFields.method.default('GET'),
  host: healthFields.host.optional(),
  headers: healthFields.headers.optional(),
  port: healthFields.port.optional(),
  body: healthFields.body.optional(),
  status: healthFields.status.default(['2xx', '3xx']),
});

/** As `healthFields`: once with defaults, once as a backend's overrides. */
const outlierFields = {
  enabled: z.boolean().describe('`false`: traffic ejects no endpoint.'),
  gatewayFailures: z
    .int()
    .min(1)
    .max(1_000)
    .describe('Answers 502, 503 or 504 in a row that eject an endpoint.'),
  connectFailures: z
    .int()
    .min(1)
    .max(1_000)
    .describe('Failed connects, resets and timeouts before a response in a row that eject an endpoint.'),
  baseEjection: duration({ min: 100, max: 3_600_000 }).describe(
    'How long an endpoint is ejected the first time; twice as long the next time, and so on.',
  ),
  maxEjection: duration({ min: 100, max: 86_400_000 }).describe('Longest ejection.'),
  maxEjectionPercent: z
    .int()
    .min(0)
    .max(100)
    .describe(
      'Most of the endpoints of a backend that may be ejected at once, in percent; never the last one.',
    ),
};

export const outlier = z.strictObject({
  enabled: outlierFields.enabled.default(true),
  gatewayFailures: outlierFields.gatewayFailures.default(5),
  connectFailures: outlierFields.connectFailures.default(3),
  baseEjection: outlierFields.baseEjection.prefault('30s'),
  maxEjection: outlierFields.maxEjection.prefault('5m'),
  maxEjectionPercent: outlierFields.maxEjectionPercent.default(50),
});

/** One of the upstreams that a backend may list instead of a single URL. */
const server = z.strictObject({
  url: backendUrl.describe('As `url` of the backend.'),
  weight: z
    .int()
    .min(0)
    .max(256)
    .default(1)
    .describe('Share among the endpoints of the backend; 0: no requests.'),
  backup: z.boolean().default(false).describe('Used only while no endpoint that is no backup is available.'),
  drain: z.boolean().default(false).describe('No new requests; what is under way ends.'),
});

const drain = z.union([
  z.boolean(),
  z.array(z.string().refine(isEndpoint, 'is not an endpoint; write IP or IP:PORT')).max(256),
]);

/** An IPv6 address with a port stands in brackets. */
function isEndpoint(text: string): boolean {
  const match = /^\[(.+)\](?::(\d{1,5}))?$/.exec(text) ?? /^([0-9.]+)(?::(\d{1,5}))?$/.exec(text);
  const port = Number(match?.[2] ?? 80);
  if (port < 1 || port > 65_535) return false;
  return text.startsWith('[') ? isIP(match?.[1] ?? '') === 6 : isIP(match?.[1] ?? text) !== 0;
}

export const backend = z.strictObject({
  url: backendUrl
    .optional()
    .describe(
      '`http://HOST[:PORT]`, `https://HOST[:PORT]`, or `dns+srv://NAME` (`dns+srvs://` for TLS) for SRV records.',
    ),
  servers: z.array(server).min(1).max(256).optional().describe('Several upstreams instead of one `url`.'),
  build: z
    .string()
    .min(1)
    .max(128)
    .regex(/^[^\p{C}]*$/u, 'holds control characters')
    .optional()
    .describe(
      'What runs behind it, such as the tag of an image: shown beside the name, and users who met it are counted anew when it changes.',
    ),
  backup: z
    .boolean()
    .default(false)
    .describe('Gets its weight only while no other backend of a split is available.'),
  drain: drain
    .default(false)
    .describe('`true`: the backend gets no new requests; a list: these endpoints get none.'),
  balance: z
    .enum(['roundrobin', 'leastRequests', 'random'])
    .default('roundrobin')
    .describe('Among the endpoints: in turn, the less busy of two picked at random, or at random.'),
  health: z
    .strictObject(healthFields)
    .partial()
    .optional()
    .describe('Overrides single keys of `health` for this backend.'),
  outlier: z
    .strictObject(outlierFields)
    .partial()
    .optional()
    .describe('Overrides single keys of `outlier` for this backend.'),
  panicThreshold: z
    .int()
    .min(0)
    .max(100)
    .default(50)
    .describe(
      'Below this percentage of healthy endpoints the main backend of a split uses all of them, and tries them when nothing in the split is available. 0: never.',
    ),
  slowStart: duration({ min: 0, max: 3_600_000 })
    .prefault('0ms')
    .describe('Time in which an endpoint that comes back ramps up from 10 % of its share; `0ms`: at once.'),
  pipelining: z
    .int()
    .min(1)
    .max(64)
    .default(1)
    .describe(
      'Most GET and HEAD requests of one moment that may share a connection, their responses in order: less CPU, but a slow response holds up those behind it for a moment. 1: none.',
    ),
  maxConnections: z
    .int()
    .min(0)
    .max(1_000_000)
    .default(0)
    .describe(
      'Most connections to one endpoint, WebSockets included, per worker; further requests wait. 0: no limit.',
    ),
  maxPending: z
    .int()
    .min(0)
    .max(1_000_000)
    .default(1024)
    .describe('Most requests waiting for a connection to one endpoint.'),
  maxConnectionAge: duration({ min: 1_000 })
    .prefault('5m')
    .describe(
      'A connection older than this is closed after its request, so that load spreads behind a ClusterIP.',
    ),
  keepAlive: duration({ max: 3_600_000 })
    .prefault('4s')
    .describe('How long an idle connection is kept; below the keep-alive time of the upstream itself.'),
});
