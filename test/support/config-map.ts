/** A directory that changes as the kubelet changes a mounted ConfigMap: whole, by the rename of a symbolic link. */

import { mkdirSync, readlinkSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/**
 * Layout of `pkg/volume/util/atomic_writer.go`: files lie in a directory with the time in its name, `..data` points to
 * it, and each visible name is a link through `..data`, made once.
 */
export class ConfigMap {
  readonly directory: string;
  #version = 0;

  constructor(directory: string, files: Readonly<Record<string, string>>) {
    this.directory = directory;
    mkdirSync(directory, { recursive: true });
    this.swap(files);
    for (const name of Object.keys(files)) {
      symlinkSync(path.join('..data', name), path.join(directory, name));
    }
  }

  pathOf(name: string): string {
    return path.join(this.directory, name);
  }

  swap(files: Readonly<Record<string, string>>): void {
    const link = path.join(this.directory, '..data');
    const before = this.#version === 0 ? undefined : readlinkSync(link);
    const next = `..2026_11_23_10_00_00.${String(++this.#version).padStart(9, '0')}`;
    mkdirSync(path.join(this.directory, next));
    for (const [name, text] of Object.entries(files)) {
      writeFileSync(path.join(this.directory, next, name), text);
    }
    const temporary = path.join(this.directory, '..data_tmp');
    symlinkSync(next, temporary);
    renameSync(temporary, link);
    if (before !== undefined) rmSync(path.join(this.directory, before), { recursive: true });
  }
}
