/** `pointsman fleet alert`: tells people. */

import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Alerter, type Send } from '../../fleet/alerts/alerter.ts';
import { mailServer } from '../../fleet/alerts/email.ts';
import type { Channel } from '../../fleet/alerts/state.ts';
import { ConfigMapStore, FileStore, type StateStore } from '../../fleet/alerts/state-store.ts';
import { ClusterFailure } from '../../fleet/cluster/failure.ts';
import { takeSurvey } from '../../fleet/cluster/survey.ts';
import type { Finding } from '../../fleet/finding.ts';
import { judge } from '../../fleet/judge.ts';
import type { FleetSettings } from '../../fleet/settings.ts';
import { type CommandIo, UsageError } from '../io.ts';
import {
  CLUSTER_HELP,
  CLUSTER_OPTIONS,
  durationOption,
  type OpenedCluster,
  openCluster,
  untilSignal,
} from './options.ts';

const HELP = `Usage: pointsman fleet alert --config FILE (--state-file FILE | --state-configmap NAME) [OPTIONS]

Surveys once, or again and again, and tells Slack and e-mail what breaks, stays broken and recovers: once each, all of
one survey in one message. The file says where to:

  alerts:
    slack: { url: "\${SLACK_WEBHOOK_URL}" }
    email: { server: "smtp://\${SMTP_USER}:\${SMTP_PASSWORD}@mail.example", from: fleet@example.org, to: ops@example.org }

What cannot be delivered is kept in the state and tried again, after a restart, too.

Options:
${CLUSTER_HELP}      --state-file FILE     remembers there; a directory that survives the process
      --state-configmap NAME  remembers in this ConfigMap of the context's namespace; it must exist
      --every DURATION      go on, with a survey that often; default: once
      --dry-run             print what would be told; send and remember nothing
  -h, --help                this text

Exit codes: 0 surveyed and everything delivered, whatever was found; 1 messages wait for another try; 3 the cluster
could not be surveyed; 64 wrong usage.
`;

export async function alert(args: readonly string[], io: CommandIo): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      ...CLUSTER_OPTIONS,
      'state-file': { type: 'string' },
      'state-configmap': { type: 'string' },
      every: { type: 'string' },
      'dry-run': { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    io.stdout(HELP);
    return 0;
  }
  const { 'state-file': file, 'state-configmap': configMap, 'dry-run': dry } = values;
  if ((file === undefined) === (configMap === undefined))
    throw new UsageError('give either --state-file or --state-configmap: what was told must be remembered');
  const every = values.every === undefined ? undefined : durationOption('--every', values.every, 1_000);
  const { signal, release } = untilSignal();
  const fail = (message: string) => io.stderr(`pointsman fleet alert: ${message}\n`);
  try {
    const opened = await openCluster(values, io);
    const send = dry ? {} : channels(opened.settings.alerts, signal);
    if (!dry && Object.keys(send).length === 0)
      throw new UsageError(
        'the settings name neither alerts.slack nor alerts.email; give them in --config FILE',
      );
    const store: StateStore =
      file !== undefined
        ? new FileStore(file)
        : new ConfigMapStore(
            opened.connection,
            opened.connection.namespace || (opened.namespaces[0] ?? 'default'),
            configMap!,
            signal,
          );
    if (dry) return await preview(opened, store, io, signal);
    for (;;) {
      const code = await round(opened, store, send, io, signal, fail);
      if (every === undefined || signal.aborted) return signal.aborted ? 0 : code;
      await pause(every, undefined, { signal }).catch(() => {});
      if (signal.aborted) return 0;
    }
  } catch (error) {
    if (!(error instanceof ClusterFailure)) throw error;
    fail(error.message);
    return 3;
  } finally {
    release();
  }
}

function channels(settings: FleetSettings['alerts'], signal: AbortSignal): Partial<Record<Channel, Send>> {
  const { slack, email } = settings;
  if (slack !== undefined && !/^https?:\/\//.test(slack.url))
    throw new UsageError('alerts.slack.url is no URL of a webhook');
  if (email !== undefined) {
    try {
      mailServer(email.server);
    } catch (error) {
      throw new UsageError((error as Error).message);
    }
  }
  return {
    ...(slack === undefined
      ? {}
      : {
          slack: async (message) =>
            (await import('../../fleet/alerts/slack.ts')).sendToSlack(slack.url, message, signal),
        }),
    ...(email === undefined
      ? {}
      : { email: async (message) => (await import('../../fleet/alerts/email.ts')).sendMail(email, message) }),
  };
}

async function survey({ connection, ...opened }: OpenedCluster, signal: AbortSignal) {
  const taken = await takeSurvey(connection, { ...opened, now: Date.now, signal });
  return { at: taken.at, findings: judge(taken, opened.settings).findings };
}

async function round(
  opened: OpenedCluster,
  store: StateStore,
  send: Partial<Record<Channel, Send>>,
  io: CommandIo,
  signal: AbortSignal,
  fail: (message: string) => void,
): Promise<number> {
  // Loaded afresh each time: should another one have run meanwhile, its news is ours.
  const alerter = new Alerter({
    settings: opened.settings.alerts,
    store,
    send,
    now: Date.now,
    onDelivery: ({ channel, notices }, delivery) => {
      if (delivery.result === 'sent') io.stdout(`told ${channel} of ${notices.length}\n`);
      else fail(`${delivery.error}; kept, and tried again`);
    },
  });
  let code = 0;
  try {
    const { at, findings } = await survey(opened, signal);
    await alerter.observe(opened.cluster, at, findings);
  } catch (error) {
    if (signal.aborted) return 0;
    if (!(error instanceof ClusterFailure) || error.status === 409) return refuse(error, fail);
    fail(error.message);
    code = 3;
    // That nothing can be seen is news itself; what is known of troubles stays as it is.
    await alerter
      .observe(opened.cluster, Date.now(), [unseen(error)])
      .catch((problem: unknown) => refuse(problem, fail));
  }
  try {
    const { waiting } = await alerter.deliver();
    return code !== 0 ? code : waiting > 0 ? 1 : 0;
  } catch (error) {
    return refuse(error, fail);
  }
}

function unseen({ message }: ClusterFailure): Finding {
  return {
    kind: 'not-seen',
    severity: 'unknown',
    namespace: '',
    service: '',
    object: 'Kind/Cluster',
    message,
    since: 0,
    advice: 'is the API server up, and are the credentials good? Nothing else is known until then',
  };
}

/** The state can be neither read nor written: without it nothing is sent, for it would be sent again and again. */
function refuse(error: unknown, fail: (message: string) => void): number {
  fail((error as Error).message);
  return 3;
}

async function preview(
  opened: OpenedCluster,
  store: StateStore,
  io: CommandIo,
  signal: AbortSignal,
): Promise<number> {
  const { mailText, subjectOf } = await import('../../fleet/alerts/text.ts');
  const { nextState } = await import('../../fleet/alerts/state.ts');
  const { at, findings } = await survey(opened, signal);
  const before = await store.load();
  const next = nextState(before, { cluster: opened.cluster, at, findings }, opened.settings.alerts, [
    'email',
  ]);
  const fresh = next.outbox.filter(({ id }) => !before.outbox.some((message) => message.id === id));
  for (const message of fresh) io.stdout(`${subjectOf(message)}\n\n${mailText(message)}`);
  if (fresh.length === 0) io.stdout('nothing new to tell\n');
  return 0;
}
