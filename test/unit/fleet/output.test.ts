import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { exitCodeOf, type Severity } from '../../../src/fleet/finding.ts';
import { judge } from '../../../src/fleet/judge.ts';
import { renderMarkdown } from '../../../src/fleet/output/markdown.ts';
import { renderTable } from '../../../src/fleet/output/table.ts';
import { buildReport, type FleetReport, reportSchema, shortBuild } from '../../../src/fleet/report.ts';
import { isVersioned } from '../../../src/fleet/rules/pods.ts';
import { parseSettings } from '../../../src/fleet/settings.ts';
import { fleetObjects } from '../../support/kubernetes-api/fleet-objects.ts';
import { DEFAULTS, surveyOf } from './fixtures.ts';
import { PLANTS } from './planted-faults.ts';

function reportWith(kinds: readonly string[], services = 4): FleetReport {
  const objects = PLANTS.filter(({ kind }) => kinds.includes(kind)).reduce(
    (now, { plant }) => plant(now),
    fleetObjects(services),
  );
  return buildReport(judge(surveyOf(objects), DEFAULTS), DEFAULTS);
}

const plain = { color: false, columns: 110, wide: false };

describe('the table', () => {
  it('shows every service with its ready and wanted pods, then what is wrong and what to do', () => {
    const text = renderTable(reportWith(['endpoints-few', 'rollout-paused']), plain).join('\n');
    assert.match(text, /^test {2}all namespaces .*12:00:00Z$/m);
    assert.match(text, /4 services · 96 pods · 3 fine · \d warning/);
    assert.match(text, /^ +SERVICE +PROXY +INTERNAL +CANARY +PAID +PRODUCTION$/m);
    assert.match(text, /^▲ {2}service-001 +4\/4 +2\/2 +1\/4 +4\/4 +10\/10$/m);
    assert.match(text, /^✓ {2}service-000 +4\/4 +2\/2 +4\/4 +4\/4 +10\/10$/m);
    assert.match(
      text,
      /▲ service-001 {2}endpoints-few\n {2}track canary has 1 ready endpoint, needs 2 .*\n {2}→ kubectl -n shop get pods -l/,
    );
  });

  it('never is wider than the terminal, except for words that are, and has no colour unless asked for', () => {
    const report = reportWith([
      'endpoints-few',
      'rollout-stuck',
      'replica-failure',
      'pod-failed',
      'table-invalid',
    ]);
    for (const columns of [40, 60, 80, 200]) {
      for (const line of renderTable(report, { ...plain, columns })) {
        const longest = Math.max(...line.split(' ').map((word) => word.length));
        assert.ok(line.length <= Math.max(columns, longest + 4), `${columns}: ${line}`);
        assert.ok(!line.includes('\x1b'), line);
      }
    }
    const coloured = renderTable(report, { ...plain, color: true }).join('\n');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are what is taken off
    assert.equal(coloured.replaceAll(/\x1b\[\d+m/g, ''), renderTable(report, plain).join('\n'));
  });

  it('only counts services that are fine when there are many, and shows all of them wide, with builds', () => {
    const report = reportWith(['rollout-paused'], 70);
    const text = renderTable(report, plain).join('\n');
    assert.match(text, /69 services without problems are not shown/);
    assert.doesNotMatch(text, /service-069/);
    const wide = renderTable(report, { ...plain, wide: true, columns: 160 }).join('\n');
    assert.match(wide, /✓ {2}service-069 +4\/4 0\.1\.0 +2\/2 1\.9\.0 +4\/4 1\.8\.2/);
  });

  it('lets no message of the cluster steer the terminal', () => {
    const report = reportWith(['rollout-paused']);
    const [finding] = report.findings;
    const evil = {
      ...report,
      findings: [{ ...finding!, message: 'x\x1b]0;gone\x07\u202e y', object: 'Pod/\x1b[2J' }],
    };
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    assert.doesNotMatch(renderTable(evil, plain).join('\n'), /[\x00-\x09\x0b-\x1f\u202e]/);
  });
});

describe('other forms', () => {
  it('Markdown keeps its columns whatever objects are called', () => {
    const report = reportWith(['rollout-paused']);
    const evil = {
      ...report,
      findings: [{ ...report.findings[0]!, message: 'a | b `c` <img src=x> [d](e)' }],
    };
    const lines = renderMarkdown(evil)
      .split('\n')
      .filter((line) => line.startsWith('| ▲ | service-001 | rollout'));
    assert.deepEqual(lines.length, 1);
    assert.equal(lines[0]!.match(/(?<!\\)\|/g)!.length, 7);
    assert.doesNotMatch(lines[0]!, /<img/);
  });

  it('the report is what agents may send, whatever is planted', () => {
    for (const { plant, survey } of PLANTS) {
      const base = surveyOf(plant(fleetObjects(2)));
      const report = buildReport(judge({ ...base, ...survey?.(base) }, DEFAULTS), DEFAULTS);
      assert.deepEqual(reportSchema.parse(JSON.parse(JSON.stringify(report))), report);
    }
  });

  it('exit codes are those of the worst finding, critical before unknown before warnings', () => {
    const code = (...severities: Severity[]) =>
      exitCodeOf(
        severities.map((severity) => ({
          kind: '',
          severity,
          namespace: '',
          service: '',
          object: '',
          message: '',
          since: 0,
          advice: '',
        })),
      );
    assert.deepEqual(
      [
        code(),
        code('info'),
        code('info', 'warning'),
        code('warning', 'unknown'),
        code('unknown', 'critical', 'warning'),
      ],
      [0, 0, 1, 3, 2],
    );
  });
});

describe('images', () => {
  it('are versioned by digest or by a tag that is not latest', () => {
    assert.deepEqual(
      ['a:1', 'r:5000/a:1', 'a@sha256:00', 'a', 'a:latest', 'r:5000/a', 'r:5000/a:latest'].map(isVersioned),
      [true, true, true, false, false, false, false],
    );
  });
  it('are shortened to what tells builds apart', () => {
    assert.deepEqual(
      ['r:5000/team/a:1.8.2', `a@sha256:${'f'.repeat(64)}`, `a:2@sha256:${'f'.repeat(64)}`, 'r:5000/a'].map(
        shortBuild,
      ),
      ['1.8.2', 'ffffffffffff', '2', 'a'],
    );
  });
});

describe('settings', () => {
  it('have defaults for everything', () => {
    assert.deepEqual(parseSettings('', 'fleet.yaml', {}), DEFAULTS);
    assert.deepEqual(
      [DEFAULTS.proxy.replicas, DEFAULTS.endpoints, DEFAULTS.selector],
      [4, 2, 'tier=service'],
    );
  });
  it('name every mistake with its place and the nearest key, and show no secret', () => {
    const text =
      'endpoint: 3\nproxy:\n  replicas: many\nalerts:\n  slack: { url: 5, hook: "https://hooks.example/SECRET" }\n';
    assert.throws(
      () => parseSettings(text, 'fleet.yaml', {}),
      ({ message }: Error) => {
        assert.match(message, /fleet\.yaml:1:1: .*unknown key "endpoint".*endpoints/);
        assert.match(
          message,
          /fleet\.yaml:3:13: .*proxy\.replicas.*whole number|fleet\.yaml:3:13: .*proxy\.replicas.*number/,
        );
        assert.match(message, /fleet\.yaml:5:\d+: .*alerts\.slack\.hook/);
        assert.doesNotMatch(message, /SECRET/);
        return true;
      },
    );
  });
  it('take secrets from the environment, and say which variable is missing', () => {
    const text = 'alerts: { slack: { url: "${SLACK_WEBHOOK_URL}" } }\n';
    assert.equal(parseSettings(text, 'f', { SLACK_WEBHOOK_URL: 'https://h' }).alerts.slack?.url, 'https://h');
    assert.throws(() => parseSettings(text, 'f', {}), /SLACK_WEBHOOK_URL is not set/);
  });
});
