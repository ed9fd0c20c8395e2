/** Objects with one sequence of resource versions, a history that can be compacted, and listeners: what etcd is to the server. */

export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    name: string;
    namespace?: string;
    uid?: string;
    resourceVersion?: string;
    labels?: Record<string, string>;
    [key: string]: unknown;
  };
  [key: string]: unknown;
}

export interface StoredEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly version: number;
  readonly object: KubernetesObject;
  /** As it was before; undefined when it was not. */
  readonly before: KubernetesObject | undefined;
}

export interface Snapshot {
  readonly version: number;
  readonly objects: readonly KubernetesObject[];
}

export class Store {
  #version = 1_000;
  #compacted = 0;
  #nextUid = 1;
  readonly #kinds = new Map<string, Map<string, KubernetesObject>>();
  readonly #history = new Map<string, StoredEvent[]>();
  readonly #listeners = new Map<string, Set<(event: StoredEvent) => void>>();
  readonly #snapshots = new Map<string, Snapshot>();

  get version(): number {
    return this.#version;
  }

  #kind(kind: string): Map<string, KubernetesObject> {
    let objects = this.#kinds.get(kind);
    if (objects === undefined) {
      objects = new Map();
      this.#kinds.set(kind, objects);
    }
    return objects;
  }

  get(kind: string, namespace: string, name: string): KubernetesObject | undefined {
    return this.#kind(kind).get(`${namespace}/${name}`);
  }

  /** Adds or replaces. */
  put(object: KubernetesObject): KubernetesObject {
    const { kind, metadata } = object;
    const key = `${metadata.namespace ?? ''}/${metadata.name}`;
    const before = this.#kind(kind).get(key);
    const version = ++this.#version;
    const stored: KubernetesObject = {
      ...object,
      metadata: {
        ...metadata,
        uid: before?.metadata.uid ?? metadata.uid ?? `uid-${this.#nextUid++}`,
        resourceVersion: String(version),
      },
    };
    this.#kind(kind).set(key, stored);
    this.#emit(kind, { type: before === undefined ? 'ADDED' : 'MODIFIED', version, object: stored, before });
    return stored;
  }

  putAll(objects: Iterable<KubernetesObject>): void {
    for (const object of objects) this.put(object);
  }

  /** @param change  is given a deep copy */
  update(
    kind: string,
    namespace: string,
    name: string,
    change: (object: KubernetesObject) => void,
  ): KubernetesObject {
    const known = this.get(kind, namespace, name);
    if (known === undefined) throw new Error(`no ${kind} ${namespace}/${name} is stored`);
    const copy = structuredClone(known);
    change(copy);
    return this.put(copy);
  }

  delete(kind: string, namespace: string, name: string): boolean {
    const before = this.get(kind, namespace, name);
    if (before === undefined) return false;
    this.#kind(kind).delete(`${namespace}/${name}`);
    const version = ++this.#version;
    const object = { ...before, metadata: { ...before.metadata, resourceVersion: String(version) } };
    this.#emit(kind, { type: 'DELETED', version, object, before });
    return true;
  }

  /** By namespace and name, as etcd's keys are. A snapshot stays for the pages that follow. */
  list(kind: string): Snapshot {
    const id = `${kind}@${this.#lastOf(kind)}`;
    const known = this.#snapshots.get(id);
    if (known !== undefined) return { ...known, version: this.#version };
    const objects = [...this.#kind(kind)]
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .map(([, object]) => object);
    const snapshot = { version: this.#version, objects };
    this.#snapshots.set(id, snapshot);
    this.#snapshots.set(`${kind}#${this.#version}`, snapshot);
    return snapshot;
  }

  /** For a page after the first; undefined when it was compacted away. */
  listAt(kind: string, version: number): Snapshot | undefined {
    return this.#snapshots.get(`${kind}#${version}`);
  }

  keep(kind: string, snapshot: Snapshot): void {
    this.#snapshots.set(`${kind}#${snapshot.version}`, snapshot);
  }

  #lastOf(kind: string): number {
    return this.#history.get(kind)?.at(-1)?.version ?? 0;
  }

  /** Undefined: the version is too old. */
  since(kind: string, version: number): readonly StoredEvent[] | undefined {
    if (version < this.#compacted) return undefined;
    return (this.#history.get(kind) ?? []).filter((event) => event.version > version);
  }

  /** Forgets all history, as etcd does every five minutes: older versions and continue tokens are gone. */
  compact(): void {
    this.#compacted = ++this.#version;
    this.#history.clear();
    this.#snapshots.clear();
  }

  listen(kind: string, listener: (event: StoredEvent) => void): () => void {
    const listeners = this.#listeners.get(kind) ?? new Set();
    this.#listeners.set(kind, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  #emit(kind: string, event: StoredEvent): void {
    const history = this.#history.get(kind) ?? [];
    this.#history.set(kind, history);
    history.push(event);
    for (const listener of this.#listeners.get(kind) ?? []) listener(event);
  }
}
