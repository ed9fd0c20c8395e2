import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parse } from 'yaml';
import type { Survey } from '../../../src/fleet/facts.ts';
import { KINDS } from '../../../src/fleet/finding.ts';
import { judge } from '../../../src/fleet/judge.ts';
import { fleetSchema } from '../../../src/fleet/settings.ts';
import {
  fleetObjects,
  NOW,
  PROXY_IMAGE,
  serviceObjects,
  sliceOf,
  stack,
} from '../../support/kubernetes-api/fleet-objects.ts';
import type { KubernetesObject } from '../../support/kubernetes-api/store.ts';
import { DEFAULTS, findingsOf, surveyOf } from './fixtures.ts';
import { PLANTS, VICTIM } from './planted-faults.ts';

// biome-ignore lint/suspicious/noExplicitAny: objects of the API are changed at will
type Loose = any;

describe('planted faults', () => {
  for (const { kind, also = [], plant, survey } of PLANTS) {
    it(`finds ${kind}, at its service, and invents nothing beside it`, () => {
      const healthy = fleetObjects(3);
      const base = surveyOf(plant(healthy));
      const { findings } = judge({ ...base, ...survey?.(base) }, DEFAULTS);
      const kinds = findings.map((finding) => finding.kind);
      assert.ok(kinds.includes(kind), `found ${JSON.stringify(kinds)}`);
      for (const finding of findings) {
        assert.equal(finding.service, VICTIM, JSON.stringify(finding));
        assert.ok([kind, ...also].includes(finding.kind), `invented ${JSON.stringify(finding)}`);
        assert.ok(finding.message.length > 10 && finding.advice.length > 5, JSON.stringify(finding));
        assert.doesNotMatch(finding.message + finding.advice, /undefined|NaN|\[object/);
      }
    });
  }

  it('covers at least 25 kinds, and only ones that are documented', () => {
    const kinds = new Set(PLANTS.map(({ kind }) => kind));
    assert.ok(kinds.size >= 25, `${kinds.size}`);
    for (const kind of kinds) assert.ok(Object.hasOwn(KINDS, kind), kind);
  });

  it('finds two faults of two services at once, the worse first', () => {
    const objects = fleetObjects(3).filter(
      ({ kind, metadata }) => !(kind === 'Deployment' && metadata.name === 'service-002'),
    );
    const paused = objects.map((object) => {
      if (object.kind !== 'Deployment' || object.metadata.name !== 'service-000-paid') return object;
      return { ...object, spec: { ...(object['spec'] as object), paused: true } };
    });
    assert.deepEqual(
      findingsOf(paused).map(({ kind, service }) => `${service} ${kind}`),
      ['service-002 proxy-missing', 'service-000 rollout-paused'],
    );
  });
});

const image = fc
  .tuple(fc.constantFrom('registry.example/app', 'localhost:5000/team/app'), fc.integer({ min: 0, max: 99 }))
  .map(([name, patch]) => `${name}:1.0.${patch}`);

const healthyService = fc
  .record({
    internal: fc.integer({ min: 2, max: 4 }),
    canary: fc.integer({ min: 2, max: 5 }),
    paid: fc.integer({ min: 2, max: 5 }),
    production: fc.integer({ min: 5, max: 20 }),
    images: fc.tuple(image, image, image, image),
    tracks: fc.subarray(['internal', 'canary', 'paid'] as const, { minLength: 1 }),
    proxies: fc.integer({ min: 4, max: 6 }),
    history: fc.integer({ min: 0, max: 4 }),
    deployedAgo: fc.integer({ min: 1_000, max: 100 * 86_400_000 }),
    quirks: fc.subarray([
      'rolling',
      'two slices',
      'ready unset',
      'old restarts',
      'no managed fields',
      'sidecar',
      'young pending pod',
      'ending pod',
      'job pod',
    ] as const),
  })
  .map((spec) => spec);

type HealthySpec = typeof healthyService extends fc.Arbitrary<infer T> ? T : never;

/** What goes on in every cluster without anything being wrong. */
const QUIRKS: Readonly<Record<HealthySpec['quirks'][number], (objects: Loose[], name: string) => Loose[]>> = {
  rolling: (objects, name) => {
    // One pod of the old build still runs beside the new ones; the change is minutes old.
    for (const object of objects) {
      if (object.kind === 'Deployment' && object.metadata.name === `${name}-production`) {
        object.metadata.generation = 4;
        object.status.observedGeneration = 4;
        object.status.updatedReplicas = object.spec.replicas - 1;
        object.status.availableReplicas = object.spec.replicas - 1;
        object.status.conditions[1].reason = 'ReplicaSetUpdated';
        object.status.conditions[1].lastUpdateTime = new Date(NOW - 60_000).toISOString();
      }
      if (object.kind === 'ReplicaSet' && object.metadata.name === `${name}-production-r1`)
        object.status.replicas = 1;
    }
    return objects;
  },
  'two slices': (objects, name) => [
    ...objects,
    sliceOf(
      `${name}-production`,
      'shop',
      objects.filter(
        ({ kind, metadata }) => kind === 'Pod' && metadata.name.startsWith(`${name}-production-`),
      ),
      'v6',
    ),
  ],
  'ready unset': (objects, name) => {
    for (const object of objects) {
      if (object.kind === 'EndpointSlice' && object.metadata.name === `${name}-production-a`) {
        for (const endpoint of object.endpoints) endpoint.conditions = {};
      }
    }
    return objects;
  },
  'old restarts': (objects) => {
    const pod = objects.find(({ kind }) => kind === 'Pod');
    pod.status.containerStatuses[0].restartCount = 40;
    pod.status.containerStatuses[0].lastState = {
      terminated: { reason: 'OOMKilled', finishedAt: new Date(NOW - 86_400_000).toISOString() },
    };
    return objects;
  },
  'no managed fields': (objects) => {
    for (const object of objects) delete object.metadata.managedFields;
    return objects;
  },
  sidecar: (objects) => {
    const pod = objects.find(({ kind }) => kind === 'Pod');
    pod.spec.containers = [...pod.spec.containers, { name: 'mesh', image: 'mesh/proxy:2.1' }];
    return objects;
  },
  'young pending pod': (objects, name) => {
    const pod = structuredClone(
      objects.find(({ kind, metadata }) => kind === 'Pod' && metadata.name.startsWith(`${name}-production-`)),
    );
    pod.metadata = {
      ...pod.metadata,
      name: `${pod.metadata.name}-new`,
      uid: `${pod.metadata.uid}-new`,
      creationTimestamp: new Date(NOW - 20_000).toISOString(),
    };
    pod.status = {
      phase: 'Pending',
      conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: 'scaling up' }],
    };
    return [...objects, pod];
  },
  'ending pod': (objects, name) => {
    const pod = structuredClone(
      objects.find(({ kind, metadata }) => kind === 'Pod' && metadata.name.startsWith(`${name}-production-`)),
    );
    pod.metadata = {
      ...pod.metadata,
      name: `${pod.metadata.name}-old`,
      uid: `${pod.metadata.uid}-old`,
      deletionTimestamp: new Date(NOW + 20_000).toISOString(),
    };
    pod.status.conditions = [];
    return [...objects, pod];
  },
  'job pod': (objects, name) => [
    ...objects,
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name: `${name}-migrate`,
        namespace: 'shop',
        uid: `${name}-migrate`,
        labels: { app: name, track: 'production' },
        ownerReferences: [{ kind: 'Job', name: 'migrate', uid: 'job', controller: true }],
      },
      spec: { containers: [{ name: 'migrate', image: 'registry.example/migrate:1' }] },
      status: { phase: 'Succeeded' },
    },
    // A worker of the same app that no traffic goes to, without a track: none of our business.
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: {
        name: `${name}-worker`,
        namespace: 'shop',
        uid: `${name}-worker`,
        labels: { app: name },
        generation: 1,
        creationTimestamp: '2026-01-01T00:00:00Z',
      },
      spec: {
        replicas: 3,
        template: {
          metadata: { labels: { app: name, role: 'worker' } },
          spec: { containers: [{ name: 'worker', image: 'registry.example/worker:1' }] },
        },
      },
      status: {
        observedGeneration: 1,
        replicas: 3,
        readyReplicas: 3,
        availableReplicas: 3,
        updatedReplicas: 3,
      },
    },
  ],
};

