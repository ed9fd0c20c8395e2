/** Whether Redis was heard of once. The start of a process waits for it, but not for ever. */
export class FirstAnswer {
  #isHere = false;
  readonly #waiting: (() => void)[] = [];

  get isHere(): boolean {
    return this.#isHere;
  }

  /** It is here, or will never come. */
  arrived(): void {
    this.#isHere = true;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** Resolves when it is here, or after `ms`. */
  within(ms: number): Promise<void> {
    if (this.#isHere) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#waiting.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}
