/**
 * Writes deploy/THIRD-PARTY.md: every package that is installed with Pointsman, with its version and licence, from
 * package-lock.json and the packages themselves. A licence outside of PERMISSIVE stops it: somebody has to decide.
 */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const THIRD_PARTY = path.join(ROOT, 'deploy/THIRD-PARTY.md');

/** May be shipped in an Apache-2.0 package and image as long as their texts go along, which node_modules has. */
const PERMISSIVE: ReadonlySet<string> = new Set([
  '0BSD',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'BlueOak-1.0.0',
  'ISC',
  'MIT',
  'MIT-0',
  'PSF-2.0',
  'Python-2.0',
  'Unlicense',
]);

interface LockedPackage {
  readonly version: string;
  readonly dev?: boolean;
  readonly devOptional?: boolean;
  readonly peer?: boolean;
  readonly optional?: boolean;
}

interface Shipped {
  readonly name: string;
  readonly version: string;
  readonly licence: string;
  /** File of the package with the text. */
  readonly text: string;
}

/** @throws Error that names the packages whose licence is unknown or not permissive */
export function thirdPartyDocument(): string {
  const lock = JSON.parse(readFileSync(path.join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Readonly<Record<string, LockedPackage>>;
  };
  const shipped = Object.entries(lock.packages)
    .filter(([place, { dev, devOptional }]) => place !== '' && dev !== true && devOptional !== true)
    .flatMap(([place, { version, optional }]) => describe(place, version, optional === true))
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.version < b.version ? -1 : 1));
  const refused = shipped.filter(({ licence }) => !isPermissive(licence));
  if (refused.length > 0) {
    const names = refused.map(({ name, version, licence }) => `${name} ${version} (${licence || 'none'})`);
    throw new Error(`nobody has decided on the licences of ${names.join(', ')}`);
  }
  const rows = shipped.map(
    ({ name, version, licence, text }) => `| ${name} | ${version} | ${licence} | ${text} |`,
  );
  return `# What is installed with Pointsman

\`npm run licences\` writes this list; a test fails when it is out of date. The texts lie in the packages themselves, in
\`node_modules\`, also in the images. Node.js, in the images, is under the MIT licence and those of its parts.

| package | version | licence | text |
|---|---|---|---|
${[...new Set(rows)].join('\n')}
`;
}

/** Optional packages of other platforms are in the lock file and not on this machine. */
function describe(place: string, version: string, optional: boolean): Shipped[] {
  const directory = path.join(ROOT, place);
  const name = place.slice(place.lastIndexOf('node_modules/') + 'node_modules/'.length);
  try {
    const { license } = JSON.parse(readFileSync(path.join(directory, 'package.json'), 'utf8')) as {
      license?: string | { type?: string };
    };
    const licence = typeof license === 'string' ? license : (license?.type ?? '');
    const text = readdirSync(directory).find((file) => /^(licen[cs]e|copying)/i.test(file)) ?? 'README';
    return [{ name, version, licence, text }];
  } catch (error) {
    if (optional) return [];
    throw new Error(`${name} is not installed; run npm ci`, { cause: error });
  }
}

/** `(MIT OR CC0-1.0)`: one choice is enough; with AND all count. */
function isPermissive(expression: string): boolean {
  const plain = expression.replaceAll(/[()]/g, '');
  if (plain.includes(' OR ')) return plain.split(' OR ').some(isPermissive);
  return plain.split(' AND ').every((licence) => PERMISSIVE.has(licence.trim()));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(THIRD_PARTY, thirdPartyDocument());
