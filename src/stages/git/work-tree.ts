/**
 * Brings the index and the work tree from one commit to the next, so that a kill at any point can be made good.
 *
 * git's own order is kept (`read-tree -m -u`, which refuses to overwrite what a person changed), but on a copy of the
 * index that is put in place by a rename: an `index.lock` that outlives its process would block every later git
 * command. A note of the two commits is written before the branch moves and removed at the end; the next command that
 * finds one finishes the work.
 */

import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { type Git, GitFailed } from './git.ts';

/** The work tree cannot be used as it is; the message says why and what to do. */
export class WorkTreeInTheWay extends Error {}

interface Note {
  readonly ref: string;
  /** Empty for a branch without a commit. */
  readonly from: string;
  readonly to: string;
}

const EMPTY_TREE = '4b825dc642cb6eb9a060e54bf8d69288fbee4904';

export class WorkTree {
  readonly #git: Git;
  readonly #gitDirectory: string;
  readonly #root: string;
  readonly #private: string;

  /** @param gitDirectory of this work tree, absolute */
  constructor(git: Git, gitDirectory: string, root: string) {
    this.#git = git;
    this.#gitDirectory = gitDirectory;
    this.#root = root;
    this.#private = path.join(gitDirectory, 'pointsman');
  }

  /** Files that git knows and that differ from `HEAD`, or that stand where managed files go. */
  async changes(): Promise<string[]> {
    const text = await this.#git.text([
      'status',
      '--porcelain=v1',
      '-z',
      '--untracked-files=all',
      '--no-renames',
    ]);
    return text
      .split('\0')
      .filter((entry) => entry !== '')
      .filter(
        (entry) =>
          !entry.startsWith('??') ||
          /^(?:pipeline\.yaml|(?:templates|services|manifests)\/)/.test(entry.slice(3)),
      )
      .map((entry) => entry.slice(3));
  }

  /** An operation of git's that a person has begun and not ended. */
  operation(): string | undefined {
    const marks: readonly (readonly [string, string])[] = [
      ['MERGE_HEAD', 'merge'],
      ['rebase-merge', 'rebase'],
      ['rebase-apply', 'rebase'],
      ['CHERRY_PICK_HEAD', 'cherry-pick'],
      ['REVERT_HEAD', 'revert'],
      ['BISECT_LOG', 'bisect'],
    ];
    return marks.find(([file]) => existsSync(path.join(this.#gitDirectory, file)))?.[1];
  }

  /** Written before the branch moves. */
  note(note: Note): void {
    mkdirSync(this.#private, { recursive: true });
    const temporary = path.join(this.#private, `pending.${process.pid}`);
    writeFileSync(temporary, JSON.stringify(note));
    renameSync(temporary, this.#noteFile);
  }

  forget(): void {
    rmSync(this.#noteFile, { force: true });
  }

  get #noteFile(): string {
    return path.join(this.#private, 'pending');
  }

  /** Finishes what a killed command left; does nothing when there is nothing. */
  async recover(): Promise<void> {
    this.#dropDeadLock();
    if (!existsSync(this.#noteFile)) return;
    let note: Note;
    try {
      note = JSON.parse(readFileSync(this.#noteFile, 'utf8')) as Note;
    } catch {
      this.forget();
      return;
    }
    const now = (await this.#git.maybe(['rev-parse', '-q', '--verify', `${note.ref}^{commit}`])) ?? '';
    const head = await this.#git.maybe(['symbolic-ref', '-q', 'HEAD']);
    if (now !== note.from && head === note.ref && now !== '' && now === note.to) {
      await this.move(note.from, note.to, true);
    }
    this.forget();
  }

  /**
   * @param from  commit of the index and the files; '' for none
   * @param resumed  after a kill: a file that is a beginning of the new one was being written
   */
  async move(from: string, to: string, resumed = false): Promise<void> {
    mkdirSync(this.#private, { recursive: true });
    for (const old of readdirSync(this.#private)) {
      if (old.startsWith('index')) rmSync(path.join(this.#private, old), { force: true });
    }
    const index = path.join(this.#private, `index.${process.pid}`);
    const real = path.join(this.#gitDirectory, 'index');
    const environment = { GIT_INDEX_FILE: index };
    try {
      if (existsSync(real)) copyFileSync(real, index);
      if (resumed) await this.#takeFinished(from, to, environment);
      await this.#git.text(['update-index', '-q', '--refresh'], { environment }).catch(() => '');
      await this.#git.text(['read-tree', '-m', '-u', from === '' ? EMPTY_TREE : from, to], { environment });
      this.#install(index, real);
    } catch (error) {
      if (!(error instanceof GitFailed)) throw error;
      throw new WorkTreeInTheWay(
        `the change is committed, but the files could not be brought up to date, because they were changed meanwhile: ${error.stderr.trim().split('\n')[0]}; look at git status`,
      );
    } finally {
      rmSync(index, { force: true });
      rmSync(`${index}.lock`, { force: true });
    }
  }

  /** Files that a killed move had already written are entered as they are; one that it was writing is removed. */
  async #takeFinished(
    from: string,
    to: string,
    environment: Readonly<Record<string, string>>,
  ): Promise<void> {
    const text = await this.#git.text([
      'diff-tree',
      '-r',
      '-z',
      '--no-renames',
      from === '' ? EMPTY_TREE : from,
      to,
    ]);
    const fields = text.split('\0');
    const entries: string[] = [];
    for (let i = 0; i + 1 < fields.length; i += 2) {
      const [, mode, , oid] = fields[i]!.replace(/^:/, '').split(' ') as [string, string, string, string];
      const file = path.join(this.#root, fields[i + 1]!);
      if (mode === '000000') {
        if (!existsSync(file)) entries.push(`0 ${'0'.repeat(40)}\t${fields[i + 1]}`);
        continue;
      }
      if (!existsSync(file) || !statSync(file).isFile()) continue;
      const wanted = await this.#git.bytes(['cat-file', 'blob', oid]);
      const there = readFileSync(file);
      if (there.equals(wanted)) entries.push(`${mode} ${oid}\t${fields[i + 1]}`);
      else if (there.length < wanted.length && wanted.subarray(0, there.length).equals(there)) {
        const before = await this.#git.maybe(['rev-parse', '-q', '--verify', `${from}:${fields[i + 1]}`]);
        // A file that is a beginning of the new one may also be the whole old one, which git moves on itself.
        if (before === undefined || !(await this.#git.bytes(['cat-file', 'blob', before])).equals(there))
          rmSync(file);
      }
    }
    if (entries.length > 0) {
      await this.#git.text(['update-index', '-z', '--index-info'], {
        input: `${entries.join('\0')}\0`,
        environment,
      });
    }
  }

  /** As git does it: whoever holds `index.lock` may replace the index. A link is exclusive, and whole from the start. */
  #install(index: string, real: string): void {
    const lock = `${real}.lock`;
    const mine = path.join(this.#private, `lock.${process.pid}`);
    rmSync(mine, { force: true });
    linkSync(index, mine);
    try {
      linkSync(index, lock);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      throw new WorkTreeInTheWay(
        'another git command is at work in this repository (.git/index.lock); the change is committed, and the next pointsman command brings the files up to date',
      );
    }
    renameSync(lock, real);
    rmSync(mine, { force: true });
  }

  /** Removes the `index.lock` of a command of ours that was killed between its two steps, and only that. */
  #dropDeadLock(): void {
    if (!existsSync(this.#private)) return;
    for (const name of readdirSync(this.#private)) {
      const pid = /^lock\.(\d+)$/.exec(name)?.[1];
      if (pid === undefined || isAlive(Number(pid))) continue;
      const mine = path.join(this.#private, name);
      const lock = path.join(this.#gitDirectory, 'index.lock');
      if (existsSync(lock) && statSync(lock).ino === statSync(mine).ino) rmSync(lock);
      rmSync(mine, { force: true });
    }
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