function healthyObjects(spec: HealthySpec, index: number): KubernetesObject[] {
  const name = `service-${index}`;
  const kept = [...spec.tracks, 'production' as const];
  const images = {
    internal: spec.images[0],
    canary: spec.images[1],
    paid: spec.images[2],
    production: spec.images[3],
  };
  const tracks = kept.map((track) => ({
    track,
    replicas: Math.min(spec[track], track === 'production' ? 99 : spec.production),
    image: images[track],
  }));
  const objects = serviceObjects({
    name,
    tracks,
    proxyReplicas: spec.proxies,
    history: Math.max(1, spec.history),
    deployedAt: NOW - Math.max(spec.deployedAgo, 1_000),
  });
  return spec.quirks.reduce(
    (now, quirk) => QUIRKS[quirk](now, name),
    structuredClone(objects) as Loose[],
  ) as KubernetesObject[];
}

describe('healthy fleets', () => {
  it('have no finding, whatever their size, builds, history and everyday events', () => {
    fc.assert(
      fc.property(fc.array(healthyService, { minLength: 1, maxLength: 4 }), (specs) => {
        assert.deepEqual(findingsOf(specs.flatMap(healthyObjects)), []);
      }),
      { numRuns: 150 },
    );
  });

  it('have none when servers leave out what is empty, or send null', () => {
    const objects = structuredClone(fleetObjects(2)) as Loose[];
    for (const object of objects) {
      if (object.kind === 'Service') object.status = null;
      if (object.kind === 'Pod') object.metadata.annotations = null;
      if (object.kind === 'Pod') object.spec.volumes = null;
      if (object.kind === 'ReplicaSet') object.metadata.annotations ??= null;
    }
    assert.deepEqual(findingsOf(objects), []);
  });

  it('are not called down while a Deployment has no status yet', () => {
    const objects = structuredClone(fleetObjects(1)) as Loose[];
    for (const object of objects) if (object.kind === 'Deployment') object.status = undefined;
    assert.deepEqual(findingsOf(objects), []);
  });

  it('include one of the templates of pointsman stage, whose proxy has labels of its own', () => {
    const read = (file: string) =>
      readFileSync(new URL(`../../../deploy/templates/${file}.yaml`, import.meta.url), 'utf8');
    const render = (file: string, values: Record<string, string>) =>
      parse(
        read(file)
          .replaceAll('$${', '$\u0000{')
          .replaceAll(/\$\{(\w+)\}/g, (_, name: string) => values[name] ?? '5')
          .replaceAll('\u0000', ''),
      ) as Loose;
    const common = {
      service: 'shop',
      namespace: 'shop',
      proxy_replicas: '4',
      proxy_image: PROXY_IMAGE,
      port: '8080',
      replicas: '3',
      version: '1.0',
      image: 'registry.example/shop:1.0',
    };
    const files = [
      ...['internal', 'canary', 'paid', 'production'].flatMap((track) =>
        ['track/deployment', 'track/service'].map((file) => render(file, { ...common, track })),
      ),
      ...['pointsman/configmap', 'pointsman/deployment', 'pointsman/service', 'pointsman/service-admin'].map(
        (file) => render(file, common),
      ),
    ];
    const objects = files.flatMap((object: Loose): Loose[] => {
      if (object.kind !== 'Deployment') return [object];
      const [container] = object.spec.template.spec.containers;
      const made = stack({
        name: object.metadata.name,
        namespace: 'shop',
        labels: object.spec.template.metadata.labels,
        replicas: object.spec.replicas,
        container,
        volumes: object.spec.template.spec.volumes ?? [],
        address: undefined,
        deployedAt: NOW - 86_400_000,
        realistic: false,
        history: 0,
      });
      return made
        .filter(({ kind }) => kind !== 'Service')
        .map((one) =>
          one.kind === 'Deployment'
            ? { ...one, metadata: { ...one.metadata, labels: object.metadata.labels } }
            : one,
        );
    });
    const survey = surveyOf(objects);
    const { fleet, findings } = judge(survey, DEFAULTS);
    assert.deepEqual(findings, []);
    const [service] = fleet.services;
    assert.deepEqual(
      [
        service?.name,
        service?.tracks.map(({ track }) => track),
        service?.proxy.pods.length,
        service?.proxy.table?.name,
      ],
      ['shop', ['internal', 'canary', 'paid', 'production'], 4, 'shop-pointsman'],
    );
    const table = service?.proxy.table;
    assert.deepEqual([table?.problem, table?.config?.service], ['', 'shop']);
    assert.deepEqual(
      judge(
        surveyOf(
          objects.filter(
            ({ kind, metadata }: Loose) => kind !== 'Deployment' || metadata.name !== 'shop-pointsman',
          ),
        ),
        DEFAULTS,
      ).findings.map(({ kind }) => kind),
      ['proxy-missing'],
    );
  });
});

