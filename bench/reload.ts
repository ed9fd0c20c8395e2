/**
 * Reloads the configuration again and again under load and prints one JSON result; exit code 1 when any request
 * failed, was altered, or a reload did not come into force.
 *
 *   node bench/reload.ts [--seconds 60] [--reloads 1000] [--way sighup]
 */

import { parseArgs } from 'node:util';
import { WAYS, type Way } from './reload/config-mount.ts';
import { reloadUnderLoad, type Sampled } from './reload/run.ts';

const USAGE = `usage: node bench/reload.ts [options]
  --seconds N           of load, at least (60)
  --reloads N           spread over that time (1000)
  --way NAME            how the file changes: ${WAYS.join(', ')} (sighup)
  --get-connections N   of autocannon's GET load (16)
  --post-clients N      that post checksummed bodies (4)
  --largest-post BYTES  (65536)
  --websockets N        kept open and in use (50)
  --workers N           of Pointsman (1)
  --full-lane           without the fast lane
  --samples             print every sample of memory too`;

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    reloads: { type: 'string', default: '1000' },
    way: { type: 'string', default: 'sighup' },
    'get-connections': { type: 'string', default: '16' },
    'post-clients': { type: 'string', default: '4' },
    'largest-post': { type: 'string', default: '65536' },
    websockets: { type: 'string', default: '50' },
    workers: { type: 'string', default: '1' },
    'full-lane': { type: 'boolean', default: false },
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
  fastLane: !values['full-lane'],
});
const withoutSamples = { rss: thirdsOf(result.rss), openFiles: thirdsOf(result.openFiles) };
console.log(JSON.stringify(values.samples ? result : { ...result, ...withoutSamples }));
process.exitCode = result.passed ? 0 : 1;

function thirdsOf({ first, middle, last }: Sampled) {
  return { first, middle, last };
}
