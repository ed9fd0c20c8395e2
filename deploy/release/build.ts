/**
 * Builds the package into `dist`: the JavaScript, the JSON Schema of the configuration, the bill of materials, and which
 * commit it is of. The commit is $COMMIT where there is no git, as in an image; the date of the bill is
 * $SOURCE_DATE_EPOCH, or that of the commit.
 */

import { spawnSync } from 'node:child_process';
import { chmodSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkedOutCommit } from '../../src/commands/version.ts';
import { configJsonSchema } from '../../src/config/json-schema.ts';
import { sbomDocument } from './sbom.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const DIST = path.join(ROOT, 'dist');

// What an earlier build left would be published too.
rmSync(DIST, { recursive: true, force: true });
const compiler = path.join(ROOT, 'node_modules/typescript/bin/tsc');
// Types are what `npm run typecheck` is for.
const { status } = spawnSync(process.execPath, [compiler, '-p', 'tsconfig.build.json', '--noCheck'], {
  cwd: ROOT,
  stdio: 'inherit',
});
if (status !== 0) process.exit(status ?? 1);
chmodSync(path.join(DIST, 'main.js'), 0o755);
writeFileSync(path.join(DIST, 'pointsman.schema.json'), `${JSON.stringify(configJsonSchema())}\n`);
const commit = process.env['COMMIT'] || checkedOutCommit(ROOT);
if (commit !== undefined && !/^[0-9a-f]{7,64}(-dirty)?$/.test(commit)) {
  throw new Error(`$COMMIT is to be the name of a commit, not "${commit}"`);
}
writeFileSync(path.join(DIST, 'build.json'), `${JSON.stringify({ commit })}\n`);
writeFileSync(
  path.join(DIST, 'sbom.cdx.json'),
  `${JSON.stringify(sbomDocument(dateOfRelease()), undefined, 2)}\n`,
);

/** Seconds since 1970 (https://reproducible-builds.org/specs/source-date-epoch); undefined where nobody knows. */
function dateOfRelease(): number | undefined {
  const given = process.env['SOURCE_DATE_EPOCH'];
  if (given !== undefined && !/^\d{1,11}$/.test(given)) {
    throw new Error(`$SOURCE_DATE_EPOCH is to be seconds since 1970, not "${given}"`);
  }
  if (given !== undefined) return Number(given);
  const { stdout } = spawnSync('git', ['-C', ROOT, 'log', '-1', '--format=%ct'], { encoding: 'utf8' });
  return /^\d+$/.test(stdout?.trim() ?? '') ? Number(stdout.trim()) : undefined;
}
