import type { Output } from './command-context.ts';

/** Back to the first of the drawn lines, and everything from there wiped out. */
const rewind = (lines: number) => `${lines > 1 ? `\u001b[${lines - 1}A` : ''}\r\u001b[J`;

/**
 * Some lines at the bottom of a terminal that are drawn over, under a log that scrolls. Where nobody watches, the lines
 * are not drawn and the log is plain.
 */
export class LiveDisplay {
  readonly #output: Output;
  #drawn: readonly string[] = [];

  constructor(output: Output) {
    this.#output = output;
  }

  /** Whether lines can be drawn over. */
  get isLive(): boolean {
    return this.#output.isTTY === true;
  }

  /** Replaces the live lines; each is cut to the width of the terminal. None wipes them out. */
  show(lines: readonly string[]): void {
    if (!this.isLive) return;
    // A terminal that does not know its width says 0.
    const columns = this.#output.columns ?? 0;
    const width = (columns > 0 ? columns : 80) - 1;
    const cut = lines.map((line) => cutTo(width, line.replace(CONTROL_CHARACTERS, '?')));
    if (cut.join('\n') === this.#drawn.join('\n')) return;
    this.#output.write(this.#wipe() + cut.join('\n'));
    this.#drawn = cut;
  }

  /** Writes a line that stays, above the live ones. */
  log(line: string): void {
    const drawn = this.#drawn;
    this.#output.write(`${this.#wipe()}${line}\n${drawn.join('\n')}`);
    this.#drawn = drawn;
  }

  #wipe(): string {
    const text = this.#drawn.length === 0 ? '' : rewind(this.#drawn.length);
    this.#drawn = [];
    return text;
  }
}

/** Names come from clients, who must not be able to draw on the terminal. */
const CONTROL_CHARACTERS = /[\u0000-\u001f\u007f-\u009f]/g;

function cutTo(width: number, line: string): string {
  return line.length > width ? `${line.slice(0, width - 1)}…` : line;
}
