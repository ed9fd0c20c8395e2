/**
 * Builds deploy/image/Dockerfile without a container engine and without images of anybody: by Debian's buildah with
 * chroot isolation, on stand-ins for the images that the file names, made of this machine's Node and busybox. What the
 * stand-ins lack of the real ones (a package manager, certificates, time zones) the file does not use.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { cleanUp } from './clean-up.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** npm of the stand-in: that of the machine may be spread over the whole system, as Debian's is. */
const NPM = 'npm@11.21.2';

/** Authorities that this machine trusts, and how it gets out: for what npm's cache may lack. */
const TRUST = '/etc/ssl/certs/ca-certificates.crt';
const PASSED = ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'http_proxy', 'https_proxy', 'no_proxy'];

/** What building and running need, or why it cannot be done here. */
export function whyNoImages(): string | false {
  if (process.platform !== 'linux') return 'images are built on Linux';
  if (process.getuid?.() !== 0) return 'chroot isolation needs root';
  for (const program of ['buildah', 'busybox', 'unshare', 'chroot']) {
    if (spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0) return `${program} is not installed`;
  }
  if (spawnSync('unshare', ['--mount', '--pid', '--fork', 'true']).status !== 0) {
    return 'this machine allows no namespaces';
  }
  return false;
}

export interface ImageConfig {
  readonly User: string;
  readonly Env: readonly string[];
  readonly Entrypoint: readonly string[];
  readonly Cmd: readonly string[];
  readonly StopSignal: string;
  readonly ExposedPorts?: Readonly<Record<string, unknown>>;
  readonly Labels: Readonly<Record<string, string>>;
  readonly Healthcheck?: unknown;
}

export interface Image {
  /** The unpacked file system. */
  readonly root: string;
  readonly config: ImageConfig;
}

/** A store of images of its own, removed with the test file. */
export class ImageBuilder {
  readonly #directory = mkdtempSync(path.join(tmpdir(), 'pointsman-image-'));
  /** Overlays share what layers have in common; where the file system has none, every layer is a copy. */
  #driver = 'overlay';

