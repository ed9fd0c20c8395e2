/** wrk, one thread, closed loop: a second opinion, and a generator that costs less than the proxies do. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bodyOf, type Request } from '../workload.ts';
import type { Load, LoadResult } from './driver.ts';
import { runChild } from './run-child.ts';

export function driveWrk(load: Load, core: number | undefined, folder: string): Promise<LoadResult> {
  const script = join(folder, 'wrk.lua');
  writeFileSync(script, luaScript(load.requests));
  const args = ['-t', '1', '-c', String(load.connections), '-d', `${load.seconds}s`, '--timeout', '10s'];
  return runChild('wrk', [...args, '-s', script, `http://127.0.0.1:${load.port}/`], {
    core,
    seconds: load.seconds,
    parse: (text) => {
      const line = text.split('\n').find((candidate) => candidate.startsWith('RESULT '));
      if (line === undefined) throw new Error('no RESULT line');
      return JSON.parse(line.slice(7)) as LoadResult;
    },
  });
}

function luaScript(requests: readonly Request[]): string {
  const bodySize = requests[0]?.bodySize ?? 0;
  const formats = requests.map((request) => {
    const headers = Object.entries(request.headers).map(([name, value]) => `[${lua(name)}]=${lua(value)}`);
    const body = request.bodySize > 0 ? 'body' : 'nil';
    return `  list[#list+1] = wrk.format(${lua(request.method)}, ${lua(request.path)}, {${headers.join(', ')}}, ${body})`;
  });
  return `local list = {}
local position = 0
init = function()
  local body = ${lua(bodyOf(bodySize))}
${formats.join('\n')}
end
request = function()
  position = position % #list + 1
  return list[position]
end
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"seconds":%.6f,"bytes":%d,"errors":%d,"non2xx":%d,'
    .. '"latency":{"p50":%.3f,"p90":%.3f,"p99":%.3f,"p999":%.3f,"max":%.3f}}\\n',
    summary.requests, summary.duration / 1e6, summary.bytes, e.connect + e.read + e.write + e.timeout, e.status,
    latency:percentile(50) / 1e3, latency:percentile(90) / 1e3, latency:percentile(99) / 1e3,
    latency:percentile(99.9) / 1e3, latency.max / 1e3))
end
`;
}

/** The workload holds printable ASCII alone. */
function lua(text: string): string {
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}
