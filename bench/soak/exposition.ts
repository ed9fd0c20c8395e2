/** Reads what the proxy exposes to Prometheus. */

const LINE = /^([a-z_:]+)(?:\{(.*)\})? (\S+)$/;

export class Exposition {
  readonly #lines: readonly { readonly name: string; readonly labels: string; readonly value: number }[];

  constructor(text: string) {
    this.#lines = text.split('\n').flatMap((line) => {
      const match = LINE.exec(line);
      return match === null ? [] : [{ name: match[1]!, labels: match[2] ?? '', value: Number(match[3]) }];
    });
  }

  /** Series, buckets of histograms included: labels that nobody takes away make them grow. Without those of endpoints. */
  get series(): number {
    return this.#lines.length - this.endpointSeries;
  }

  /** Those of endpoints are kept when these have gone, up to a bound. */
  get endpointSeries(): number {
    return this.#lines.filter(({ labels }) => labels.includes('endpoint="')).length;
  }

  /** @param labels as they stand in the text; those that a series must have */
  sum(name: string, ...labels: string[]): number {
    return this.#matching(name, labels).reduce((sum, { value }) => sum + value, 0);
  }

  most(name: string, ...labels: string[]): number {
    return Math.max(0, ...this.#matching(name, labels).map(({ value }) => value));
  }

  #matching(name: string, labels: readonly string[]) {
    return this.#lines.filter(
      (line) => line.name === name && labels.every((label) => line.labels.includes(label)),
    );
  }
}
