/** The dashboard and the alert rules in deploy/ ask for metrics and labels that the real process has. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { designTable, startTracks } from '../../support/design-table.ts';
import { parseExposition } from '../../support/exposition.ts';
import { startHttpUpstream } from '../../support/http-upstream.ts';
import { act, TOKEN } from '../../support/operator.ts';
import { startPointsman } from '../../support/pointsman-process.ts';
import { inParallel, send } from '../../support/request.ts';
import { waitFor } from '../../support/wait-for.ts';

const DEPLOY = fileURLToPath(new URL('../../../deploy/', import.meta.url));

interface Expression {
  readonly where: string;
  readonly text: string;
}

interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}

const dashboard = JSON.parse(readFileSync(`${DEPLOY}grafana/pointsman.json`, 'utf8')) as {
  readonly panels: readonly (Panel & { readonly id: number; readonly gridPos: object })[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly query: unknown }[] };
  readonly annotations: { readonly list: readonly { readonly name: string; readonly expr: string }[] };
};
const rules = parse(readFileSync(`${DEPLOY}prometheus/pointsman.rules.yaml`, 'utf8')) as {
  readonly groups: readonly {
    readonly name: string;
    readonly rules: readonly {
      readonly alert: string;
      readonly expr: string;
      readonly labels: { readonly severity: string };
      readonly annotations: { readonly summary: string };
    }[];
  }[];
};
const alerts = rules.groups.flatMap((group) => group.rules);
const expressions: readonly Expression[] = [
  ...dashboard.panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => ({ where: `panel ${title}`, text: expr })),
  ),
  ...dashboard.annotations.list.map(({ name, expr }) => ({ where: `annotation ${name}`, text: expr })),
  ...alerts.map(({ alert, expr }) => ({ where: `alert ${alert}`, text: expr })),
];

/** Given by Prometheus, or by a histogram to its buckets. */
const OUTSIDE: ReadonlySet<string> = new Set(['job', 'instance', 'le']);

/** Metrics of an expression, and the labels that it compares or keeps. */
function asks(text: string): { readonly metrics: readonly string[]; readonly labels: readonly string[] } {
  const plain = text.replaceAll(/"[^"]*"/g, '""');
  const metrics = [...plain.matchAll(/\b(?:pointsman|process)_[a-z_]+/g)].map(([name]) => name);
  const selected = [...plain.matchAll(/\{([^}]*)\}/g)].flatMap(([, inside]) =>
    [...inside!.matchAll(/([a-z_]+)\s*(?:=~|!~|!=|=)/g)].map(([, label]) => label!),
  );
  const grouped = [...plain.matchAll(/\b(?:by|on)\s*\(([^)]*)\)/g)].flatMap(([, inside]) =>
    inside!.split(',').map((label) => label.trim()),
  );
  return {
    metrics,
    labels: [...selected, ...grouped].filter((label) => label !== '' && !OUTSIDE.has(label)),
  };
}

const tracks = await startTracks();
const table = designTable(tracks);
const gone = await Promise.all([startHttpUpstream('canary'), startHttpUpstream('production')]);
const proxy = await startPointsman({
  ...table,
  acting: { token: TOKEN },
  pins: { user: { by: [{ header: 'X-User-Id' }], store: 'memory' } },
  backends: {
    ...table.backends,
    gone: { url: gone[0].url },
    production: { servers: [{ url: tracks.production.url }, { url: gone[1].url }] },
  },
  routes: table.routes.map((route) =>
    route.name === 'free'
      ? { ...route, pin: 'user', guard: 'warn' }
      : route.name === 'enterprise'
        ? { ...route, split: { gone: 50, production: 50 }, main: 'production', shield: false }
        : route,
  ),
  outlier: { enabled: false },
  // Long enough that requests meet what is gone before checks do.
  health: { interval: '2s', fall: 1 },
  retries: { budget: { percent: 0, floor: 3 } },
});
// A canary's answers that its main backend is asked for instead, within the budget.
await inParallel(60, 1, () => send(proxy.trafficPort, { path: '/status/503' }));
await Promise.all(gone.map((upstream) => upstream.close()));
// All that counters are for happens once: failed attempts, retries, a budget used up, and then spills.
const free = ['X-Traffic-Group', 'FREE', 'X-User-Id', 'u1'];
await send(proxy.trafficPort, { headers: free });
await send(proxy.trafficPort, { path: '/status/500', headers: free });
await waitFor(
  'every counter',
  async () => {
    await inParallel(8, 2, () => send(proxy.trafficPort, { headers: ['X-Traffic-Group', 'ENTERPRISE'] }));
    const names = ['upstream_errors', 'retries', 'retries_denied', 'shielded', 'spills', 'failures'];
    const text = await proxy.metrics();
    return names.every((name) => text.includes(`pointsman_${name}_total{`));
  },
  20_000,
);
await act(proxy.adminPort, 'split', { route: 'free', weights: { canary: 0 }, for: '5m', reason: 'x' });

