import type { Output } from './command-context.ts';

/** Back to the first of the drawn rows, and everything from there wiped out. */
const rewind = (rows: number) => `${rows > 1 ? `\u001b[${rows - 1}A` : ''}\r\u001b[J`;

/** What stays free to the right: a terminal prints `^C` there, and would go on in the next row with less. */
const FREE_COLUMNS = 3;

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
    const width = Math.max(1, this.#columns - FREE_COLUMNS);
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

  /** A terminal that does not know its width says 0. */
  get #columns(): number {
    return this.#output.columns || 80;
  }

  /** One that has become narrower has broken what was drawn into more rows than there are lines. */
  #wipe(): string {
    const rows = this.#drawn.map((line) => Math.max(1, Math.ceil(columnsOf(line) / this.#columns)));
    const text = rows.length === 0 ? '' : rewind(rows.reduce((sum, each) => sum + each, 0));
    this.#drawn = [];
    return text;
  }
}

/** Names come from clients, who must not be able to draw on the terminal. */
const CONTROL_CHARACTERS = /[\u0000-\u001f\u007f-\u009f]/g;

/** Letters of East Asian scripts and pictures, which take two columns. */
const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;

function columnsOf(text: string): number {
  let columns = 0;
  for (const character of text) columns += WIDE.test(character) ? 2 : 1;
  return columns;
}

function cutTo(width: number, line: string): string {
  if (columnsOf(line) <= width) return line;
  let kept = '';
  let columns = 1;
  for (const character of line) {
    columns += columnsOf(character);
    if (columns > width) break;
    kept += character;
  }
  return `${kept}…`;
}
