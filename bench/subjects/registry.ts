/** All subjects, in the order of the table. */

import { direct } from './direct.ts';
import { haproxy } from './haproxy.ts';
import { nginx } from './nginx.ts';
import { httpProxy3, httpxy } from './node-proxy.ts';
import { pointsman, pointsmanFull, pointsmanObserved, pointsmanPipelining } from './pointsman.ts';
import type { Subject } from './subject.ts';

export const SUBJECTS: readonly Subject[] = [
  pointsman,
  pointsmanPipelining,
  pointsmanObserved,
  pointsmanFull,
  haproxy,
  nginx,
  httpxy,
  httpProxy3,
  direct,
];

export function subjectNamed(name: string): Subject | undefined {
  return SUBJECTS.find((subject) => subject.name === name);
}
