import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Deadlines, type Timed } from '../../../src/admission/deadlines.ts';

class Element implements Timed {
  deadline: number;
  nextTimed: Timed | undefined = undefined;
  previousTimed: Timed | undefined = undefined;
  readonly #onDeadline: () => void;

  constructor(deadline: number, onDeadline: () => void) {
    this.deadline = deadline;
    this.#onDeadline = onDeadline;
  }

  onDeadline(): void {
    this.#onDeadline();
  }
}

describe('deadlines', () => {
  it('fire once when they have passed, also when elements leave or move during the sweep', (context) => {
    context.mock.timers.enable({ apis: ['setInterval'] });
    let now = 0;
    const fired: string[] = [];
    const deadlines = new Deadlines(() => now);
    const removed = new Element(50, () => fired.push('removed'));
    const last = new Element(50, () => fired.push('last'));
    const remover = new Element(50, () => {
      fired.push('remover');
      deadlines.remove(remover);
    });
    const moving = new Element(50, () => {
      fired.push('moving');
      if (fired.filter((name) => name === 'moving').length === 1) moving.deadline = 200;
    });
    for (const element of [removed, last, remover, moving]) deadlines.add(element);
    deadlines.remove(removed);
    context.mock.timers.tick(25);
    assert.deepEqual(fired, []);
    now = 100;
    context.mock.timers.tick(25);
    assert.deepEqual(fired.sort(), ['last', 'moving', 'remover']);
    now = 300;
    context.mock.timers.tick(25);
    assert.deepEqual(fired.sort(), ['last', 'moving', 'moving', 'remover']);
    assert.equal(deadlines.coarseNow, 300);
    deadlines.close();
  });

  it('survive an element that is removed twice', () => {
    const deadlines = new Deadlines(() => 0);
    const a = new Element(1, () => {});
    const b = new Element(1, () => {});
    deadlines.add(a);
    deadlines.add(b);
    deadlines.remove(a);
    deadlines.remove(a);
    deadlines.remove(b);
    deadlines.remove(b);
    deadlines.close();
  });
});
