/** Which build this is: the version of the package, and the commit that it was made from. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** `pointsman 1.2.3 (commit 0123456789ab, Node 26.10.0)`; without the commit where nobody knows it. */
export function describeVersion(version: string): string {
  const commit = builtCommit() ?? checkedOutCommit(fileURLToPath(new URL('../..', import.meta.url)));
  const facts = [
    ...(commit === undefined ? [] : [`commit ${shorten(commit)}`]),
    `Node ${process.versions.node}`,
  ];
  return `pointsman ${version} (${facts.join(', ')})`;
}

/** As the build wrote it down. */
function builtCommit(): string | undefined {
  try {
    const { commit } = JSON.parse(readFileSync(new URL('../build.json', import.meta.url), 'utf8')) as {
      commit?: string;
    };
    return commit;
  } catch {
    return undefined;
  }
}

/**
 * Of a checkout, with `-dirty` when files were changed.
 *
 * @returns undefined where `root` is no checkout of its own: a package may lie within somebody else's
 */
export function checkedOutCommit(root: string): string | undefined {
  if (!existsSync(path.join(root, '.git'))) return undefined;
  try {
    const args = ['-C', root, 'describe', '--always', '--exclude=*', '--dirty', '--abbrev=40'];
    return execFileSync('git', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return undefined;
  }
}

function shorten(commit: string): string {
  const [hash = '', ...dirty] = commit.split('-');
  return [hash.slice(0, 12), ...dirty].join('-');
}
