/** The terminal: a screen of its own while the demo runs, and everything as it was afterwards, whatever happens. */
import type { Size } from './frame.ts';

const ENTER = '\x1b[?1049h\x1b[?25l';
const LEAVE = '\x1b[?25h\x1b[?1049l';
const HOME = '\x1b[H';
const CLEAR_REST_OF_LINE = '\x1b[K';
const CLEAR_BELOW = '\x1b[J';

export interface ScreenEdges {
  readonly input: NodeJS.ReadStream;
  readonly output: NodeJS.WriteStream;
  /** Ctrl-C or q. */
  readonly onQuit: () => void;
  readonly onResize: () => void;
}

export class Screen {
  readonly #edges: ScreenEdges;
  readonly #restore = () => this.close();
  #open = false;

  constructor(edges: ScreenEdges) {
    this.#edges = edges;
  }

  open(): void {
    const { input, output, onResize } = this.#edges;
    this.#open = true;
    output.write(ENTER);
    output.on('resize', onResize);
    // Keys must not be echoed into the picture; Ctrl-C then comes as a character.
    if (input.isTTY) {
      input.setRawMode(true);
      input.on('data', this.#onKeys);
      input.resume();
    }
    process.once('exit', this.#restore);
  }

  get size(): Size {
    const { columns, rows } = this.#edges.output;
    return { columns: columns || 80, rows: rows || 24 };
  }

  /** Overwrites the picture before, line by line, so that nothing flickers. */
  draw(lines: readonly string[]): void {
    if (!this.#open) return;
    const body = lines.map((line) => `${line}${CLEAR_REST_OF_LINE}`).join('\r\n');
    this.#edges.output.write(`${HOME}${body}${CLEAR_BELOW}`);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    const { input, output, onResize } = this.#edges;
    process.off('exit', this.#restore);
    output.off('resize', onResize);
    if (input.isTTY) {
      input.off('data', this.#onKeys);
      input.setRawMode(false);
      input.pause();
    }
    output.write(LEAVE);
  }

  readonly #onKeys = (keys: Buffer): void => {
    // 3 is Ctrl-C, 4 is Ctrl-D.
    if (keys.includes(3) || keys.includes(4) || keys.includes('q')) this.#edges.onQuit();
  };
}
