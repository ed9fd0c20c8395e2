/**
 * Files, disks, clocks and processes that fail under the proxy. `npm run torture` plays the same with more connections, over
 * both lanes and with several workers each.
 */

import { suite, test } from 'node:test';
import { playClockJump } from '../../torture/faults/scenarios/clock-jump.ts';
import { mountSmallDisk, playFullDisk, playNoDisk } from '../../torture/faults/scenarios/full-disk.ts';
import { playIdleConnections } from '../../torture/faults/scenarios/idle-connections.ts';
import { playKilledPrimary, playKilledWorker } from '../../torture/faults/scenarios/killed.ts';
import { playOpenFiles } from '../../torture/faults/scenarios/open-files.ts';
import { type Subject, subjectName } from '../../torture/faults/scenarios/scenario.ts';

const fast: Subject = { lane: 'fast', workers: 1 };
const full: Subject = { lane: 'full', workers: 1 };
const several: Subject = { lane: 'fast', workers: 2 };

// Most of the time is spent waiting.
suite('a proxy', { concurrency: 2 }, () => {
  suite('keeps its admin port when it is out of file descriptors, does not spin, and comes back', () => {
    for (const subject of [fast, { lane: 'full', workers: 2 } as const]) {
      test(subjectName(subject), () => playOpenFiles(subject));
    }
  });

  suite('gives back what 2,000 idle connections took, and serves others meanwhile', () => {
    for (const subject of [fast, full]) {
      test(subjectName(subject), async () => {
        await playIdleConnections(subject, 2_000);
      });
    }
  });

  suite('whose log goes to a full disk serves on, and counts what is lost', () => {
    for (const subject of [fast, several]) {
      test(subjectName(subject), async () => {
        const folder = mountSmallDisk();
        // Where nothing may be mounted, a disk that is never anything but full.
        if (folder === undefined) await playNoDisk(subject);
        else await playFullDisk(subject, folder);
      });
    }
  });

  test('whose wall clock jumps forward and back lets nothing end before its time', () =>
    playClockJump(several));

  test('of which a worker is killed under load cuts its connections alone', () => playKilledWorker(several));

  test('of which the primary is killed under load leaves no worker behind, and the next one takes the port', () =>
    playKilledPrimary(several));
});
