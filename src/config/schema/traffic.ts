/** What holds for all traffic: timeouts, bounds, retries, fields that are added, the access log. */

import { METHODS } from 'node:http';
import { z } from 'zod';
import { duration, fieldName, size } from './values.ts';

export const timeouts = z.strictObject({
  connect: duration({ max: 300_000 })
    .prefault('2s')
    .describe('To connect to an upstream (HAProxy: `timeout connect`).'),
  responseHead: duration()
    .prefault('60s')
    .describe('From the end of the request to the head of the response (HAProxy: `timeout server`).'),
  idle: duration()
    .prefault('60s')
    .describe(
      'Without a byte while a body is under way, either direction (HAProxy: `timeout client` and `server`).',
    ),
  requestHead: duration({ max: 3_600_000 })
    .prefault('10s')
    .describe('To receive a whole request head (HAProxy: `timeout http-request`).'),
  requestBody: duration({ min: 0 })
    .prefault('0ms')
    .describe('To receive a whole request body; `0ms`: no limit besides `idle`.'),
  keepAlive: duration({ max: 86_400_000 })
    .prefault('75s')
    .describe('Between requests on a client connection (HAProxy: `timeout http-keep-alive`).'),
  queue: duration({ max: 3_600_000 })
    .prefault('2s')
    .describe('Waiting for a connection to an endpoint at its limit (HAProxy: `timeout queue`).'),
  tunnel: duration()
    .prefault('1h')
    .describe('Without a byte in a WebSocket or other upgraded connection (HAProxy: `timeout tunnel`).'),
});

export const retries = z.strictObject({
  attempts: z
    .int()
    .min(0)
    .max(10)
    .default(2)
    .describe('Most retries of one request, that of a shield included.'),
  bufferSize: size({ max: 16 * 1024 ** 2 })
    .prefault('64KiB')
    .describe('Largest request body kept so that an idempotent request can be sent again.'),
  budget: z
    .strictObject({
      percent: z
        .int()
        .min(0)
        .max(100)
        .default(20)
        .describe('Most retries, as a share of the requests of the window.'),
      window: duration({ min: 1_000, max: 600_000 }).prefault('10s').describe('Time that is looked back.'),
      floor: z.int().min(0).max(10_000).default(3).describe('Retries per window that are always granted.'),
    })
    .prefault({})
    .describe('Bound of all retries together, per worker, so that an outage is not multiplied.'),
});

/** Common methods, in the order of the Allow header. */
const COMMON_METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

/**
 * Methods that the parser knows, without CONNECT, which asks for a tunnel, and TRACE, which would show the headers that
 * Pointsman adds (RFC 9110, 9.3.8).
 */
export const FORWARDABLE_METHODS: readonly string[] = [
  ...COMMON_METHODS,
  ...METHODS.filter(
    (method) => !COMMON_METHODS.includes(method) && method !== 'CONNECT' && method !== 'TRACE',
  ),
];

export const forwarding = z.strictObject({
  fastLane: z
    .boolean()
    .default(true)
    .describe(
      'Serve plain requests on bare sockets; `false`: all by node:http and undici, at more than twice the CPU. Needs a restart.',
    ),
  xForwarded: z.boolean().default(true).describe('Send X-Forwarded-For, -Proto and -Host to upstreams.'),
  forwarded: z.boolean().default(false).describe('Send Forwarded (RFC 7239) to upstreams.'),
  via: z
    .string()
    .regex(/^[A-Za-z0-9._-]{0,64}$/, 'is not a name for Via: letters, digits, ".", "_" and "-", at most 64')
    .default('pointsman')
    .describe('Name in Via; empty: no Via.'),
  requestId: fieldName.default('X-Request-Id').describe('Field of the request id.'),
  upgrades: z
    .array(z.string().regex(/^[A-Za-z0-9!#$%&'*+.^_`|~/-]{1,64}$/, 'is not a protocol name'))
    .max(16)
    .default(['websocket'])
    .describe('Protocols a client may upgrade to; any other upgrade is treated as an ordinary request.'),
  methods: z
    .array(z.enum(FORWARDABLE_METHODS))
    .min(1)
    .max(FORWARDABLE_METHODS.length)
    .optional()
    .describe(
      'Request methods that are forwarded; others get 405. Default: all that the HTTP parser of Node.js knows, except CONNECT and TRACE.',
    ),
});

export const accessLog = z.strictObject({
  mode: z
    .enum(['all', 'errors', 'off'])
    .default('all')
    .describe('Every request, those with status 500 and above or that failed, or none.'),
  sample: z
    .number()
    .min(0)
    .max(1)
    .default(1)
    .describe('Share of the requests logged in mode `all`; failures always are.'),
});