  constructor() {
    cleanUp(() => {
      // Mounts that buildah left would make the removal fail, or worse, reach outside.
      spawnSync('buildah', [...this.#store(), 'umount', '--all']);
      rmSync(this.#directory, { recursive: true, force: true });
    });
    writeFileSync(
      path.join(this.#directory, 'policy.json'),
      '{"default":[{"type":"insecureAcceptAnything"}]}',
    );
    writeFileSync(path.join(this.#directory, 'registries.conf'), '');
  }

  /** Builds one target of the Dockerfile from the files of this checkout. */
  build(target: 'proxy' | 'tools', commit: string): Image {
    if (spawnSync('buildah', [...this.#store(), 'info']).status !== 0) this.#driver = 'vfs';
    this.#standIn(
      'docker.io/library/node:26-trixie-slim',
      (root) => {
        installShell(root);
        installNode(root);
        installNpm(root, this.#directory);
        installTrust(root);
      },
      wayOut(),
    );
    if (target === 'proxy') {
      this.#standIn('gcr.io/distroless/cc-debian13:nonroot', (root) => installLibraries(root, false));
    } else {
      this.#standIn('docker.io/library/buildpack-deps:trixie-scm', (root) => {
        installShell(root);
        installLibraries(root, false);
        installProgram(root, 'git');
      });
    }
    const cache = execFileSync('npm', ['config', 'get', 'cache'], { encoding: 'utf8' }).trim();
    mkdirSync(cache, { recursive: true });
    this.#buildah(
      'bud',
      '--isolation=chroot',
      '--pull-never',
      `--signature-policy=${this.#directory}/policy.json`,
      // As `npm ci` left it: the build asks a registry only for what is not there.
      `--volume=${cache}:/root/.npm`,
      `--build-arg=COMMIT=${commit}`,
      `--ignorefile=${ROOT}/deploy/image/Dockerfile.dockerignore`,
      `--target=${target}`,
      `--tag=pointsman:${target}`,
      `--file=${ROOT}/deploy/image/Dockerfile`,
      ROOT,
    );
    const container = this.#buildah('from', '--pull-never', `pointsman:${target}`).trim();
    const inspected = JSON.parse(this.#buildah('inspect', '--type=image', `pointsman:${target}`)) as {
      Docker: { config: ImageConfig };
    };
    return { root: this.#buildah('mount', container).trim(), config: inspected.Docker.config };
  }

  #standIn(name: string, fill: (root: string) => void, settings = ''): void {
    const context = mkdtempSync(path.join(this.#directory, 'base-'));
    const root = path.join(context, 'root');
    for (const directory of ['tmp', 'proc', 'dev', 'etc', 'root', 'usr/lib', 'usr/bin', 'usr/local/bin']) {
      mkdirSync(path.join(root, directory), { recursive: true });
    }
    writeFileSync(
      path.join(root, 'etc/passwd'),
      'root:x:0:0:root:/root:/bin/sh\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n',
    );
    writeFileSync(path.join(root, 'etc/group'), 'root:x:0:\nnonroot:x:65532:\n');
    fill(root);
    writeFileSync(path.join(context, 'Dockerfile'), `FROM scratch\nCOPY root/ /\n${settings}`);
    this.#buildah(
      'bud',
      '--isolation=chroot',
      `--signature-policy=${this.#directory}/policy.json`,
      `--tag=${name}`,
      context,
    );
    rmSync(context, { recursive: true, force: true });
  }

  #store(): string[] {
    return [
      `--root=${this.#directory}/store`,
      `--runroot=${this.#directory}/run`,
      `--storage-driver=${this.#driver}`,
      `--registries-conf=${this.#directory}/registries.conf`,
    ];
  }

  #buildah(command: string, ...args: string[]): string {
    const { status, stdout, stderr, error } = spawnSync('buildah', [...this.#store(), command, ...args], {
      encoding: 'utf8',
      maxBuffer: 64 * 1024 ** 2,
      timeout: 240_000,
    });
    if (error !== undefined) throw error;
    if (status !== 0) {
      throw new Error(`buildah ${command} failed with ${status}:\n${(stdout + stderr).slice(-8_000)}`);
    }
    return stdout;
  }
}

function installShell(root: string): void {
  installProgram(root, 'busybox');
  mkdirSync(path.join(root, 'bin'), { recursive: true });
  const { stdout } = spawnSync('busybox', ['--list'], { encoding: 'utf8' });
  for (const applet of stdout.trim().split('\n')) {
    if (applet !== 'busybox') {
      spawnSync('ln', ['-sf', '/usr/bin/busybox', path.join(root, 'bin', applet)]);
    }
  }
  // Scripts of npm say #!/usr/bin/env node.
  spawnSync('ln', ['-sf', '/usr/bin/busybox', path.join(root, 'usr/bin/env')]);
}

function installNode(root: string): void {
  copyFileSync(process.execPath, path.join(root, 'usr/local/bin/node'));
  installLibraries(root, true);
}

/** The libraries that Node needs; those of the proxy's base come without libatomic, as the real one does. */
function installLibraries(root: string, atomic: boolean): void {
  for (const library of librariesOf(process.execPath)) {
    if (atomic || !library.includes('libatomic')) installFile(root, library);
  }
}

function installProgram(root: string, name: string): void {
  const file = execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim();
  copyFileSync(file, path.join(root, 'usr/bin', name));
  for (const library of librariesOf(file)) installFile(root, library);
}

function librariesOf(program: string): string[] {
  const { stdout } = spawnSync('ldd', [program], { encoding: 'utf8' });
  return [...stdout.matchAll(/(?:=> |^\s+)(\/\S+) \(0x/gm)].map((match) => match[1]!);
}

/** Debian has /lib and /lib64 lead into /usr; the stand-ins do without the links, so that both names are there. */
function installFile(root: string, file: string): void {
  const places = file.startsWith('/lib/') ? [file, `/usr${file}`] : [file];
  for (const place of places) {
    mkdirSync(path.join(root, path.dirname(place)), { recursive: true });
    copyFileSync(file, path.join(root, place));
  }
}

function wayOut(): string {
  const settings = PASSED.map((key) => [key, process.env[key]] as const).filter(
    ([, value]) => value !== undefined,
  );
  return [['NODE_EXTRA_CA_CERTS', TRUST], ...settings]
    .map(([key, value]) => `ENV ${key}="${value}"\n`)
    .join('');
}

function installTrust(root: string): void {
  mkdirSync(path.join(root, path.dirname(TRUST)), { recursive: true });
  if (existsSync(TRUST)) copyFileSync(TRUST, path.join(root, TRUST));
  else writeFileSync(path.join(root, TRUST), '');
}

function installNpm(root: string, directory: string): void {
  const modules = path.join(root, 'usr/local/lib/node_modules');
  mkdirSync(modules, { recursive: true });
  execFileSync('npm', ['pack', '--silent', '--prefer-offline', `--pack-destination=${directory}`, NPM], {
    cwd: directory,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const archive = readdirSync(directory).find((file) => /^npm-.*\.tgz$/.test(file))!;
  execFileSync('tar', ['-xzf', path.join(directory, archive), '-C', modules]);
  spawnSync('mv', [path.join(modules, 'package'), path.join(modules, 'npm')]);
  spawnSync('ln', ['-sf', '../lib/node_modules/npm/bin/npm-cli.js', path.join(root, 'usr/local/bin/npm')]);
}
