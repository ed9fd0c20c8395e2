/** A repository of manifests: reading a commit, and adding one whole or not at all. */

import { linkSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Git, GitFailed } from './git.ts';
import { isAlive, WorkTree, WorkTreeInTheWay } from './work-tree.ts';

/** The repository cannot be used as it is; the message says why and what to do. Nothing was changed. */
export class RepositoryUnusable extends Error {}

/** Others were faster, several times in a row. Nothing was changed. */
export class RaceLost extends Error {}

/** Contents by path; undefined removes the file. */
export type Edits = ReadonlyMap<string, string | undefined>;

export interface Snapshot {
  /** '' when the branch has no commit yet. */
  readonly commit: string;
  /** Text of every file below the managed paths. */
  readonly files: ReadonlyMap<string, string>;
}

export interface Plan {
  readonly edits: Edits;
  readonly message: string;
}

export interface Committed {
  readonly commit: string;
  readonly parent: string;
  readonly pushed: boolean;
}

export interface CommitOptions {
  /** Remote to push to. */
  readonly push: string | undefined;
  /** Seconds since 1970: the time of the commit. */
  readonly now: number;
}

const MANAGED = ['pipeline.yaml', 'templates', 'services', 'manifests'];
const ATTEMPTS = 6;
const NETWORK_TIMEOUT = 120_000;
const LOCK_WAIT = 30_000;

export class Repository {
  readonly git: Git;
  /** `refs/heads/main`. */
  readonly ref: string;
  readonly #workTree: WorkTree | undefined;
  readonly #lockFile: string;

  private constructor(git: Git, ref: string, workTree: WorkTree | undefined, lockFile: string) {
    this.git = git;
    this.ref = ref;
    this.#workTree = workTree;
    this.#lockFile = lockFile;
  }

  /**
   * @throws RepositoryUnusable
   */
  static async open(directory: string): Promise<Repository> {
    const probe = new Git(directory);
    let facts: string;
    try {
      facts = await probe.line(['rev-parse', '--is-bare-repository', '--absolute-git-dir']);
    } catch (error) {
      if (error instanceof GitFailed && error.code === 128) {
        if (/dubious ownership/.test(error.stderr))
          throw new RepositoryUnusable(
            `${directory} belongs to another user; git config --global --add safe.directory ${directory}`,
          );
        throw new RepositoryUnusable(
          `${directory} is not in a git repository; git init makes one, --repo names another`,
        );
      }
      throw new RepositoryUnusable((error as Error).message);
    }
    const [bare, gitDirectory] = facts.split('\n') as [string, string];
    const root = bare === 'true' ? gitDirectory : await probe.line(['rev-parse', '--show-toplevel']);
    const git = new Git(root);
    const ref = await git.maybe(['symbolic-ref', '-q', 'HEAD']);
    if (ref === undefined) {
      throw new RepositoryUnusable('HEAD is detached, so there is no branch to commit to; git switch BRANCH');
    }
    const workTree = bare === 'true' ? undefined : new WorkTree(git, gitDirectory, root);
    return new Repository(git, ref, workTree, path.join(gitDirectory, 'pointsman', 'command.lock'));
  }

