/** The double in a process of its own, for measuring its clients alone: prints its address, ends with its standard input. */

import { type FOUR_TRACKS, fleetObjects } from './fleet-objects.ts';
import { KubernetesApi } from './server.ts';

const { services, tracks, realistic } = JSON.parse(process.argv[2] ?? '{}') as {
  services: number;
  tracks: typeof FOUR_TRACKS;
  realistic: boolean;
};
const api = new KubernetesApi();
api.store.putAll(fleetObjects(services, { tracks, realistic, deployedAt: Date.now() - 3 * 86_400_000 }));
await api.start();
process.stdout.write(`${api.url}\n`);
process.stdin.resume().once('end', () => process.exit(0));