describe('judge', () => {
  it('survives any JSON at all in place of objects', () => {
    const kinds = ['Service', 'EndpointSlice', 'Deployment', 'ReplicaSet', 'Pod', 'ConfigMap'];
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            kind: fc.constantFrom(...kinds),
            metadata: fc.jsonValue(),
            spec: fc.jsonValue(),
            status: fc.jsonValue(),
            data: fc.jsonValue(),
          }),
          { maxLength: 8 },
        ),
        (objects) => {
          judge(surveyOf(objects as Loose), DEFAULTS);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('says what it could not see, and is silent about what depends on it', () => {
    const objects = fleetObjects(2).filter(({ kind }) => kind !== 'EndpointSlice');
    const gaps: Survey['gaps'] = [
      {
        kind: 'EndpointSlice',
        namespace: 'shop',
        message: 'cannot list endpointslices in namespace "shop": forbidden',
      },
    ];
    const findings = findingsOf(objects, { gaps });
    assert.deepEqual(
      findings.map(({ kind, severity }) => [kind, severity]),
      [['not-seen', 'unknown']],
    );
    assert.match(findings[0]!.message, /forbidden/);
  });

  it('says so when no Service has the label', () => {
    assert.deepEqual(
      findingsOf([], { namespaces: ['shop'] }).map(({ kind }) => kind),
      ['no-services'],
    );
  });

  it('accepts findings by settings until a day, and by annotation', () => {
    const objects = fleetObjects(1).map((object) =>
      object.kind === 'Deployment' && object.metadata.name === 'service-000-paid'
        ? { ...object, spec: { ...(object['spec'] as object), paused: true } }
        : object,
    );
    const ignoring = (until: string) =>
      fleetSchema.parse({
        ignore: [{ kind: 'rollout-paused', service: 'service-000', until, reason: 'load test' }],
      });
    assert.equal(findingsOf(objects).length, 1);
    assert.equal(findingsOf(objects, {}, ignoring('2026-11-23')).length, 0);
    assert.equal(findingsOf(objects, {}, ignoring('2026-11-22')).length, 1);
    const annotated = objects.map((object) =>
      object.kind === 'Deployment'
        ? {
            ...object,
            metadata: {
              ...object.metadata,
              annotations: { 'fleet.pointsman/ignore': 'old-build, rollout-paused' },
            },
          }
        : object,
    );
    const { findings, ignored } = judge(surveyOf(annotated), DEFAULTS);
    assert.deepEqual([findings.length, ignored], [0, 1]);
  });

  it('takes wanted replicas and endpoints from annotations', () => {
    const objects = structuredClone(fleetObjects(1, { proxyReplicas: 2 })) as Loose[];
    assert.deepEqual(
      findingsOf(objects).map(({ kind }) => kind),
      ['proxy-scaled-down'],
    );
    for (const object of objects)
      if (object.kind === 'Deployment' && object.metadata.name === 'service-000')
        object.metadata.annotations = { 'fleet.pointsman/replicas': '2' };
    assert.deepEqual(findingsOf(objects), []);
    for (const object of objects)
      if (object.kind === 'Service' && object.metadata.name === 'service-000-internal')
        object.metadata.annotations = { 'fleet.pointsman/endpoints': '3' };
    assert.deepEqual(
      findingsOf(objects).map(({ kind }) => kind),
      ['endpoints-few'],
    );
  });

  it('gives the kubelet its time before a table counts as stale', () => {
    const objects = fleetObjects(1, { deployedAt: NOW - 60_000 });
    const survey = surveyOf(objects);
    const old = { proxies: survey.proxies.map((facts) => ({ ...facts, hash: '0'.repeat(64) })) };
    assert.deepEqual(findingsOf(objects, old), []);
    assert.deepEqual(
      findingsOf(objects, { ...old, at: NOW + 200_000 }).map(({ kind }) => kind),
      ['table-stale'],
    );
  });

  it('finds what differs from git, and what only one of them has', () => {
    const objects = fleetObjects(1);
    const manifest = (
      kind: 'Deployment' | 'Service',
      name: string,
      images: readonly string[] = [],
      replicas?: number,
    ) => ({
      kind,
      namespace: '',
      name,
      file: `${name}.yaml`,
      images,
      replicas,
      data: {},
      labels: { app: 'service-000' },
    });
    const repository = {
      directory: 'repo',
      problems: [],
      manifests: [
        manifest('Deployment', 'service-000', [PROXY_IMAGE], 4),
        manifest('Deployment', 'service-000-internal', ['registry.example/app:1.9.1'], 2),
        manifest('Deployment', 'service-000-canary', ['registry.example/app:1.8.2'], 5),
        manifest('Deployment', 'service-000-paid', ['registry.example/app:1.8.1']),
        manifest('Service', 'service-000-beta'),
      ],
    };
    assert.deepEqual(
      findingsOf(objects, { repository }).map(({ kind, object }) => `${kind} ${object}`),
      [
        'git-missing Service/service-000-beta',
        'git-extra Deployment/service-000-production',
        'git-image Deployment/service-000-internal',
        'git-replicas Deployment/service-000-canary',
      ],
    );
  });
});
