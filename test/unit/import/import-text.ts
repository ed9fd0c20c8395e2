import { parseConfig } from '../../../src/config/load.ts';
import type { Config } from '../../../src/config/schema.ts';
import { type ImportResult, importHaproxy } from '../../../src/import/import.ts';

export function importText(text: string, files: Readonly<Record<string, string>> = {}): ImportResult {
  return importHaproxy({
    files: [{ name: 'haproxy.cfg', text }],
    defines: new Map(),
    environment: {},
    readLines: (file) => files[file]?.split('\n').filter((line) => line !== ''),
    service: undefined,
    frontend: undefined,
  });
}

/** The configuration that a file becomes; throws with the reasons when there is none. */
export function configOf(text: string, files: Readonly<Record<string, string>> = {}): Config {
  const { yaml, verdicts } = importText(text, files);
  if (yaml === undefined) throw new Error(JSON.stringify(verdicts));
  const environment = { POINTSMAN_COOKIE_KEY: 'a key of these tests alone' };
  const { config, problems } = parseConfig(yaml, { file: 'imported', environment });
  if (config === undefined) throw new Error(`${JSON.stringify(problems)}\n${yaml}`);
  return config;
}

export const DEFAULTS = `defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
`;

/** A whole file of the rules of one frontend, with a server for every backend that is named. */
export function rulesText(rules: readonly string[], backends: readonly string[]): string {
  const sections = backends.map((name, i) => `backend ${name}\n    server ${name} 10.0.0.${i + 1}:80\n`);
  return `${DEFAULTS}frontend in\n    bind :8080\n${rules.map((rule) => `    ${rule}\n`).join('')}${sections.join('')}`;
}
