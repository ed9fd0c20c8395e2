/** Prometheus' own tool reads what a proxy exposes, and the rules and dashboards that deploy/ has. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments, stringify } from 'yaml';
import { startHttpUpstream } from '../../support/http-upstream.ts';
import { startPointsman, temporaryDirectory } from '../../support/pointsman-process.ts';
import { send } from '../../support/request.ts';

const DEPLOY = fileURLToPath(new URL('../../../deploy/', import.meta.url));
const skip = spawnSync('promtool', ['--version']).status === 0 ? false : 'promtool is not installed';

function promtool(args: readonly string[], input = ''): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync('promtool', args, { input, encoding: 'utf8' });
  return { status, output: stdout + stderr };
}

function checkRules(groups: unknown): void {
  const file = path.join(temporaryDirectory(), 'rules.yaml');
  writeFileSync(file, stringify({ groups }));
  const { status, output } = promtool(['check', 'rules', file]);
  assert.equal(status, 0, output);
}

interface Panel {
  readonly title?: string;
  readonly panels?: readonly Panel[];
  readonly targets?: readonly { readonly expr?: string }[];
}

/** Queries as Prometheus gets them, once Grafana has filled in its variables. */
function queriesOf(panels: readonly Panel[]): string[] {
  return panels.flatMap((panel) => [
    ...(panel.targets ?? []).flatMap(({ expr }) => (expr === undefined ? [] : [expr])),
    ...queriesOf(panel.panels ?? []),
  ]);
}

const filled = (query: string) =>
  query
    .replaceAll(/\$__(rate_)?interval|\$\{__(rate_)?interval\}/g, '5m')
    .replaceAll('$__range', '1h')
    .replaceAll(/\$\{?[a-z_]+(:[a-z]+)?\}?/g, 'x');

const files = readdirSync(DEPLOY, { recursive: true, encoding: 'utf8' });

suite('promtool', { skip }, () => {
  test('finds no fault in what a proxy exposes after traffic, failures and a reload', async () => {
    const upstream = await startHttpUpstream('main');
    const config = {
      backends: { main: { url: upstream.url }, gone: { url: 'http://127.0.0.1:9' } },
      routes: [
        { name: 'gone', match: { group: 'GONE' }, split: { gone: 1 } },
        { name: 'all', split: { main: 1 }, pin: 'user' },
      ],
      pins: { user: { by: [{ header: 'X-User-Id' }], store: 'memory' as const } },
    };
    const proxy = await startPointsman(config);
    for (const headers of [
      [],
      ['X-User-Id', '4711'],
      ['X-Traffic-Group', 'GONE'],
      ['X-Traffic-Group', 'ODD'],
    ]) {
      await send(proxy.trafficPort, { headers, method: headers.length > 0 ? 'POST' : 'GET' });
    }
    await proxy.reload({ ...config, retries: { attempts: 1 } });
    const metrics = await proxy.metrics();
    assert.match(metrics, /^pointsman_requests_total\{.*code="2xx"/m);
    // Names of Node's own metrics, which prom-client gives, are not ours to choose.
    const ours = metrics.replaceAll(/^(# (HELP|TYPE) )?(nodejs|process)_.*\n/gm, '');
    const { output } = promtool(['check', 'metrics'], ours);
    // Quantiles of the last 10 s, as gauges: a summary would be cumulative.
    const faults = output
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('pointsman_event_loop_lag_seconds non-summary'));
    assert.deepEqual(faults, []);
    assert.notEqual(promtool(['check', 'metrics'], `${ours}nonsense {\n`).status, 0);
  });

  test('the check of rules does find faults', () => {
    assert.throws(() =>
      checkRules([{ name: 'x', rules: [{ alert: 'X', expr: 'rate(pointsman_requests_total)' }] }]),
    );
  });

  for (const file of files.filter((name) => /\.ya?ml$/.test(name) && !name.includes('helm/'))) {
    const text = readFileSync(path.join(DEPLOY, file), 'utf8');
    if (!/^groups:|^kind: PrometheusRule/m.test(text)) continue;
    test(`finds no fault in the rules of deploy/${file}`, () => {
      for (const document of parseAllDocuments(text)) {
        const { groups, spec } = document.toJS() as { groups?: unknown; spec?: { groups?: unknown } };
        checkRules(groups ?? spec?.groups);
      }
    });
  }

  for (const file of files.filter((name) => name.endsWith('.json'))) {
    const json = JSON.parse(readFileSync(path.join(DEPLOY, file), 'utf8')) as { panels?: readonly Panel[] };
    if (json.panels === undefined) continue;
    test(`finds no fault in the queries of the dashboard deploy/${file}`, () => {
      const queries = queriesOf(json.panels!);
      assert.ok(queries.length > 0);
      checkRules([
        { name: 'panels', rules: queries.map((query, i) => ({ record: `panel:${i}`, expr: filled(query) })) },
      ]);
    });
  }
});
