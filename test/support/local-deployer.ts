/**
 * What a cluster with Argo CD or Flux does, with processes of this machine: it follows the commits of a repository,
 * brings the images of the Deployments to the tracks and the ConfigMap to the proxy.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { cleanUp } from './clean-up.ts';
import { ConfigMap } from './config-map.ts';
import type { ManifestRepository } from './manifest-repository.ts';
import { type PointsmanProcess, startPointsman, temporaryDirectory } from './pointsman-process.ts';
import { inTime, pause } from './wait-for.ts';

const HOST = fileURLToPath(new URL('./track-host-main.ts', import.meta.url));

/** The tracks of one service, in a process of their own. */
export class TrackHost {
  readonly ports: Readonly<Record<string, number>>;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, ports: Readonly<Record<string, number>>) {
    this.#child = child;
    this.ports = ports;
  }

  static async start(tracks: readonly string[]): Promise<TrackHost> {
    const child = spawn(process.execPath, [HOST, ...tracks], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    cleanUp(() => child.kill('SIGKILL'));
    const { ports } = await inTime(
      'the tracks',
      new Promise<{ ports: Record<string, number> }>((resolve) =>
        child.once('message', (message) => resolve(message as { ports: Record<string, number> })),
      ),
      30_000,
    );
    return new TrackHost(child, ports);
  }

  async apply(images: Readonly<Record<string, string>>): Promise<void> {
    const applied = new Promise((resolve) => this.#child.once('message', resolve));
    this.#child.send(images);
    await inTime('the rollout', applied, 30_000);
  }
}

interface Deployed {
  readonly host: TrackHost;
  proxy: PointsmanProcess | undefined;
  map: ConfigMap | undefined;
  images: Readonly<Record<string, string>>;
  table: string;
}

export class LocalDeployer {
  readonly #repository: ManifestRepository;
  readonly #services = new Map<string, Deployed>();
  #commit = '';
  #running = true;
  #failure: unknown;
  #loop: Promise<void> | undefined;

  constructor(repository: ManifestRepository) {
    this.#repository = repository;
    cleanUp(() => this.stop());
  }

  add(service: string, host: TrackHost): void {
    this.#services.set(service, { host, proxy: undefined, map: undefined, images: {}, table: '' });
  }

  proxy(service: string): PointsmanProcess {
    return this.#services.get(service)!.proxy!;
  }

  /** Follows the branch until stopped. */
  follow(): void {
    this.#loop = (async () => {
      while (this.#running) {
        try {
          await this.sync();
        } catch (error) {
          this.#failure = error;
          return;
        }
        await pause(50);
      }
    })();
  }

  async stop(): Promise<void> {
    this.#running = false;
    await this.#loop;
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Brings everything to what the branch holds now. */
  async sync(): Promise<void> {
    const commit = await this.#repository.head();
    if (commit === this.#commit) return;
    for (const [service, deployed] of this.#services) await this.#apply(commit, service, deployed);
    this.#commit = commit;
  }

  async #apply(commit: string, service: string, deployed: Deployed): Promise<void> {
    const folder = `manifests/${service}/`;
    const changed =
      this.#commit === '' ||
      (await this.#repository.git('diff', '--name-only', this.#commit, commit, '--', folder)) !== '';
    if (!changed) return;
    const images: Record<string, string> = {};
    let table: string | undefined;
    for (const file of (
      await this.#repository.git('ls-tree', '-r', '--name-only', commit, '--', folder)
    ).split('\n')) {
      if (path.basename(file) !== 'deployment.yaml' && path.basename(file) !== 'configmap.yaml') continue;
      const manifest = parse(await this.#repository.git('show', `${commit}:${file}`)) as {
        kind: string;
        metadata: { labels: Record<string, string> };
        data: Record<string, string>;
        spec: { template: { spec: { containers: { image: string }[] } } };
      };
      const track = manifest.metadata.labels['track'];
      if (manifest.kind === 'ConfigMap') table = manifest.data['pointsman.yaml'];
      else if (track !== undefined) images[track] = manifest.spec.template.spec.containers[0]!.image;
    }
    if (JSON.stringify(images) !== JSON.stringify(deployed.images)) {
      await deployed.host.apply(images);
      deployed.images = images;
    }
    if (table === undefined || table === deployed.table) return;
    deployed.table = table;
    if (deployed.map !== undefined) return deployed.map.swap({ 'pointsman.yaml': table });
    deployed.map = new ConfigMap(path.join(temporaryDirectory(), 'table'), { 'pointsman.yaml': table });
    deployed.proxy = await startPointsman('', { configPath: deployed.map.pathOf('pointsman.yaml') });
  }
}
