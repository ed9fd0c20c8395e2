/** The watcher on a real file system, with the file changed as Kubernetes, editors and people change it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  appendFile,
  mkdir,
  mkdtemp,
  open,
  realpath,
  rename,
  rm,
  symlink,
  truncate,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, suite, test } from 'node:test';
import type { ConfigRead } from '../../src/config/load.ts';
import { readConfig } from '../../src/config/load.ts';
import { isMountPoint, isSubPathMount, type WatchOptions, watchConfig } from '../../src/config/watch.ts';

/** Longer than any test: what a test sees, it sees because of an event and not of a poll. */
const NEVER = 600_000;
const DEADLINE = 10_000;

const config = (weight: number) =>
  `backends: { a: { url: http://a } }\nroutes: [ { name: all, split: { a: ${weight} } } ]\n`;
const weightOf = (read: ConfigRead | undefined) => read?.config?.routes[0]?.split['a'];

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function newDirectory(): Promise<string> {
  const directory = await realpath(await mkdtemp(join(tmpdir(), 'pointsman-watch-')));
  cleanups.push(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = performance.now() + DEADLINE;
  while (!condition()) {
    assert.ok(performance.now() < deadline, `not within ${DEADLINE} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A watch whose reads are kept, started on the content that the file has. */
async function watched(path: string, options: Partial<WatchOptions> = {}) {
  const reads: ConfigRead[] = [];
  const errors: Error[] = [];
  const { hash } = await readConfig(path, {});
  const watch = watchConfig(path, {
    environment: {},
    knownHash: hash,
    debounceMs: 20,
    pollMs: NEVER,
    graceMs: 500,
    onRead: (read) => void reads.push(read),
    onError: (error) => void errors.push(error),
    ...options,
  });
  cleanups.push(() => watch.close());
  // The first look has been taken, so that the directory is watched from here on.
  await settled(watch);
  reads.length = 0;
  return { watch, reads, errors, weights: () => reads.map(weightOf) };
}

async function settled(watch: { readNow(): Promise<void> }): Promise<void> {
  await watch.readNow();
}

/** A ConfigMap mount as kubelet's AtomicWriter makes and updates it. */
class ConfigMapMount {
  readonly directory: string;
  readonly path: string;
  #version = 0;
  #current: string | undefined;

  constructor(directory: string) {
    this.directory = directory;
    this.path = join(directory, 'pointsman.yaml');
  }

  async write(content: string): Promise<void> {
    const name = `..2026_11_23_10_00_00.${++this.#version}`;
    await mkdir(join(this.directory, name));
    await writeFile(join(this.directory, name, 'pointsman.yaml'), content);
    await symlink(name, join(this.directory, '..data_tmp'));
    await rename(join(this.directory, '..data_tmp'), join(this.directory, '..data'));
    if (this.#current === undefined) await symlink(join('..data', 'pointsman.yaml'), this.path);
    else await rm(join(this.directory, this.#current), { recursive: true });
    this.#current = name;
  }
}

suite('a ConfigMap mount', () => {
  test('every swap is seen, the tenth like the first, each once and without a poll', async () => {
    const mount = new ConfigMapMount(await newDirectory());
    await mount.write(config(1));
    const { reads, errors, weights } = await watched(mount.path);
    for (let weight = 2; weight <= 11; weight++) {
      await mount.write(config(weight));
      await until(`swap ${weight}`, () => weightOf(reads.at(-1)) === weight);
    }
    assert.deepEqual(weights(), [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    assert.deepEqual(errors, []);
  });

  test('swaps in quick succession end with the last one', async () => {
    const mount = new ConfigMapMount(await newDirectory());
    await mount.write(config(1));
    const { reads, weights } = await watched(mount.path);
    for (let weight = 2; weight <= 40; weight++) await mount.write(config(weight));
    await until('the last swap', () => weightOf(reads.at(-1)) === 40);
    const seen = weights();
    assert.deepEqual(
      seen,
      [...new Set(seen)].sort((a, b) => Number(a) - Number(b)),
    );
  });

  test('a swap to the same content is not reported', async () => {
    const mount = new ConfigMapMount(await newDirectory());
    await mount.write(config(1));
    const { weights, reads } = await watched(mount.path);
    await mount.write(config(1));
    await mount.write(config(1));
    await mount.write(config(2));
    await until('the new content', () => weightOf(reads.at(-1)) === 2);
    assert.deepEqual(weights(), [2]);
  });

  test('a broken file is reported with its problems, once, and mended it is reported again', async () => {
    const mount = new ConfigMapMount(await newDirectory());
    await mount.write(config(1));
    const { reads } = await watched(mount.path);
    await mount.write(`${config(2)}helth: {}\n`);
    await until('the broken file', () => reads.length === 1);
    assert.equal(reads[0]?.config, undefined);
    assert.match(reads[0]?.problems[0]?.message ?? '', /unknown key "helth"/);
    await mount.write(config(1));
    await until('the mended file', () => weightOf(reads.at(-1)) === 1);
    assert.equal(reads.length, 2);
  });
});

suite('editors and people', () => {
  test('a rename over the file is seen, again and again', async () => {
    const directory = await newDirectory();
    const path = join(directory, 'pointsman.yaml');
    await writeFile(path, config(1));
    const { reads, weights } = await watched(path);
    for (const weight of [2, 3, 4]) {
      await writeFile(join(directory, '.pointsman.yaml.swp'), config(weight));
      await rename(join(directory, '.pointsman.yaml.swp'), path);
      await until(`rename ${weight}`, () => weightOf(reads.at(-1)) === weight);
    }
    assert.deepEqual(weights(), [2, 3, 4]);
  });

  test('an editor that moves the file to a backup and writes a new one is seen, and no gap is reported', async () => {
    const directory = await newDirectory();
    const path = join(directory, 'pointsman.yaml');
    await writeFile(path, config(1));
    const { reads, weights } = await watched(path);
    for (const weight of [2, 3]) {
      await rename(path, `${path}~`);
      await writeFile(path, config(weight));
      await until(`write ${weight}`, () => weightOf(reads.at(-1)) === weight);
    }
    assert.deepEqual(weights(), [2, 3]);
  });

  test('a write in place is seen, and the empty file between truncation and writing is not reported', async () => {
    const path = join(await newDirectory(), 'pointsman.yaml');
    await writeFile(path, config(1));
    const { watch, reads, weights } = await watched(path, { graceMs: NEVER });
    const handle = await open(path, 'r+');
    cleanups.push(() => handle.close());
    await handle.truncate(0);
    // A look at the empty file happens for certain: a second file makes an event, and its read comes before ours.
    await appendFile(`${path}.other`, 'x');
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.deepEqual(weights(), []);
    await handle.write(config(2), 0);
    await until('the new content', () => weightOf(reads.at(-1)) === 2);
    assert.deepEqual(weights(), [2]);
    watch.close();
  });

  test('a file in a directory where something is written all the time is seen all the same', async () => {
    const directory = await newDirectory();
    const path = join(directory, 'pointsman.yaml');
    await writeFile(path, config(1));
    const { reads } = await watched(path, { debounceMs: 50 });
    let stop = false;
    const noise = (async () => {
      while (!stop) {
        await writeFile(join(directory, 'noise'), String(performance.now()));
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    })();
    await writeFile(path, config(2));
    try {
      await until('the new content', () => weightOf(reads.at(-1)) === 2);
    } finally {
      stop = true;
      await noise;
    }
  });
});

suite('a file that goes away', () => {
  test('and stays away is reported once, and its return with the old content too', async () => {
    const path = join(await newDirectory(), 'pointsman.yaml');
    await writeFile(path, config(1));
    const { reads } = await watched(path, { graceMs: 100 });
    await unlink(path);
    await until('the report', () => reads.length > 0);
    assert.match(reads[0]?.problems[0]?.message ?? '', /does not exist/);
    await writeFile(`${path}.new`, config(1));
    await rename(`${path}.new`, path);
    await until('the return', () => weightOf(reads.at(-1)) === 1);
    assert.equal(reads.length, 2);
  });

  test('and comes back soon is not reported', async () => {
    const path = join(await newDirectory(), 'pointsman.yaml');
    await writeFile(path, config(1));
    const { reads, weights } = await watched(path, { graceMs: NEVER });
    await unlink(path);
    await new Promise((resolve) => setTimeout(resolve, 100));
    await writeFile(path, config(1));
    await writeFile(`${path}.x`, '');
    await truncate(path);
    await writeFile(path, config(2));
    await until('the new content', () => weightOf(reads.at(-1)) === 2);
    assert.deepEqual(weights(), [2]);
  });

  test('with its whole directory is found in the new directory, and watched there', async () => {
    const directory = join(await newDirectory(), 'etc');
    const path = join(directory, 'pointsman.yaml');
    await mkdir(directory);
    await writeFile(path, config(1));
    // The directory is looked for every 100 ms as long as it is gone.
    const { reads } = await watched(path, { graceMs: 100 });
    for (const weight of [2, 4]) {
      await rm(directory, { recursive: true });
      await until('the loss', () => reads.at(-1)?.hash === '');
      await mkdir(directory);
      await writeFile(path, config(weight));
      await until('the return', () => weightOf(reads.at(-1)) === weight);
      await writeFile(path, config(weight + 1));
      await until('an event in the new directory', () => weightOf(reads.at(-1)) === weight + 1);
    }
  });

  test('whose directory is swapped for another at once is found there, by the poll at the latest', async () => {
    const parent = await newDirectory();
    const directory = join(parent, 'etc');
    const path = join(directory, 'pointsman.yaml');
    for (const [name, weight] of [['etc', 1] as const, ['next', 2] as const]) {
      await mkdir(join(parent, name));
      await writeFile(join(parent, name, 'pointsman.yaml'), config(weight));
    }
    const { reads } = await watched(path, { pollMs: 200 });
    await rename(directory, join(parent, 'old'));
    await rename(join(parent, 'next'), directory);
    await until('the other directory', () => weightOf(reads.at(-1)) === 2);
  });
});

suite('the watch itself', () => {
  test('without any event, the poll finds a change', async () => {
    const parent = await newDirectory();
    const target = join(parent, 'elsewhere.yaml');
    const directory = join(parent, 'etc');
    await mkdir(directory);
    await writeFile(target, config(1));
    // A link to another directory: nothing happens in the one that is watched.
    const path = join(directory, 'pointsman.yaml');
    await symlink(target, path);
    const { reads, weights } = await watched(path, { pollMs: 50 });
    await writeFile(target, config(2));
    await until('the poll', () => weightOf(reads.at(-1)) === 2);
    assert.deepEqual(weights(), [2]);
  });

  test('what changed before the watch began is reported, what the caller has already is not', async () => {
    const path = join(await newDirectory(), 'pointsman.yaml');
    await writeFile(path, config(1));
    const { hash } = await readConfig(path, {});
    for (const [content, expected] of [
      [config(1), []],
      [config(2), [2]],
    ] as const) {
      await writeFile(path, content);
      const reads: ConfigRead[] = [];
      const watch = watchConfig(path, {
        environment: {},
        knownHash: hash,
        pollMs: NEVER,
        onRead: (read) => void reads.push(read),
      });
      cleanups.push(() => watch.close());
      // Reads are in order, so the first look is over when this one ends; it reports in any case.
      await watch.readNow();
      assert.deepEqual(reads.map(weightOf).slice(0, -1), expected);
      watch.close();
    }
  });

  test('readNow reports the file whether it changed or not, a missing one at once', async () => {
    const path = join(await newDirectory(), 'pointsman.yaml');
    await writeFile(path, config(1));
    const { watch, reads } = await watched(path, { graceMs: NEVER });
    await watch.readNow();
    await watch.readNow();
    assert.deepEqual(reads.map(weightOf), [1, 1]);
    await unlink(path);
    await watch.readNow();
    assert.match(reads.at(-1)?.problems[0]?.message ?? '', /does not exist/);
  });

  test('reads never overlap, however many are asked for', async () => {
    const path = join(await newDirectory(), 'pointsman.yaml');
    await writeFile(path, config(1));
    let [running, most, count] = [0, 0, 0];
    const { watch } = await watched(path, {
      onRead: async () => {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setTimeout(resolve, 5));
        running--;
        count++;
      },
    });
    const before = count;
    await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        await writeFile(path, config(i));
        await watch.readNow();
      }),
    );
    assert.equal(most, 1);
    assert.ok(count - before >= 20);
  });

  test('an onRead that throws is reported and ends nothing', async () => {
    const path = join(await newDirectory(), 'pointsman.yaml');
    await writeFile(path, config(1));
    const seen: unknown[] = [];
    const { errors } = await watched(path, {
      onRead: (read) => {
        seen.push(weightOf(read));
        if (weightOf(read) === 2) throw new Error('no room');
      },
    });
    await writeFile(path, config(2));
    await until('the error', () => errors.length > 0);
    assert.equal(errors[0]?.message, 'no room');
    await writeFile(path, config(3));
    await until('the next read', () => seen.at(-1) === 3);
  });

  test('after close nothing is reported, and the file can be asked for no more', async () => {
    const path = join(await newDirectory(), 'pointsman.yaml');
    await writeFile(path, config(1));
    const { watch, reads } = await watched(path, { pollMs: 10 });
    const pending = watch.readNow();
    watch.close();
    await pending;
    await writeFile(path, config(2));
    await watch.readNow();
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.deepEqual(reads, []);
  });
});

suite('a file mounted by itself (subPath)', () => {
  const MOUNTINFO = [
    '22 1 0:20 / / rw,relatime - overlay overlay rw',
    '31 22 8:1 /var/lib/kubelet/pods/x/volume-subpaths/config/pointsman/0 /etc/pointsman/pointsman.yaml ro - ext4 /dev/sda1 rw',
    '32 22 8:1 /x /etc/with\\040blank/a.yaml ro - ext4 /dev/sda1 rw',
    '',
  ].join('\n');

  test('is told from one in a mounted directory', () => {
    assert.ok(isMountPoint(MOUNTINFO, '/etc/pointsman/pointsman.yaml'));
    assert.ok(isMountPoint(MOUNTINFO, '/etc/with blank/a.yaml'));
    assert.ok(!isMountPoint(MOUNTINFO, '/etc/pointsman/other.yaml'));
    assert.ok(!isMountPoint(MOUNTINFO, '/etc/pointsman'));
  });

  test('an ordinary or missing file is none', async () => {
    const path = join(await newDirectory(), 'pointsman.yaml');
    await writeFile(path, config(1));
    assert.equal(isSubPathMount(path), false);
    assert.equal(isSubPathMount(`${path}.none`), false);
  });

  test('is recognised when it really is mounted so', async (t) => {
    const directory = await newDirectory();
    const [source, path] = [join(directory, 'source.yaml'), join(directory, 'pointsman.yaml')];
    await writeFile(source, config(1));
    await writeFile(path, '');
    const watch = new URL('../../src/config/watch.ts', import.meta.url).href;
    const program = `import { isSubPathMount } from '${watch}'; console.log(isSubPathMount('${path}'), isSubPathMount('${source}'));`;
    // In mount and user namespaces of its own, so that it needs no rights and leaves nothing behind.
    const script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"';
    const node = [process.execPath, '--input-type=module', '--eval', program];
    const probe = spawnSync('unshare', ['-rm', 'sh', '-c', script, 'sh', source, path, 'true']);
    if (probe.status !== 0) return t.skip('this machine does not allow mounts in a namespace');
    const { stdout, stderr } = spawnSync(
      'unshare',
      ['-rm', 'sh', '-c', script, 'sh', source, path, ...node],
      {
        encoding: 'utf8',
      },
    );
    assert.equal(stdout, 'true false\n', stderr);
  });
});