/** Labels of each metric, by what the process tells. */
const families = parseExposition(
  // Node's own are not asked for, and some of them are NaN for a moment after a scrape.
  (await proxy.metrics()).replaceAll(/^(?:# (?:HELP|TYPE) )?nodejs_.*\n/gm, ''),
);
const known = new Map<string, ReadonlySet<string>>();
for (const { name, type, samples } of families.values()) {
  const labels = new Set(samples.flatMap((sample) => Object.keys(sample.labels)));
  known.set(name, labels);
  if (type === 'histogram') for (const end of ['bucket', 'sum', 'count']) known.set(`${name}_${end}`, labels);
}

suite('dashboard and alert rules', () => {
  for (const { where, text } of expressions) {
    test(`${where} asks for what the proxy has`, () => {
      const { metrics, labels } = asks(text);
      assert.ok(metrics.length > 0, text);
      for (const metric of metrics) assert.ok(known.has(metric), `${metric} is no metric of the proxy`);
      for (const label of labels) {
        const has = metrics.some((metric) => known.get(metric)!.has(label));
        assert.ok(has, `no metric of ${text} has the label ${label}`);
      }
      for (const [open, close] of ['()', '{}', '[]'] as const) {
        assert.equal(text.split(open!).length, text.split(close!).length, `${open}${close} in ${text}`);
      }
    });
  }

  test('a metric or a label that does not exist would be found', () => {
    assert.ok(!known.has('pointsman_nothing_total'));
    assert.deepEqual(
      asks('sum by (job, nothing) (rate(pointsman_requests_total{code="5xx",other=~"a{b}"}[5m]))'),
      {
        metrics: ['pointsman_requests_total'],
        labels: ['code', 'other', 'nothing'],
      },
    );
    assert.ok(!known.get('pointsman_requests_total')!.has('nothing'));
  });

  test('the dashboard has every part in its place, and each legend names labels that its query keeps', () => {
    assert.equal(new Set(dashboard.panels.map(({ id }) => id)).size, dashboard.panels.length);
    assert.deepEqual(
      dashboard.templating.list.map(({ name }) => name),
      ['datasource', 'job', 'route'],
    );
    for (const { title, targets = [] } of dashboard.panels) {
      for (const { expr, legendFormat } of targets) {
        for (const [, label] of legendFormat.matchAll(/\{\{(\w+)\}\}/g)) {
          const kept = !/\bby\b/.test(expr) || new RegExp(`\\bby \\([^)]*\\b${label}\\b`).test(expr);
          assert.ok(kept, `${title}: ${label}`);
        }
      }
    }
  });

  test('every alert has a severity and says in words what is wrong', () => {
    assert.equal(new Set(alerts.map(({ alert }) => alert)).size, alerts.length);
    for (const { alert, expr, labels, annotations } of alerts) {
      assert.ok(['critical', 'warning', 'info'].includes(labels.severity), alert);
      assert.ok(annotations.summary.length > 20, alert);
      for (const [, label] of annotations.summary.matchAll(/\$labels\.(\w+)/g)) {
        const kept = !/\bby\b/.test(expr) || new RegExp(`\\bby \\([^)]*\\b${label}\\b`).test(expr);
        assert.ok(kept, `${alert}: ${label}`);
      }
    }
  });
});
