/**
 * Before a subject is measured: does it do the work? Each group must reach the tracks of the table in their shares,
 * pinned users must stay where they are, and bodies must come back whole. A subject that is fast because it routes
 * wrongly shows up here.
 */

import { Agent, request as httpRequest } from 'node:http';
import { bodyOf, type Request, requestsOf, type Scenario, TABLE } from './workload.ts';

export interface VerifyOptions {
  readonly port: number;
  readonly scenario: Scenario;
  readonly size: number;
  /** False for `direct`, where everything goes to one track. */
  readonly routes: boolean;
}

/** Undefined when all is right; else the first thing that is wrong. */
export async function verify(options: VerifyOptions): Promise<string | undefined> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const expected = bodyOf(options.size);
  const track = async (request: Request): Promise<string> => {
    const answer = await send(agent, options.port, request);
    if (answer.status !== 200) throw new Error(`answered ${answer.status} to ${describe(request)}`);
    if (answer.body !== expected) throw new Error(`altered the body of the answer to ${describe(request)}`);
    return answer.track;
  };
  try {
    const requests = requestsOf(options.scenario, options.size);
    if (!options.routes) await track(requests[0]!);
    else if (options.scenario === 'pinned') await verifyPinned(requests, track);
    else for (const request of requests) await verifyShares(request, track);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  } finally {
    agent.destroy();
  }
}

async function verifyShares(request: Request, track: (request: Request) => Promise<string>): Promise<void> {
  const group = request.headers['X-Traffic-Group'];
  const { split } = TABLE.find((row) => row.group === group)!;
  const counts: Record<string, number> = {};
  for (let i = 0; i < 100; i += 1) {
    const name = await track(request);
    counts[name] = (counts[name] ?? 0) + 1;
  }
  for (const name of new Set([...Object.keys(split), ...Object.keys(counts)])) {
    const want = split[name as keyof typeof split] ?? 0;
    const got = counts[name] ?? 0;
    // Two off: the rotation is at an unknown phase, and a health check may fall in between.
    const tolerance = want === 0 || want === 100 ? 0 : 2;
    if (Math.abs(got - want) > tolerance) {
      throw new Error(`sent ${got} of 100 requests of ${describe(request)} to ${name}, not ${want}`);
    }
  }
}

async function verifyPinned(
  requests: readonly Request[],
  track: (request: Request) => Promise<string>,
): Promise<void> {
  let canaries = 0;
  for (const request of requests) {
    const name = await track(request);
    const canary = request.headers['X-Traffic-Group'] === 'FREE' ? 'canary' : 'paid';
    if (name !== canary && name !== 'production') throw new Error(`sent ${describe(request)} to ${name}`);
    if (name === canary) canaries += 1;
    const again = await track(request);
    if (again !== name) throw new Error(`sent ${describe(request)} to ${name}, then to ${again}`);
  }
  const share = canaries / requests.length;
  // 5 % of 200 users by hash: five standard deviations and the unevenness of hash rings.
  if (share < 0.005 || share > 0.15) {
    throw new Error(`pinned ${(share * 100).toFixed(1)} % of the users to a canary, not about 5 %`);
  }
}

function send(
  agent: Agent,
  port: number,
  { method, path, headers, bodySize }: Request,
): Promise<{ status: number; track: string; body: string }> {
  return new Promise((resolve, reject) => {
    const length = bodySize > 0 ? { 'Content-Length': String(bodySize) } : {};
    const request = httpRequest(
      { host: '127.0.0.1', port, method, path, agent, headers: { ...headers, ...length }, timeout: 10_000 },
      (response) => {
        let body = '';
        response.setEncoding('latin1').on('data', (text: string) => {
          body += text;
        });
        response.once('error', reject);
        response.once('end', () =>
          resolve({ status: response.statusCode ?? 0, track: String(response.headers['x-track']), body }),
        );
      },
    );
    request.once('timeout', () => request.destroy(new Error('gave no answer within 10 s')));
    request.once('error', reject);
    request.end(bodyOf(bodySize));
  });
}

function describe(request: Request): string {
  return `${request.method} of group ${request.headers['X-Traffic-Group'] ?? '(none)'}`;
}
