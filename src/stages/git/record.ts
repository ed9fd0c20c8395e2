/** A small JSON value under a ref, replaced by compare-and-swap: here, or at the remote that all runs share. */

import type { Git } from './git.ts';
import { GitFailed } from './git.ts';

export interface RecordRead<T> {
  readonly value: T | undefined;
  /** For `write`; '' when there is none. */
  readonly oid: string;
}

const NETWORK_TIMEOUT = 60_000;

export class GitRecord<T> {
  readonly #git: Git;
  readonly #ref: string;
  readonly #remote: string | undefined;

  /** @param ref such as `refs/pointsman/lease` */
  constructor(git: Git, ref: string, remote: string | undefined) {
    this.#git = git;
    this.#ref = ref;
    this.#remote = remote;
  }

  async read(): Promise<RecordRead<T>> {
    if (this.#remote !== undefined) {
      const there = await this.#git.line(['ls-remote', this.#remote, this.#ref], {
        timeout: NETWORK_TIMEOUT,
      });
      if (there === '') return { value: undefined, oid: '' };
      await this.#git.text(
        ['fetch', '-q', '--no-tags', '--no-write-fetch-head', this.#remote, `+${this.#ref}:${this.#ref}`],
        { timeout: NETWORK_TIMEOUT },
      );
    }
    const oid = await this.#git.maybe(['rev-parse', '-q', '--verify', this.#ref]);
    if (oid === undefined) return { value: undefined, oid: '' };
    try {
      return { value: JSON.parse(await this.#git.text(['cat-file', 'blob', oid])) as T, oid };
    } catch {
      return { value: undefined, oid };
    }
  }

  /** False when it is not what was read any more. */
  async write(value: T, expected: string): Promise<boolean> {
    const oid = await this.#git.line(['hash-object', '-w', '--stdin'], { input: JSON.stringify(value) });
    if (oid === expected) return true;
    try {
      if (this.#remote !== undefined) {
        await this.#git.text(
          [
            'push',
            '-q',
            '--no-verify',
            `--force-with-lease=${this.#ref}:${expected}`,
            this.#remote,
            `+${oid}:${this.#ref}`,
          ],
          { timeout: NETWORK_TIMEOUT },
        );
        await this.#git.text(['update-ref', this.#ref, oid]);
      } else {
        await this.#git.text(['update-ref', this.#ref, oid, expected === '' ? '0'.repeat(40) : expected]);
      }
      return true;
    } catch (error) {
      if (error instanceof GitFailed && error.code !== null) return false;
      throw error;
    }
  }
}
