/** Load as JSON on standard input → result as JSON on standard output. */

import { text } from 'node:stream/consumers';
import autocannon from 'autocannon';
import { bodyOf } from '../workload.ts';
import type { Load, LoadResult } from './driver.ts';
import { latencyHistogram, latencyOf, record } from './histogram.ts';

const load = JSON.parse(await text(process.stdin)) as Load;

// autocannon's own histogram rounds to whole milliseconds, which is more than most requests take.
const histogram = latencyHistogram();
let requests = 0;
let bytes = 0;
let non2xx = 0;
let first = 0;
let last = 0;

const options: autocannon.Options & { sampleInt: number } = {
  url: `http://127.0.0.1:${load.port}`,
  connections: load.connections,
  duration: load.seconds,
  sampleInt: 100, // it ends at a sample: by default up to a second late
  timeout: 10,
  requests: load.requests.map((request) => ({
    method: request.method,
    path: request.path,
    headers: { ...request.headers },
    ...(request.bodySize > 0 ? { body: bodyOf(request.bodySize) } : {}),
  })),
};

const outcome = await new Promise<autocannon.Result>((resolve, reject) => {
  const instance = autocannon(options, (error: Error | null, result) => {
    if (error === null) resolve(result);
    else reject(error);
  });
  instance.on('response', (_client, status, size, milliseconds) => {
    last = performance.now();
    if (requests === 0) first = last - milliseconds;
    requests += 1;
    bytes += size;
    if (status < 200 || status > 299) non2xx += 1;
    // autocannon builds all its clients before it reads from any, so each one's first answer waits for that.
    if (requests > load.connections) record(histogram, milliseconds);
  });
});
const result: LoadResult = {
  requests,
  seconds: (last - first) / 1000,
  bytes,
  latency: latencyOf(histogram),
  errors: outcome.errors + outcome.mismatches + outcome.resets,
  non2xx,
};
process.stdout.write(JSON.stringify(result));
