/** A configuration file that changes as it does in production, so that the proxy's way of noticing is tested too. */

import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * `configmap`: Kubernetes' swap of the `..data` symlink; `sighup`: the same and then the signal, which spares the
 * watcher's wait for further changes; `rename`: as editors save.
 */
export const WAYS = ['configmap', 'sighup', 'rename'] as const;
export type Way = (typeof WAYS)[number];

export interface ConfigMount {
  readonly file: string;
  write(text: string): void;
}

/** @param signal sends SIGHUP to the proxy, once there is one; used by `sighup` alone */
export function mountConfig(folder: string, way: Way, signal: () => void): ConfigMount {
  mkdirSync(folder);
  const file = join(folder, 'pointsman.yaml');
  if (way === 'rename') {
    return {
      file,
      write(text) {
        writeFileSync(`${file}.tmp`, text);
        renameSync(`${file}.tmp`, file);
      },
    };
  }
  let version = 0;
  symlinkSync(join('..data', 'pointsman.yaml'), file);
  return {
    file,
    write(text) {
      const before = join(folder, `..version-${version}`);
      version += 1;
      const name = `..version-${version}`;
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, 'pointsman.yaml'), text);
      symlinkSync(name, join(folder, '..data_tmp'));
      renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
      rmSync(before, { recursive: true, force: true });
      if (way === 'sighup') signal();
    },
  };
}
