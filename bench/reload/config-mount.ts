/** A configuration file that changes as it does in production, so that the proxy's way of noticing is tested too. */

import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** `configmap`: Kubernetes' swap of the `..data` symlink; `rename`: an editor's; `sighup`: in place, then a signal. */
export const WAYS = ['configmap', 'rename', 'sighup'] as const;
export type Way = (typeof WAYS)[number];

export interface ConfigMount {
  readonly file: string;
  write(text: string): void;
}

/** @param signal sends SIGHUP to the proxy; used by `sighup` alone */
export function mountConfig(folder: string, way: Way, signal: () => void): ConfigMount {
  mkdirSync(folder);
  const file = join(folder, 'pointsman.yaml');
  let version = 0;
  if (way === 'configmap') {
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
      },
    };
  }
  if (way === 'rename') {
    return {
      file,
      write(text) {
        writeFileSync(`${file}.tmp`, text);
        renameSync(`${file}.tmp`, file);
      },
    };
  }
  return {
    file,
    write(text) {
      writeFileSync(file, text);
      if (version > 0) signal();
      version += 1;
    },
  };
}
