/** The body of a request, as far as its exchange knows it: what arrived, and what is kept for another attempt. */
import { KeptBody } from './kept-body.ts';

export class RequestBody {
  /** Content bytes received. */
  received = 0;
  /** True if all of it was received. */
  ended = false;
  /** Bytes that are kept for another attempt once the first one has begun to send; 0: none. */
  readonly keepLimit: number;
  /** All content received; undefined if it was too much to keep. */
  kept: KeptBody | undefined = new KeptBody();

  constructor(keepLimit: number) {
    this.keepLimit = keepLimit;
  }

  /** Drops kept content over the limit. Called once sending has begun. */
  trim(): void {
    if (this.kept !== undefined && this.kept.size > this.keepLimit) this.kept = undefined;
  }
}
