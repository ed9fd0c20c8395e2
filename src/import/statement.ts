/** One statement of a HAProxy configuration file. */
import type { Word } from './lexer.ts';
import type { Place } from './verdict.ts';

export interface Statement extends Place {
  readonly words: readonly Word[];
}
