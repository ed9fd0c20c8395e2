/** Where the state of alerts survives: a file, or one ConfigMap that exists already. */

import { randomBytes } from 'node:crypto';
import { open, readFile, rename, unlink } from 'node:fs/promises';
import path from 'node:path';
import type { Reader } from '../cluster/list.ts';
import { CONFIG_MAP, pathOf } from '../cluster/resources.ts';
import { type AlertState, alertStateSchema, NOTHING_KNOWN } from './state.ts';

export interface StateStore {
  /** @throws Error in plain words */
  load(): Promise<AlertState>;
  /** Whole or not at all. @throws Error in plain words; ConflictError when somebody else has written */
  save(state: AlertState): Promise<void>;
}

/** Another `fleet alert` writes the same state. */
export class ConflictError extends Error {}

function parse(text: string, where: string): AlertState {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Error(`${where} is no JSON; delete it to begin afresh (what is broken is then told again)`);
  }
  const parsed = alertStateSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new Error(
    `${where} is no state of pointsman fleet alert; delete it to begin afresh (what is broken is then told again)`,
  );
}

export class FileStore implements StateStore {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  async load(): Promise<AlertState> {
    try {
      return parse(await readFile(this.#file, 'utf8'), this.#file);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return NOTHING_KNOWN;
      throw error;
    }
  }

  async save(state: AlertState): Promise<void> {
    const temporary = path.join(
      path.dirname(this.#file),
      `.${path.basename(this.#file)}.${randomBytes(6).toString('hex')}`,
    );
    try {
      const file = await open(temporary, 'wx', 0o600);
      try {
        await file.writeFile(JSON.stringify(state));
        // Renamed before its content is on the disk, it could be empty after a power cut.
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, this.#file);
      const directory = await open(path.dirname(this.#file), 'r');
      try {
        await directory.sync();
      } finally {
        await directory.close();
      }
    } catch (error) {
      await unlink(temporary).catch(() => {});
      throw new Error(`${this.#file} cannot be written: ${(error as Error).message}`);
    }
  }
}

export interface ConfigMapApi extends Pick<Reader, 'get'> {
  put(what: string, path: string, body: unknown, signal: AbortSignal): Promise<unknown>;
}

const KEY = 'state.json';
/** Of a ConfigMap in all; etcd refuses more than 1.5 MiB. */
const MAX_SIZE = 1_000_000;

interface ConfigMapObject {
  metadata: { resourceVersion?: string };
  data?: Record<string, string> | null;
}

/** Asks for `get` and `update` of that one object, never for `create`, which no role can bind to a name. */
export class ConfigMapStore implements StateStore {
  readonly #api: ConfigMapApi;
  readonly #namespace: string;
  readonly #name: string;
  readonly #signal: AbortSignal;
  #object: ConfigMapObject | undefined;

  constructor(api: ConfigMapApi, namespace: string, name: string, signal: AbortSignal) {
    this.#api = api;
    this.#namespace = namespace;
    this.#name = name;
    this.#signal = signal;
  }

  get #what(): string {
    return `configmap "${this.#name}" in namespace "${this.#namespace}"`;
  }

  async load(): Promise<AlertState> {
    this.#object = (await this.#api.get(
      `get ${this.#what}`,
      this.#path(),
      {},
      this.#signal,
    )) as ConfigMapObject;
    const text = this.#object.data?.[KEY];
    return text === undefined || text.trim() === ''
      ? NOTHING_KNOWN
      : parse(text, `${this.#what}, key ${KEY},`);
  }

  async save(state: AlertState): Promise<void> {
    const object = this.#object;
    if (object === undefined) throw new Error('the state was never loaded');
    const text = JSON.stringify(state);
    if (text.length > MAX_SIZE)
      throw new Error(`the state is over ${MAX_SIZE} bytes, more than a ConfigMap holds; use --state-file`);
    try {
      // With the version that was read: a second writer gets 409 instead of undoing the first.
      this.#object = (await this.#api.put(
        `update ${this.#what}`,
        this.#path(),
        { ...object, data: { ...object.data, [KEY]: text } },
        this.#signal,
      )) as ConfigMapObject;
    } catch (error) {
      if ((error as { status?: number }).status === 409)
        throw new ConflictError(`${this.#what} was changed by somebody else; is fleet alert running twice?`);
      throw error;
    }
  }

  #path(): string {
    return pathOf(CONFIG_MAP, this.#namespace, this.#name);
  }
}
