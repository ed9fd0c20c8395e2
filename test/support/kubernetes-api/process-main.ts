/** The double in a process of its own, for measuring its clients alone: prints its address, ends with its standard input. */

import { PLANTS, VICTIM } from '../../unit/fleet/planted-faults.ts';
import { FOUR_TRACKS, NOW, serviceObjects } from './fleet-objects.ts';
import { KubernetesApi } from './server.ts';
import type { KubernetesObject } from './store.ts';

interface Wish {
  readonly services: number;
  readonly realistic: boolean;
  /** 41 pods per service instead of 24. */
  readonly large: boolean;
  /** Kinds of faults, one per service from the first on. */
  readonly planted: readonly string[];
}

const { services, realistic, large, planted } = JSON.parse(process.argv[2]!) as Wish;

const LARGE = FOUR_TRACKS.map((track) => (track.track === 'production' ? { ...track, replicas: 27 } : track));

/** Faults are written for one service and one time: both are changed in the text. */
function translated(objects: KubernetesObject[], name: string, shift: number): KubernetesObject[] {
  const text = JSON.stringify(objects)
    .replaceAll(VICTIM, name)
    .replaceAll(
      /"(2026-1[01]-\d\dT[\d:.]+Z)"/g,
      (_, at: string) => `"${new Date(Date.parse(at) + shift).toISOString()}"`,
    );
  return JSON.parse(text) as KubernetesObject[];
}

const api = new KubernetesApi();
const shift = Date.now() - NOW;
for (let index = 0; index < services; index++) {
  const objects = serviceObjects({ name: VICTIM, realistic, ...(large ? { tracks: LARGE } : {}) });
  const plant = PLANTS.find(({ kind, survey }) => kind === planted[index] && survey === undefined);
  api.store.putAll(
    translated(
      plant === undefined ? objects : plant.plant(objects),
      `service-${String(index).padStart(3, '0')}`,
      shift,
    ),
  );
}
await api.start();
process.stdout.write(`${api.url}\n`);
process.stdin.resume().once('end', () => process.exit(0));
