/** Starts requests at a rate, whether or not those before have ended; bounded, so that a stall does not pile them up. */

export interface Paced {
  /** A second. */
  readonly rate: number;
  /** Most under way. */
  readonly most: number;
  /** Never rejects. */
  readonly run: (turn: number) => Promise<void>;
}

const TICK_MS = 5;

export class Pacer {
  readonly #paced: readonly Paced[];
  readonly #onHeld: () => void;
  readonly #turns: number[];
  readonly #running: number[];
  #timer: NodeJS.Timeout | undefined;

  constructor(paced: readonly Paced[], onHeld: () => void) {
    this.#paced = paced;
    this.#onHeld = onHeld;
    this.#turns = paced.map(() => 0);
    this.#running = paced.map(() => 0);
  }

  start(): void {
    const startedAt = performance.now();
    this.#timer = setInterval(() => this.#startDue((performance.now() - startedAt) / 1000), TICK_MS);
  }

  /** Resolves when everything under way has ended. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    while (this.#running.some((count) => count > 0)) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  #startDue(seconds: number): void {
    for (const [index, { rate, most, run }] of this.#paced.entries()) {
      for (; this.#turns[index]! < seconds * rate; this.#turns[index]! += 1) {
        if (this.#running[index]! >= most) {
          this.#onHeld();
          continue;
        }
        this.#running[index]! += 1;
        void run(this.#turns[index]!).finally(() => {
          this.#running[index]! -= 1;
        });
      }
    }
  }
}
