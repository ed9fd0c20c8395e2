/** The processes of the demo: real ones, so that one of them can really be killed. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { fileURLToPath } from 'node:url';
import type { Track } from './table.ts';

/** `.ts` in a checkout, `.js` in the package. */
const EXTENSION = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
const GUARD = new URL(`./end-with-parent${EXTENSION}`, import.meta.url).href;
const UPSTREAM = fileURLToPath(new URL(`./upstream-main${EXTENSION}`, import.meta.url));
const MAIN = fileURLToPath(new URL(`../main${EXTENSION}`, import.meta.url));

/** Longest a process may take to say that it listens. */
const START_MS = 15_000;

/** Longest a process may take to end before it is killed. */
const STOP_MS = 3_000;

/** How often, and how far apart, an upstream tries to have its former port back. */
const PORT_TRIES = 10;
const PORT_RETRY_MS = 200;

/** Most characters of an unfinished line, and of standard error, that are kept. */
const MAX_KEPT = 64 * 1024;

export class Child {
  readonly name: string;
  readonly exited: Promise<void>;
  readonly #process: ChildProcessByStdio<Writable, Readable, Readable>;
  #stderr = '';
  #hasExited = false;

  /** @param onLine called with each line of standard output */
  constructor(name: string, args: readonly string[], onLine: (line: string) => void) {
    this.name = name;
    // A group of its own: Ctrl-C in the terminal reaches the demo alone, which then ends the others in order.
    this.#process = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
    this.#process.stdin.on('error', () => {});
    this.#process.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-MAX_KEPT);
    });
    readLines(this.#process.stdout, onLine);
    this.exited = new Promise((resolve) => {
      const end = () => {
        this.#hasExited = true;
        resolve();
      };
      this.#process.once('close', end);
      this.#process.once('error', (error) => {
        this.#stderr += error.message;
        end();
      });
    });
  }

  get hasExited(): boolean {
    return this.#hasExited;
  }

  /** What it said on standard error, for a message about its end. */
  get complaint(): string {
    return this.#stderr.trim();
  }

  /** SIGKILL; resolves when it is gone and its port closed. */
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.exited;
  }

  /** SIGTERM, and SIGKILL if that does not help; resolves when it is gone. */
  async stop(): Promise<void> {
    if (this.#hasExited) return;
    this.#process.kill('SIGTERM');
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), STOP_MS);
    await this.exited;
    clearTimeout(timer);
  }
}

/** An upstream that can be killed, and comes back on its port. */
export class Upstream {
  readonly track: Track;
  #child: Child | undefined;
  #stopped = false;
  port = 0;

  constructor(track: Track) {
    this.track = track;
  }

  /** Resolves when it listens; on the port it had before, if any. */
  async start(): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await this.#startOnce();
        return;
      } catch (error) {
        // While it was down, a connection of another program may have borrowed the port for its own end.
        const borrowed = this.port !== 0 && this.#child?.complaint.includes('EADDRINUSE') === true;
        if (!borrowed || tries === PORT_TRIES || this.#stopped) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, PORT_RETRY_MS));
      if (this.#stopped) return;
    }
  }

  async #startOnce(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<number>();
    this.#child = new Child(`upstream ${this.track}`, [UPSTREAM, this.track, String(this.port)], (line) =>
      resolve(Number(line)),
    );
    this.port = await started(this.#child, promise);
  }

  async kill(): Promise<void> {
    await this.#child?.kill();
  }

  /** For good. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#child?.stop();
  }
}

export interface ProxyPorts {
  readonly traffic: number;
  readonly admin: number;
}

/** `pointsman run`, as anybody would run it. */
export class ProxyProcess {
  readonly child: Child;
  readonly #listening = Promise.withResolvers<ProxyPorts>();

  /** @param onLine called with each line of its log */
  constructor(configPath: string, onLine: (line: string) => void) {
    this.child = new Child('the proxy', ['--import', GUARD, MAIN, 'run', '--config', configPath], (line) => {
      const ports = portsOf(line);
      if (ports !== undefined) this.#listening.resolve(ports);
      onLine(line);
    });
  }

  /** Resolves when it forwards. */
  listening(): Promise<ProxyPorts> {
    return started(this.child, this.#listening.promise);
  }
}

/** Undefined for every line but the one that says where the proxy listens. */
export function portsOf(line: string): ProxyPorts | undefined {
  if (!line.includes('"msg":"listening"')) return undefined;
  try {
    const entry = JSON.parse(line) as { traffic?: string; admin?: string };
    const port = (address: string | undefined) => Number(/:(\d+)$/.exec(address ?? '')?.[1]);
    const ports = { traffic: port(entry.traffic), admin: port(entry.admin) };
    return ports.traffic > 0 && ports.admin > 0 ? ports : undefined;
  } catch {
    return undefined;
  }
}

async function started<T>(child: Child, ready: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`${child.name} did not start within ${START_MS / 1_000} s\n${child.complaint}`)),
      START_MS,
    );
  });
  const ended = child.exited.then((): never => {
    throw new Error(`${child.name} ended at its start\n${child.complaint}`);
  });
  ended.catch(() => {});
  try {
    return await Promise.race([ready, late, ended]);
  } finally {
    clearTimeout(timer);
  }
}

function readLines(stream: Readable, onLine: (line: string) => void): void {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  stream.on('data', (chunk: Buffer) => {
    const lines = (rest + decoder.write(chunk)).split('\n');
    rest = lines.pop()!.slice(0, MAX_KEPT);
    for (const line of lines) onLine(line);
  });
}
