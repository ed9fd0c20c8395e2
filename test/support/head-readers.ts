/** The readers of request heads of both lanes, behind one signature. */
import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { FOREIGN, PARTIAL, readRequest } from '../../src/forward/fast/request-reader.ts';
import type { Peer } from '../../src/forward/peer.ts';
import type { ForwardPolicy } from '../../src/forward/policy.ts';
import type { RequestDescription } from '../../src/forward/request-description.ts';
import { readRequestHead } from '../../src/forward/request-head.ts';

export interface ReadHead {
  /** Headers for the upstream, names and values in turn. */
  readonly passed: readonly string[];
  readonly request: RequestDescription;
}

/** Reads `GET /` for the host `a` with these headers, names and values in turn. */
export type HeadReader = (headers: readonly string[], policy: ForwardPolicy, peer: Peer) => ReadHead;

export const HEAD_READERS: Readonly<Record<'fast' | 'full', HeadReader>> = {
  fast(headers, policy, peer) {
    let text = 'GET / HTTP/1.1\r\nHost: a\r\n';
    for (let i = 0; i < headers.length; i += 2) text += `${headers[i]}: ${headers[i + 1]}\r\n`;
    const bytes = Buffer.from(`${text}\r\n`, 'latin1');
    const request = readRequest(bytes, 0, bytes.length, 100, policy, peer);
    assert.ok(request !== PARTIAL && request !== FOREIGN, 'the fast lane takes the request');
    const passed = request.upstreamHead
      .split('\r\n')
      .slice(1, -1)
      .flatMap((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]);
    return { passed, request };
  },
  full(headers, policy, peer) {
    const message = {
      ...{ method: 'GET', url: '/', httpVersion: '1.1', httpVersionMajor: 1, httpVersionMinor: 1 },
      ...{ rawHeaders: ['Host', 'a', ...headers], headers: {} },
    } as unknown as IncomingMessage;
    const request = readRequestHead(message, policy, peer);
    return { passed: request.upstreamHeaders, request };
  },
};
