/** The git binary, run with arguments as a list, never through a shell, and never asking a terminal. */

import { spawn } from 'node:child_process';

/** git failed; `stderr` is what it said. */
export class GitFailed extends Error {
  readonly code: number | null;
  readonly stderr: string;

  constructor(args: readonly string[], code: number | null, stderr: string) {
    super(
      `git ${args[0]} failed${code === null ? '' : ` (exit code ${code})`}: ${stderr.trim().split('\n').slice(-3).join(' ') || 'it said nothing'}`,
    );
    this.code = code;
    this.stderr = stderr;
  }
}

export interface GitOptions {
  readonly input?: string | Buffer;
  readonly environment?: Readonly<Record<string, string>>;
  /** Milliseconds, after which git is ended. */
  readonly timeout?: number;
}

/** A hook of git runs commands with these; they would turn ours to another repository or index. */
const UNSET = {
  GIT_DIR: undefined,
  GIT_WORK_TREE: undefined,
  GIT_INDEX_FILE: undefined,
  GIT_OBJECT_DIRECTORY: undefined,
  GIT_PREFIX: undefined,
  GIT_QUARANTINE_PATH: undefined,
} as const;

const MAX_OUTPUT = 256 * 1024 ** 2;
const LOCAL_TIMEOUT = 60_000;

export class Git {
  /** Where git runs; any folder of the work tree, or a bare repository. */
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  async text(args: readonly string[], options: GitOptions = {}): Promise<string> {
    return (await this.bytes(args, options)).toString('utf8');
  }

  /** One line. */
  async line(args: readonly string[], options: GitOptions = {}): Promise<string> {
    return (await this.text(args, options)).trimEnd();
  }

  /** Undefined when git exits with a failure. */
  async maybe(args: readonly string[], options: GitOptions = {}): Promise<string | undefined> {
    try {
      return await this.line(args, options);
    } catch (error) {
      if (error instanceof GitFailed && error.code !== null) return undefined;
      throw error;
    }
  }

  /** @throws GitFailed */
  bytes(
    args: readonly string[],
    { input, environment, timeout = LOCAL_TIMEOUT }: GitOptions = {},
  ): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const child = spawn('git', args, {
        cwd: this.directory,
        stdio: ['pipe', 'pipe', 'pipe'],
        env: {
          ...process.env,
          ...UNSET,
          // A helper that asks would wait for ever where nobody sits.
          GIT_TERMINAL_PROMPT: '0',
          GIT_OPTIONAL_LOCKS: '0',
          GIT_EDITOR: 'true',
          LC_ALL: 'C',
          ...environment,
        },
      });
      const out: Buffer[] = [];
      let size = 0;
      let stderr = '';
      const timer = setTimeout(() => {
        stderr += `no end within ${timeout / 1_000} s`;
        child.kill('SIGKILL');
      }, timeout);
      child.stdout.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size <= MAX_OUTPUT) out.push(chunk);
        else child.kill('SIGKILL');
      });
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        if (stderr.length < 65_536) stderr += text;
      });
      // A git that ends early closes its input; what it says is the better error.
      child.stdin.on('error', () => {});
      child.once('error', (error) => {
        clearTimeout(timer);
        const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
        reject(
          new GitFailed(
            args,
            null,
            missing ? 'git is not installed, or the directory does not exist' : error.message,
          ),
        );
      });
      child.once('close', (code) => {
        clearTimeout(timer);
        if (code === 0) resolve(Buffer.concat(out));
        else reject(new GitFailed(args, code, stderr));
      });
      child.stdin.end(input ?? '');
    });
  }
}
