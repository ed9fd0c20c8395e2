/**
 * autocannon until SIGTERM, then its result as JSON on standard output. Argument: JSON
 * `{ port, connections, size }`; every body is compared.
 */

import autocannon from 'autocannon';
import { bodyOf, requestsOf } from '../workload.ts';

export interface GetLoadResult {
  readonly requests: number;
  readonly errors: number;
  readonly non2xx: number;
  readonly mismatches: number;
}

const { port, connections, size } = JSON.parse(process.argv[2] ?? '{}') as {
  port: number;
  connections: number;
  size: number;
};

const expected = bodyOf(size);
const instance = autocannon(
  {
    url: `http://127.0.0.1:${port}`,
    connections,
    duration: 86_400,
    verifyBody: (body) => body === expected,
    requests: requestsOf('get', size).map(({ method, path, headers }) => ({
      method,
      path,
      headers: { ...headers },
    })),
  },
  (error: Error | null, result) => {
    if (error !== null) throw error;
    const { errors, non2xx, mismatches, requests } = result;
    process.stdout.write(JSON.stringify({ requests: requests.total, errors, non2xx, mismatches }));
  },
);

process.once('SIGTERM', () => (instance as unknown as { stop: () => void }).stop());
