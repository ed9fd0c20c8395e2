/**
 * Reloads the configuration again and again under load and prints one JSON result; exit code 1 when any request
 * failed, was altered, or a reload did not come into force.
 *
 *   node bench/reload.ts [--seconds 60] [--reloads 1000] [--way configmap]
 */

import { parseArgs } from 'node:util';
import { WAYS, type Way } from './reload/config-mount.ts';
import { reloadUnderLoad } from './reload/run.ts';

const USAGE = `usage: node bench/reload.ts [options]
  --seconds N           of load, at least (60)
  --reloads N           spread over that time (1000)
  --way NAME            how the file changes: ${WAYS.join(', ')} (configmap)
  --get-connections N   of autocannon's GET load (16)
  --post-clients N      that post checksummed bodies (4)
  --largest-post BYTES  (65536)
  --websockets N        kept open and in use (50)
  --workers N           of Pointsman (1)
  --lane NAME           force a lane of Pointsman
  --samples             print every sample of memory too`;

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    reloads: { type: 'string', default: '1000' },
    way: { type: 'string', default: 'configmap' },
    'get-connections': { type: 'string', default: '16' },
    'post-clients': { type: 'string', default: '4' },
    'largest-post': { type: 'string', default: '65536' },
    websockets: { type: 'string', default: '50' },
    workers: { type: 'string', default: '1' },
    lane: { type: 'string' },
    samples: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const numbers = {
  seconds: Number(values.seconds),
  reloads: Number(values.reloads),
  getConnections: Number(values['get-connections']),
  postClients: Number(values['post-clients']),
  largestPost: Number(values['largest-post']),
  webSockets: Number(values.websockets),
  workers: Number(values.workers),
};
if (
  values.help ||
  !WAYS.includes(values.way as Way) ||
  Object.values(numbers).some((value) => !Number.isInteger(value) || value < 0)
) {
  console.error(USAGE);
  process.exit(values.help ? 0 : 2);
}

const result = await reloadUnderLoad({
  ...numbers,
  way: values.way as Way,
  ...(values.lane === undefined ? {} : { lane: values.lane }),
});
const { samples, ...rss } = result.rss;
console.log(
  JSON.stringify({ ...result, rss: values.samples ? result.rss : { ...rss, count: samples.length } }),
);
process.exitCode = result.passed ? 0 : 1;
