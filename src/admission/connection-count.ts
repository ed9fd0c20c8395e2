/** How many connections each client holds, in one process. As bounded as the connections themselves. */
import { clientKey } from './client-key.ts';

export class ConnectionCount {
  readonly #open = new Map<string, number>();

  /** Clients that hold at least one. */
  get clients(): number {
    return this.#open.size;
  }

  /** @returns false, and nothing is counted, when the client holds `limit` already */
  add(address: string, limit: number): boolean {
    const key = clientKey(address);
    const open = this.#open.get(key) ?? 0;
    if (open >= limit) return false;
    this.#open.set(key, open + 1);
    return true;
  }

  /** One that `add` has counted is closed. */
  remove(address: string): void {
    const key = clientKey(address);
    const open = this.#open.get(key) ?? 0;
    if (open <= 1) this.#open.delete(key);
    else this.#open.set(key, open - 1);
  }
}