  get branch(): string {
    return this.ref.replace(/^refs\/heads\//, '');
  }

  /** `Name <address>` of the one who commits. */
  async identity(): Promise<string> {
    try {
      const ident = await this.git.line(['var', 'GIT_COMMITTER_IDENT']);
      return ident.replace(/ \d+ [+-]\d{4}$/, '');
    } catch {
      throw new RepositoryUnusable(
        'git does not know who you are; git config user.name NAME and git config user.email ADDRESS',
      );
    }
  }

  async head(): Promise<string> {
    return (await this.git.maybe(['rev-parse', '-q', '--verify', `${this.ref}^{commit}`])) ?? '';
  }

  /** The managed files of a commit. */
  async read(commit: string, paths: readonly string[] = MANAGED): Promise<Snapshot> {
    if (commit === '') return { commit, files: new Map() };
    const listing = await this.git.text(['ls-tree', '-r', '-z', commit, '--', ...paths]);
    const entries = listing
      .split('\0')
      .map((line) => /^(100644|100755) blob ([0-9a-f]+)\t(.*)$/s.exec(line))
      .filter((match) => match !== null);
    if (entries.length === 0) return { commit, files: new Map() };
    const bytes = await this.git.bytes(['cat-file', '--batch'], {
      input: `${entries.map(([, , oid]) => oid).join('\n')}\n`,
    });
    const files = new Map<string, string>();
    let at = 0;
    for (const [, , , file] of entries) {
      const end = bytes.indexOf(10, at);
      const size = Number(bytes.toString('latin1', at, end).split(' ')[2]);
      files.set(file!, bytes.toString('utf8', end + 1, end + 1 + size));
      at = end + 1 + size + 1;
    }
    return { commit, files };
  }

  /** @throws RepositoryUnusable when a person's own changes are in the way */
  async requireClean(): Promise<void> {
    if (this.#workTree === undefined) return;
    const operation = this.#workTree.operation();
    if (operation !== undefined)
      throw new RepositoryUnusable(`a ${operation} is under way in this work tree; finish or abort it first`);
    const changes = await this.#workTree.changes();
    if (changes.length === 0) return;
    const shown = changes.slice(0, 5).join(', ');
    const more = changes.length > 5 ? ` and ${changes.length - 5} more` : '';
    throw new RepositoryUnusable(
      `the work tree has changes that are not committed: ${shown}${more}; commit or stash them first`,
    );
  }

  /** Finishes what a killed command left. Takes the lock of commands. */
  async recover(): Promise<void> {
    if (this.#workTree === undefined) return;
    await this.#locked(() => this.#recoverLocked());
  }

  async #recoverLocked(): Promise<void> {
    try {
      await this.#workTree?.recover();
    } catch (error) {
      if (error instanceof WorkTreeInTheWay) throw new RepositoryUnusable(error.message);
      throw error;
    }
  }

  /**
   * Adds one commit. `plan` is called with what the branch holds, again when others were faster; it must be made from
   * the snapshot alone. Undefined: there is nothing to do.
   *
   * @throws RepositoryUnusable, RaceLost, and whatever `plan` throws; the repository is then as it was
   */
  async commit(
    plan: (snapshot: Snapshot) => Plan | undefined | Promise<Plan | undefined>,
    options: CommitOptions,
  ): Promise<Committed | undefined> {
    return await this.#locked(async () => {
      await this.#recoverLocked();
      await this.requireClean();
      let last = '';
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        if (attempt > 0) await pause(50 * 2 ** attempt * (0.5 + Math.random()));
        if (options.push !== undefined) await this.#catchUp(options.push);
        const parent = await this.head();
        const planned = await plan(await this.read(parent));
        if (planned === undefined) return undefined;
        const commit = await this.#write(parent, planned, options.now);
        if (commit === undefined) return undefined;
        const refused =
          options.push === undefined ? undefined : await this.#push(options.push, commit, parent);
        if (refused !== undefined) {
          last = refused;
          continue;
        }
        if (await this.#moveBranch(parent, commit, planned.message.split('\n')[0]!)) {
          return { commit, parent, pushed: options.push !== undefined };
        }
        // Pushed, and the local branch moved meanwhile: the next command meets that as any other remote change.
        if (options.push !== undefined) return { commit, parent, pushed: true };
        last = `${this.branch} moved`;
      }
      throw new RaceLost(
        `others changed ${this.branch} ${ATTEMPTS} times meanwhile (${last}); nothing was changed, try again`,
      );
    });
  }

  /** The patch that `plan` would commit, as `git diff` shows it. */
  async preview(planned: Plan, parent: string, now: number): Promise<string> {
    const commit = await this.#write(parent, planned, now);
    if (commit === undefined) return '';
    return await this.git.text([
      'diff',
      '--no-color',
      '--no-ext-diff',
      parent === '' ? EMPTY_TREE : parent,
      commit,
    ]);
  }

  /** Takes over what the remote has. @throws RepositoryUnusable when both sides have commits of their own */
  async #catchUp(remote: string): Promise<void> {
    const tracking = `refs/pointsman/remote/${this.branch}`;
    const urls = await this.git.maybe(['remote', 'get-url', remote]);
    if (urls === undefined)
      throw new RepositoryUnusable(`there is no remote "${remote}"; git remote add ${remote} URL`);
    let known: string;
    try {
      known = await this.git.line(['ls-remote', remote, this.ref], { timeout: NETWORK_TIMEOUT });
      if (known !== '')
        await this.git.text(
          ['fetch', '-q', '--no-tags', '--no-write-fetch-head', remote, `+${this.ref}:${tracking}`],
          { timeout: NETWORK_TIMEOUT },
        );
    } catch (error) {
      throw new RepositoryUnusable(
        `the remote ${remote} cannot be reached: ${(error as GitFailed).stderr?.trim().split('\n').at(-1) ?? (error as Error).message}`,
      );
    }
    if (known === '') return;
    const theirs = await this.git.line(['rev-parse', tracking]);
    const ours = await this.head();
    if (ours === theirs) return;
    if (ours === '' || (await this.#isAncestor(ours, theirs))) {
      if (!(await this.#moveBranch(ours, theirs, `pointsman: catch up with ${remote}`)))
        throw new RepositoryUnusable(`${this.branch} moved meanwhile; try again`);
      return;
    }
    if (await this.#isAncestor(theirs, ours)) return;
    const [ahead, behind] = (
      await this.git.line(['rev-list', '--left-right', '--count', `${ours}...${theirs}`])
    ).split('\t');
    throw new RepositoryUnusable(
      `${this.branch} and ${remote}/${this.branch} have diverged: ${ahead} of your commits are not there, ${behind} of theirs are not here; git pull --rebase ${remote} ${this.branch}`,
    );
  }

  async #isAncestor(older: string, newer: string): Promise<boolean> {
    return (await this.git.maybe(['merge-base', '--is-ancestor', older, newer])) !== undefined;
  }

  /** The objects of one commit, through an index of its own. Undefined when nothing would change. */
  async #write(parent: string, { edits, message }: Plan, now: number): Promise<string | undefined> {
    const folder = mkdtempSync(path.join(tmpdir(), 'pointsman-stage-'));
    try {
      const environment = { GIT_INDEX_FILE: path.join(folder, 'index') };
      await this.git.text(['read-tree', parent === '' ? '--empty' : parent], { environment });
      const written = [...edits].filter(([, text]) => text !== undefined);
      for (const [i, [, text]] of written.entries()) writeFileSync(path.join(folder, String(i)), text!);
      const names = written.map((_, i) => `${path.join(folder, String(i))}\n`).join('');
      const oids =
        names === ''
          ? []
          : (
              await this.git.line(['hash-object', '-w', '--no-filters', '--stdin-paths'], { input: names })
            ).split('\n');
      const entries = [
        ...written.map(([file], i) => `100644 ${oids[i]}\t${file}`),
        ...[...edits]
          .filter(([, text]) => text === undefined)
          .map(([file]) => `0 ${'0'.repeat(40)}\t${file}`),
      ];
      await this.git.text(['update-index', '-z', '--index-info'], {
        input: entries.map((entry) => `${entry}\0`).join(''),
        environment,
      });
      const tree = await this.git.line(['write-tree'], { environment });
      if (parent !== '' && tree === (await this.git.line(['rev-parse', `${parent}^{tree}`])))
        return undefined;
      const dates = { GIT_AUTHOR_DATE: `@${now} +0000`, GIT_COMMITTER_DATE: `@${now} +0000` };
      return await this.git.line(['commit-tree', tree, ...(parent === '' ? [] : ['-p', parent]), '-F', '-'], {
        input: message,
        environment: dates,
      });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  /** Why the remote refused because it had moved; undefined when it took the commit. */
  async #push(remote: string, commit: string, parent: string): Promise<string | undefined> {
    try {
      // The lease names what the commit was made from, so that a branch that went away or back is noticed too.
      const known = await this.git.line(['ls-remote', remote, this.ref], { timeout: NETWORK_TIMEOUT });
      const theirs = known.split('\t')[0]!;
      if (theirs !== '' && theirs !== parent && !(await this.#isAncestor(theirs, parent)))
        return `${remote}/${this.branch} moved`;
      await this.git.text(
        [
          'push',
          '-q',
          '--no-verify',
          `--force-with-lease=${this.ref}:${theirs}`,
          remote,
          `${commit}:${this.ref}`,
        ],
        { timeout: NETWORK_TIMEOUT },
      );
      return undefined;
    } catch (error) {
      const { stderr } = error as GitFailed;
      if (
        /non-fast-forward|fetch first|stale info|cannot lock ref|failed to update ref|remote rejected.*(?:lock|incorrect old value)|reference already exists/i.test(
          stderr ?? '',
        )
      ) {
        return `${remote}/${this.branch} moved`;
      }
      throw new RepositoryUnusable(
        `the remote ${remote} refused the push: ${stderr?.trim().split('\n').at(-1) ?? (error as Error).message}; nothing was changed`,
      );
    }
  }

  /** False when the branch was not at `from` any more. */
  async #moveBranch(from: string, to: string, reason: string): Promise<boolean> {
    this.#workTree?.note({ ref: this.ref, from, to });
    try {
      await this.git.text(['update-ref', '-m', reason, this.ref, to, from === '' ? '0'.repeat(40) : from]);
    } catch (error) {
      this.#workTree?.forget();
      if (error instanceof GitFailed && error.code !== null) return false;
      throw error;
    }
    try {
      await this.#workTree?.move(from, to);
    } catch (error) {
      if (error instanceof WorkTreeInTheWay) throw new RepositoryUnusable(error.message);
      throw error;
    }
    this.#workTree?.forget();
    return true;
  }

  /** One command at a time in one clone; a lock whose process is gone is taken over. */
  async #locked<T>(task: () => Promise<T>): Promise<T> {
    mkdirSync(path.dirname(this.#lockFile), { recursive: true });
    const deadline = Date.now() + LOCK_WAIT;
    // Written aside and linked, so that a lock is never seen without its holder.
    const mine = `${this.#lockFile}.${process.pid}`;
    writeFileSync(mine, String(process.pid));
    try {
      while (!takeLock(mine, this.#lockFile)) {
        if (Date.now() > deadline) {
          throw new RepositoryUnusable(
            `another pointsman command holds ${this.#lockFile}; wait for it, or remove the file`,
          );
        }
        await pause(20);
      }
    } finally {
      rmSync(mine, { force: true });
    }
    try {
      return await task();
    } finally {
      rmSync(this.#lockFile, { force: true });
    }
  }
}

const EMPTY_TREE = '4b825dc642cb6eb9a060e54bf8d69288fbee4904';

/** False when a process that lives holds it. */
function takeLock(mine: string, lock: string): boolean {
  try {
    linkSync(mine, lock);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const holder = holderOf(lock);
  // A container's process often has the same number as the one before it: our own number is not our own lock.
  if (holder !== undefined && holder !== process.pid && isAlive(holder)) return false;
  const stale = `${mine}.stale`;
  try {
    renameSync(lock, stale);
    // Somebody else may have taken over between reading and renaming: then it is given back.
    if (holderOf(stale) !== holder) linkSync(stale, lock);
  } catch {
    return false;
  } finally {
    rmSync(stale, { force: true });
  }
  return false;
}

function holderOf(lock: string): number | undefined {
  try {
    const pid = Number(readFileSync(lock, 'utf8'));
    return Number.isInteger(pid) && pid > 0 ? pid : undefined;
  } catch {
    return undefined;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
