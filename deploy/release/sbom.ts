/**
 * The bill of materials of a release, in CycloneDX, by `npm sbom`: every package that is installed with Pointsman. The
 * same commit gives the same text, whenever and wherever it is built with the same npm.
 */

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** As much of a CycloneDX document as is looked at here. */
export interface Sbom {
  serialNumber?: string;
  readonly metadata: { timestamp?: string; readonly component: { readonly name: string } };
  readonly components: readonly {
    readonly name: string;
    readonly version: string;
    readonly licenses?: readonly {
      readonly license?: { readonly id?: string; readonly name?: string };
      readonly expression?: string;
    }[];
  }[];
}

interface Lock {
  readonly packages: Readonly<Record<string, { readonly dev?: boolean; readonly devOptional?: boolean }>>;
}

/**
 * @param date of the release, seconds since 1970; undefined: it does not say
 * @throws Error when there is no npm, or it is older than 10.2
 */
export function sbomDocument(date: number | undefined): Sbom {
  const folder = mkdtempSync(path.join(tmpdir(), 'pointsman-sbom-'));
  try {
    const sbom = ofFolder(productionOnly(folder));
    delete sbom.serialNumber;
    delete sbom.metadata.timestamp;
    if (date !== undefined) sbom.metadata.timestamp = new Date(date * 1_000).toISOString();
    return { ...sbom, serialNumber: `urn:uuid:${uuidOf(JSON.stringify(sbom))}` };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/**
 * `npm sbom --omit dev` leaves out what tools of development need as well (nodemailer and form-data among others: npm
 * 11.19), so npm is shown a package that has none.
 */
function productionOnly(folder: string): string {
  const read = (name: string) => JSON.parse(readFileSync(path.join(ROOT, name), 'utf8')) as object;
  const { devDependencies: _, ...manifest } = read('package.json') as {
    name: string;
    devDependencies: object;
  };
  const lock = read('package-lock.json') as Lock;
  const packages = Object.entries(lock.packages)
    .filter(([, { dev, devOptional }]) => dev !== true && devOptional !== true)
    .map(([place, entry]) => [place, place === '' ? manifest : entry]);
  // npm names the product after the directory.
  const directory = path.join(folder, manifest.name);
  mkdirSync(directory);
  writeFileSync(path.join(directory, 'package.json'), JSON.stringify(manifest));
  writeFileSync(
    path.join(directory, 'package-lock.json'),
    JSON.stringify({ ...lock, packages: Object.fromEntries(packages) }),
  );
  return directory;
}

function ofFolder(directory: string): Sbom {
  const args = [
    'sbom',
    '--sbom-format=cyclonedx',
    '--sbom-type=application',
    '--package-lock-only',
    '--offline',
  ];
  const { stdout, stderr, error } = spawnSync('npm', args, { cwd: directory, encoding: 'utf8' });
  try {
    return JSON.parse(stdout) as Sbom;
  } catch {
    const why = error?.message ?? stderr.trim();
    throw new Error(`npm sbom gave no bill of materials; it needs npm 10.2 or newer, on the PATH: ${why}`);
  }
}

/** Version 8 of RFC 9562: of a hash. */
function uuidOf(text: string): string {
  const hash = createHash('sha256').update(text).digest();
  hash[6] = (hash[6]! & 0x0f) | 0x80;
  hash[8] = (hash[8]! & 0x3f) | 0x80;
  return hash.toString('hex', 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
