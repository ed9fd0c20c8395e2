/**
 * Watches a configuration file as Kubernetes, editors and people change it.
 *
 * The DIRECTORY is watched: a ConfigMap is updated by renaming the symbolic link `..data` in it, and a watch of the
 * file, which follows links, sees the first such swap and then nothing, ever. What counts is the hash of the content,
 * not times, which kubelet does not keep.
 */
import { type FSWatcher, readFileSync, realpathSync, watch } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Environment } from './environment.ts';
import { type ConfigRead, readConfig } from './load.ts';

export interface WatchOptions {
  readonly environment: Environment;
  /**
   * Called when the content has changed, and on every `readNow()`; never twice at once: the next read waits for the
   * promise. A file that is gone or empty is reported only when it stays so.
   */
  readonly onRead: (read: ConfigRead) => void | Promise<void>;
  /** The watch itself failed, or `onRead` threw; watching goes on, at worst by polling. */
  readonly onError?: (error: Error) => void;
  /** Hash of the content that is in use already, so that it is not reported. */
  readonly knownHash?: string;
  /** Quiet time after an event before the file is read; in a busy directory it is read after ten of them. Default 100. */
  readonly debounceMs?: number;
  /** The safety net where events get lost (inotify limits, network file systems). Default 10 000. */
  readonly pollMs?: number;
  /** How long a file may be gone or empty before that is reported. Default 2 000. */
  readonly graceMs?: number;
}

export interface ConfigWatch {
  /** Reads the file now and reports it whether it changed or not, as SIGHUP asks for. */
  readNow(): Promise<void>;
  /** Nothing is reported afterwards. */
  close(): void;
}

/** How often a directory that is gone is looked for. */
const SEARCH_MS = 1_000;

export function watchConfig(path: string, options: WatchOptions): ConfigWatch {
  return new Watch(path, options);
}

class Watch implements ConfigWatch {
  readonly #path: string;
  readonly #options: WatchOptions;
  readonly #debounceMs: number;
  readonly #pollMs: number;
  readonly #graceMs: number;
  #directory: { watcher: FSWatcher; identity: string } | undefined;
  #debounce: NodeJS.Timeout | undefined;
  #poll: NodeJS.Timeout | undefined;
  /** When the first event came that has not led to a read yet. */
  #firstEvent: number | undefined;
  /** Since when the file has been gone or empty. */
  #goneSince: number | undefined;
  /** What was reported last. */
  #known: string | undefined;
  #queue: Promise<void> = Promise.resolve();
  #checkQueued = false;
  #closed = false;

  constructor(path: string, options: WatchOptions) {
    this.#path = path;
    this.#options = options;
    this.#debounceMs = options.debounceMs ?? 100;
    this.#pollMs = options.pollMs ?? 10_000;
    this.#graceMs = options.graceMs ?? 2_000;
    this.#known = options.knownHash;
    // Also finds what changed between the caller's own read and the start of the watch.
    void this.#check();
  }

  readNow(): Promise<void> {
    return this.#enqueue(() => this.#read(true));
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#debounce);
    clearTimeout(this.#poll);
    this.#directory?.watcher.close();
    this.#directory = undefined;
  }

  /** Makes sure that the right directory is watched, reads, and plans the next check. */
  async #check(): Promise<void> {
    if (this.#checkQueued || this.#closed) return;
    this.#checkQueued = true;
    await this.#enqueue(async () => {
      this.#checkQueued = false;
      await this.#watchDirectory();
      await this.#read(false);
    });
    if (this.#closed) return;
    clearTimeout(this.#poll);
    const lost = this.#directory === undefined || this.#goneSince !== undefined;
    const delay = lost ? Math.min(SEARCH_MS, this.#graceMs, this.#pollMs) : this.#pollMs;
    this.#poll = setTimeout(() => void this.#check(), Math.max(delay, 1)).unref();
  }

  #enqueue(task: () => Promise<void>): Promise<void> {
    this.#queue = this.#queue.then(async () => {
      if (this.#closed) return;
      try {
        await task();
      } catch (error) {
        this.#report(error);
      }
    });
    return this.#queue;
  }

  async #read(always: boolean): Promise<void> {
    const read = await readConfig(this.#path, this.#options.environment);
    if (this.#closed) return;
    const identity = read.hash === '' ? `unreadable: ${read.problems[0]?.message}` : read.hash;
    if (always) this.#goneSince = undefined;
    else {
      if (identity === this.#known) {
        this.#goneSince = undefined;
        return;
      }
      // Between the two steps of a rename or of truncate-and-write there is nothing to be judged.
      if (read.hash === '' || read.text?.trim() === '') {
        this.#goneSince ??= performance.now();
        if (performance.now() - this.#goneSince < this.#graceMs) return;
      } else {
        this.#goneSince = undefined;
      }
    }
    this.#known = identity;
    await this.#options.onRead(read);
  }

  /** Watches the directory; anew when it is another one by now, since a watch follows the inode, not the name. */
  async #watchDirectory(): Promise<void> {
    const directory = dirname(this.#path);
    const identity = await identityOf(directory);
    if (this.#closed || (this.#directory !== undefined && identity === this.#directory.identity)) return;
    this.#directory?.watcher.close();
    this.#directory = undefined;
    if (identity === undefined) return;
    try {
      const watcher = watch(directory, { persistent: false });
      watcher.on('change', () => this.#onEvent());
      watcher.on('error', (error) => {
        watcher.close();
        if (this.#directory?.watcher === watcher) this.#directory = undefined;
        this.#report(error);
        this.#onEvent();
      });
      this.#directory = { watcher, identity };
    } catch (error) {
      this.#report(error);
    }
  }

  #onEvent(): void {
    if (this.#closed) return;
    const now = performance.now();
    this.#firstEvent ??= now;
    const waited = now - this.#firstEvent;
    clearTimeout(this.#debounce);
    this.#debounce = setTimeout(
      () => {
        this.#firstEvent = undefined;
        void this.#check();
      },
      waited >= 10 * this.#debounceMs ? 0 : this.#debounceMs,
    ).unref();
  }

  #report(error: unknown): void {
    if (this.#closed) return;
    this.#options.onError?.(error instanceof Error ? error : new Error(String(error)));
  }
}

/** Undefined when there is no such directory. */
async function identityOf(directory: string): Promise<string | undefined> {
  try {
    // File systems give the inode of a removed directory to the next one; its birth tells the two apart.
    const { dev, ino, birthtimeNs } = await stat(directory, { bigint: true });
    return `${dev}:${ino}:${birthtimeNs}`;
  } catch {
    return undefined;
  }
}

/**
 * Whether the file is a mount point of its own, as a ConfigMap mounted with `subPath` is: such a file never changes.
 * False where that cannot be known.
 */
export function isSubPathMount(path: string): boolean {
  try {
    return isMountPoint(readFileSync('/proc/self/mountinfo', 'utf8'), realpathSync(path));
  } catch {
    return false;
  }
}

/** Whether `path`, absolute and without links, is a mount point by `mountinfo` (see proc(5)). */
export function isMountPoint(mountinfo: string, path: string): boolean {
  return mountinfo.split('\n').some((line) => {
    const point = line.split(' ')[4];
    // Blanks and the like are written in octal.
    return (
      point?.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8))) === path
    );
  });
}
