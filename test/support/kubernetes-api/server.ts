/**
 * The API server's double: discovery, list with selectors and pages, watch with bookmarks and resource versions, get,
 * create, update with conflicts, merge patch, delete; 401, 403 and 410; and whatever faults a test asks for. Spoken to
 * by the official client and by kubectl.
 */

import { writeFileSync } from 'node:fs';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import https from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { stringify } from 'yaml';
import type { Authorizer } from './authorizer.ts';
import { fieldSelector, labelSelector } from './selectors.ts';
import { type KubernetesObject, Store, type StoredEvent } from './store.ts';

interface Kind {
  readonly kind: string;
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly short: readonly string[];
  readonly namespaced: boolean;
}

const kind = (
  name: string,
  group: string,
  plural: string,
  short: readonly string[] = [],
  namespaced = true,
): Kind => ({
  kind: name,
  group,
  version: 'v1',
  plural,
  short,
  namespaced,
});

const KINDS: readonly Kind[] = [
  kind('Namespace', '', 'namespaces', ['ns'], false),
  kind('Service', '', 'services', ['svc']),
  kind('Pod', '', 'pods', ['po']),
  kind('ConfigMap', '', 'configmaps', ['cm']),
  kind('EndpointSlice', 'discovery.k8s.io', 'endpointslices'),
  kind('Deployment', 'apps', 'deployments', ['deploy']),
  kind('ReplicaSet', 'apps', 'replicasets', ['rs']),
];

/** What a test does to one request before it is served. */
export interface Fault {
  /** Answer so instead; `reason` of the Status. */
  readonly status?: number;
  readonly reason?: string;
  readonly message?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Answer with this body and 200, whatever was asked for. */
  readonly body?: string;
  /** Close the connection without a word. */
  readonly cut?: boolean;
  /** Never answer. */
  readonly hang?: boolean;
  /** Send the body in pieces of this many bytes, one every few milliseconds. */
  readonly pieces?: number;
  /** Change a list or an object before it is sent. */
  readonly change?: (body: Record<string, unknown>) => unknown;
}

export interface Seen {
  readonly method: string;
  readonly verb: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly plural: string;
  readonly namespace: string;
  readonly name: string;
}

export interface KubernetesApiOptions {
  readonly store?: Store;
  /** Bearer token → user. Default: anybody is `system:admin`. */
  readonly tokens?: Readonly<Record<string, string>>;
  readonly authorizer?: Authorizer;
  readonly fault?: (seen: Seen) => Fault | undefined;
  /** PEM; default: plain http. */
  readonly tls?: { readonly key: string; readonly cert: string };
  /** Between bookmarks, in milliseconds. Default: 50. */
  readonly bookmarkMs?: number;
}

interface Target {
  readonly kind: Kind;
  readonly namespace: string;
  readonly name: string;
}

export class KubernetesApi {
  readonly store: Store;
  readonly requests: Seen[] = [];
  fault: KubernetesApiOptions['fault'];
  authorizer: Authorizer | undefined;
  /** Who comes with a certificate. */
  certificateUser = 'system:admin';
  tokens: Readonly<Record<string, string>> | undefined;
  readonly #bookmarkMs: number;
  readonly #server: http.Server | https.Server;
  readonly #scheme: string;
  readonly #sockets = new Set<Socket>();
  readonly #watches = new Set<Socket>();
  url = '';

  constructor(options: KubernetesApiOptions = {}) {
    this.store = options.store ?? new Store();
    this.fault = options.fault;
    this.authorizer = options.authorizer;
    this.tokens = options.tokens;
    this.#bookmarkMs = options.bookmarkMs ?? 50;
    const serve = (request: IncomingMessage, response: ServerResponse) => void this.#serve(request, response);
    this.#scheme = options.tls === undefined ? 'http' : 'https';
    this.#server =
      options.tls === undefined
        ? http.createServer(serve)
        : https.createServer({ ...options.tls, requestCert: true, rejectUnauthorized: false }, serve);
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
  }

