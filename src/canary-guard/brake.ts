/** How a guard takes a canary's share away: by an override, as people do it by hand. */
import type { Override } from '../overrides/override.ts';

/** Who set the overrides of a guard, of this replica or of another. */
export const GUARD = 'canary guard';

/** What holds for the split of a row. */
export interface Held {
  readonly id: string;
  readonly by: string;
  /** As given: backends that are not named keep the weight of the file. */
  readonly weights: Readonly<Record<string, number>>;
}

export interface Brake {
  held(route: string): Held | undefined;
  /** Somebody has ended it; not its time. */
  wasEnded(id: string): boolean;
  /** Takes the place of whatever holds for the row. @returns its id */
  hold(route: string, weights: Readonly<Record<string, number>>, durationMs: number, reason: string): string;
  release(id: string): void;
}

/** The part of the board of overrides that this needs. */
export interface Board {
  active(): Override[];
  wasEnded(id: string): boolean;
  set(request: {
    readonly target: Override['target'];
    readonly durationMs: number;
    readonly reason: string;
    readonly by: string;
  }): Override;
  end(override: Override): void;
}

export function boardBrake(board: Board): Brake {
  return {
    held: (route) => {
      for (const { id, by, target } of board.active()) {
        if (target.kind === 'split' && target.route === route) return { id, by, weights: target.weights };
      }
      return undefined;
    },
    wasEnded: (id) => board.wasEnded(id),
    hold: (route, weights, durationMs, reason) =>
      board.set({ target: { kind: 'split', route, weights: { ...weights } }, durationMs, reason, by: GUARD })
        .id,
    release: (id) => {
      const override = board.active().find((one) => one.id === id);
      if (override !== undefined) board.end(override);
    },
  };
}
