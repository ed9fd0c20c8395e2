/** Lets so many in at a time; the others wait in turn. */

type Run = (leave: () => void) => void;

export class Gate {
  readonly #limit: number;
  readonly #queue: Run[] = [];
  #inside = 0;
  #admitting = false;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Calls `run` at once or later; it calls `leave` once, when it is done. */
  enter(run: Run): void {
    this.#queue.push(run);
    this.#admit();
  }

  #admit(): void {
    // Those that leave at once must not admit the next from within: ten thousand of them would be as many calls deep.
    if (this.#admitting) return;
    this.#admitting = true;
    while (this.#inside < this.#limit) {
      const run = this.#queue.shift();
      if (run === undefined) break;
      this.#inside++;
      run(() => {
        this.#inside--;
        this.#admit();
      });
    }
    this.#admitting = false;
  }
}