  async start(port = 0): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
    this.url = `${this.#scheme}://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    return this;
  }

  get watching(): number {
    return this.#watches.size;
  }

  /** Cuts every connection that watches. */
  cutWatches(): void {
    for (const socket of this.#watches) socket.destroy();
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  /** For the official client and kubectl. With `ca` the server is verified; `client` signs in by certificate. */
  writeKubeconfig(
    file: string,
    options: {
      readonly token?: string;
      readonly namespace?: string;
      readonly server?: string;
      readonly ca?: string;
      readonly client?: { readonly cert: string; readonly key: string };
    } = {},
  ): string {
    const { token = 'none', namespace = 'shop', server = this.url, ca, client } = options;
    const base64 = (text: string) => Buffer.from(text).toString('base64');
    const trust =
      ca === undefined ? { 'insecure-skip-tls-verify': true } : { 'certificate-authority-data': base64(ca) };
    const user =
      client === undefined
        ? { token }
        : { 'client-certificate-data': base64(client.cert), 'client-key-data': base64(client.key) };
    writeFileSync(
      file,
      stringify({
        apiVersion: 'v1',
        kind: 'Config',
        'current-context': 'test',
        clusters: [{ name: 'shop-eu', cluster: { server, ...trust } }],
        users: [{ name: 'fleet', user }],
        contexts: [{ name: 'test', context: { cluster: 'shop-eu', user: 'fleet', namespace } }],
      }),
      { mode: 0o600 },
    );
    return file;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url!, 'http://server');
    const query = Object.fromEntries(url.searchParams);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString('utf8');
    const target = targetOf(url.pathname);
    const verb = verbOf(request.method!, query, target);
    const seen: Seen = {
      method: request.method!,
      verb,
      path: url.pathname,
      query,
      plural: target?.kind.plural ?? '',
      namespace: target?.namespace ?? '',
      name: target?.name ?? '',
    };
    this.requests.push(seen);
    const fault = this.fault?.(seen);
    if (fault?.hang) return;
    if (fault?.cut) return void request.socket.destroy();
    if (fault?.status !== undefined) {
      return status(response, fault.status, fault.reason ?? '', fault.message ?? '', fault.headers);
    }
    if (fault?.body !== undefined) {
      response.writeHead(200, { 'content-type': 'text/html' }).end(fault.body);
      return;
    }
    const user = this.#userOf(request);
    if (user === undefined) return status(response, 401, 'Unauthorized', 'Unauthorized');
    if (target === undefined) return discovery(url.pathname, response);
    const { kind: of, namespace, name } = target;
    if (
      this.authorizer?.allows({ user, verb, group: of.group, resource: of.plural, namespace, name }) === false
    ) {
      const where = namespace === '' ? ' at the cluster scope' : ` in the namespace "${namespace}"`;
      const what = name === '' ? '' : ` "${name}"`;
      const message = `${of.plural}${of.group === '' ? '' : `.${of.group}`}${what} is forbidden: User "${user}" cannot ${verb} resource "${of.plural}" in API group "${of.group}"${where}`;
      return status(response, 403, 'Forbidden', message);
    }
    const send = (code: number, object: unknown) => {
      const changed =
        fault?.change === undefined
          ? object
          : fault.change(structuredClone(object) as Record<string, unknown>);
      return json(response, code, changed, fault?.pieces);
    };
    switch (verb) {
      case 'list':
        return this.#list(target, query, response, send);
      case 'watch':
        return this.#watch(target, query, request, response);
      case 'get': {
        const object = this.store.get(of.kind, namespace, name);
        return object === undefined ? notFound(response, target) : send(200, object);
      }
      default:
        return this.#write(verb, target, body, request, response);
    }
  }

  #userOf(request: IncomingMessage): string | undefined {
    const { socket } = request;
    if (socket instanceof TLSSocket && Object.keys(socket.getPeerCertificate() ?? {}).length > 0) {
      return this.certificateUser;
    }
    if (this.tokens === undefined) return 'system:admin';
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1]?.trim() ?? '';
    return Object.hasOwn(this.tokens, token) ? this.tokens[token] : undefined;
  }

  #filter(
    { namespace, name }: Target,
    query: Readonly<Record<string, string>>,
  ): (object: KubernetesObject) => boolean {
    const byLabels = query['labelSelector'] ? labelSelector(query['labelSelector']) : () => true;
    const byFields = query['fieldSelector'] ? fieldSelector(query['fieldSelector']) : () => true;
    return ({ metadata }) =>
      (namespace === '' || metadata.namespace === namespace) &&
      (name === '' || metadata.name === name) &&
      byLabels(metadata.labels ?? {}) &&
      byFields({ name: metadata.name, namespace: metadata.namespace ?? '' });
  }

  #list(
    target: Target,
    query: Readonly<Record<string, string>>,
    response: ServerResponse,
    send: (code: number, body: unknown) => void,
  ): undefined {
    const { kind: of } = target;
    let fits: (object: KubernetesObject) => boolean;
    try {
      fits = this.#filter(target, query);
    } catch (error) {
      return status(response, 400, 'BadRequest', (error as Error).message);
    }
    let version: number;
    let start = 0;
    let objects: readonly KubernetesObject[];
    const token = query['continue'] ?? '';
    if (token === '') {
      const snapshot = this.store.list(of.kind);
      this.store.keep(of.kind, snapshot);
      ({ version, objects } = snapshot);
    } else {
      const { v, at } = JSON.parse(Buffer.from(token, 'base64url').toString('utf8')) as {
        v: number;
        at: number;
      };
      const snapshot = this.store.listAt(of.kind, v);
      if (snapshot === undefined) {
        return status(
          response,
          410,
          'Expired',
          'The provided continue parameter is too old to display a consistent list result.',
        );
      }
      version = v;
      start = at;
      objects = snapshot.objects;
    }
    const limit = Number(query['limit'] ?? 0) || Number.POSITIVE_INFINITY;
    const items: KubernetesObject[] = [];
    let at = start;
    for (; at < objects.length && items.length < limit; at++) {
      const object = objects[at]!;
      // Items of a list carry neither kind nor apiVersion.
      if (fits(object))
        items.push({ ...object, kind: undefined, apiVersion: undefined } as unknown as KubernetesObject);
    }
    const more = objects.slice(at).some(fits);
    send(200, {
      kind: `${of.kind}List`,
      apiVersion: of.group === '' ? of.version : `${of.group}/${of.version}`,
      metadata: {
        resourceVersion: String(version),
        ...(more ? { continue: Buffer.from(JSON.stringify({ v: version, at })).toString('base64url') } : {}),
      },
      items,
    });
  }

  #watch(
    target: Target,
    query: Readonly<Record<string, string>>,
    request: IncomingMessage,
    response: ServerResponse,
  ): undefined {
    const { kind: of } = target;
    const fits = this.#filter(target, query);
    const { store } = this;
    const from = query['resourceVersion'] ?? '';
    response.writeHead(200, { 'content-type': 'application/json', 'transfer-encoding': 'chunked' });
    response.flushHeaders();
    const write = (type: string, object: unknown) =>
      void response.write(`${JSON.stringify({ type, object })}\n`);
    const bookmark = (annotations?: Readonly<Record<string, string>>) =>
      write('BOOKMARK', {
        kind: of.kind,
        apiVersion: of.group === '' ? of.version : `${of.group}/${of.version}`,
        metadata: {
          resourceVersion: String(store.version),
          creationTimestamp: null,
          ...(annotations === undefined ? {} : { annotations }),
        },
      });
    const tell = ({ type, object, before }: StoredEvent) => {
      // An object that comes into or goes out of the selector is added or deleted for this watcher.
      const was = before !== undefined && fits(before);
      const is = type !== 'DELETED' && fits(object);
      if (is) write(was ? 'MODIFIED' : 'ADDED', object);
      else if (was) write('DELETED', object);
    };
    if (query['sendInitialEvents'] === 'true' || from === '' || from === '0') {
      for (const object of store.list(of.kind).objects) if (fits(object)) write('ADDED', object);
      if (query['sendInitialEvents'] === 'true') bookmark({ 'k8s.io/initial-events-end': 'true' });
    } else {
      const events = store.since(of.kind, Number(from));
      if (events === undefined) {
        write('ERROR', statusObject(410, 'Expired', `too old resource version: ${from} (${store.version})`));
        return void response.end();
      }
      for (const event of events) tell(event);
    }
    const stopListening = store.listen(of.kind, tell);
    const timer =
      query['allowWatchBookmarks'] === 'true' ? setInterval(() => bookmark(), this.#bookmarkMs) : undefined;
    const end = setTimeout(() => response.end(), Number(query['timeoutSeconds'] ?? 1_800) * 1_000);
    this.#watches.add(request.socket);
    response.once('close', () => {
      stopListening();
      clearInterval(timer);
      clearTimeout(end);
      this.#watches.delete(request.socket);
    });
  }

  #write(
    verb: string,
    target: Target,
    body: string,
    request: IncomingMessage,
    response: ServerResponse,
  ): undefined {
    const { kind: of, namespace, name } = target;
    const known = this.store.get(of.kind, namespace, name);
    if (verb === 'delete') {
      if (!this.store.delete(of.kind, namespace, name)) return notFound(response, target);
      return json(response, 200, { ...statusObject(200, '', ''), status: 'Success' });
    }
    const type = request.headers['content-type'] ?? '';
    if (!type.includes('json'))
      return status(
        response,
        415,
        'UnsupportedMediaType',
        `the body of the request was in an unknown format: ${type}`,
      );
    const given = JSON.parse(body) as KubernetesObject;
    if (verb === 'create') {
      if (this.store.get(of.kind, namespace, given.metadata.name) !== undefined) {
        return status(response, 409, 'AlreadyExists', `${of.plural} "${given.metadata.name}" already exists`);
      }
      return json(response, 201, this.store.put({ ...given, metadata: { ...given.metadata, namespace } }));
    }
    if (known === undefined) return notFound(response, target);
    const next = verb === 'patch' ? (merge(known, given) as KubernetesObject) : given;
    const version = next.metadata.resourceVersion;
    if (version !== undefined && version !== known.metadata.resourceVersion) {
      const message = `Operation cannot be fulfilled on ${of.plural} "${name}": the object has been modified; please apply your changes to the latest version and try again`;
      return status(response, 409, 'Conflict', message);
    }
    return json(response, 200, this.store.put({ ...next, metadata: { ...next.metadata, namespace, name } }));
  }
}

/** RFC 7386. */
function merge(to: unknown, from: unknown): unknown {
  if (typeof from !== 'object' || from === null || Array.isArray(from)) return from;
  const merged: Record<string, unknown> =
    typeof to === 'object' && to !== null && !Array.isArray(to) ? { ...to } : {};
  for (const [key, value] of Object.entries(from)) {
    if (value === null) delete merged[key];
    else merged[key] = merge(merged[key], value);
  }
  return merged;
}

function targetOf(pathname: string): Target | undefined {
  const match = /^\/(?:api\/v1|apis\/([^/]+)\/v1)(?:\/namespaces\/([^/]+))?\/([^/]+)(?:\/([^/]+))?$/.exec(
    pathname,
  );
  if (match === null) return undefined;
  const [, group = '', namespace = '', plural, name = ''] = match;
  const found = KINDS.find((one) => one.group === group && one.plural === plural);
  return found === undefined
    ? undefined
    : { kind: found, namespace: decodeURIComponent(namespace), name: decodeURIComponent(name) };
}

function verbOf(method: string, query: Readonly<Record<string, string>>, target: Target | undefined): string {
  if (target === undefined) return 'discover';
  if (method === 'GET') {
    if (query['watch'] === 'true' || query['watch'] === '1') return 'watch';
    return target.name === '' ? 'list' : 'get';
  }
  return { POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' }[method] ?? method.toLowerCase();
}

function discovery(pathname: string, response: ServerResponse): undefined {
  const groups = [...new Set(KINDS.map(({ group }) => group))].filter((group) => group !== '');
  if (pathname === '/version')
    return json(response, 200, { major: '1', minor: '35', gitVersion: 'v1.35.0-double' });
  if (pathname === '/api') return json(response, 200, { kind: 'APIVersions', versions: ['v1'] });
  if (pathname === '/apis') {
    const version = (group: string) => ({ groupVersion: `${group}/v1`, version: 'v1' });
    return json(response, 200, {
      kind: 'APIGroupList',
      apiVersion: 'v1',
      groups: groups.map((name) => ({ name, versions: [version(name)], preferredVersion: version(name) })),
    });
  }
  const match = /^\/(?:api\/v1|apis\/([^/]+)\/v1)$/.exec(pathname);
  if (match === null)
    return status(response, 404, 'NotFound', 'the server could not find the requested resource');
  const group = match[1] ?? '';
  return json(response, 200, {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: group === '' ? 'v1' : `${group}/v1`,
    resources: KINDS.filter((one) => one.group === group).map((one) => ({
      name: one.plural,
      singularName: one.kind.toLowerCase(),
      namespaced: one.namespaced,
      kind: one.kind,
      shortNames: one.short,
      verbs: ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete'],
    })),
  });
}

function statusObject(code: number, reason: string, message: string) {
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, code };
}

function status(
  response: ServerResponse,
  code: number,
  reason: string,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): undefined {
  response.writeHead(code, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(statusObject(code, reason, message)));
}

function notFound(response: ServerResponse, { kind: of, name }: Target): undefined {
  status(response, 404, 'NotFound', `${of.plural} "${name}" not found`);
}

function json(response: ServerResponse, code: number, body: unknown, pieces?: number): undefined {
  const text = JSON.stringify(body);
  response.writeHead(code, { 'content-type': 'application/json' });
  if (pieces === undefined) return void response.end(text);
  let at = 0;
  const timer = setInterval(() => {
    response.write(text.slice(at, at + pieces));
    at += pieces;
    if (at < text.length) return;
    clearInterval(timer);
    response.end();
  }, 5);
  response.once('close', () => clearInterval(timer));
}
