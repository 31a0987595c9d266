import type { CommandContext, Output } from './command-context.ts';

/** Marks text for a person's eyes; gives it back as it is where no terminal shows it. */
export interface Style {
  bold(text: string): string;
  dim(text: string): string;
  red(text: string): string;
  green(text: string): string;
  yellow(text: string): string;
}

/** Colours for a terminal, unless the person asked for none by NO_COLOR or TERM=dumb. */
export function styleFor(output: Output, environment: CommandContext['environment']): Style {
  const plain = output.isTTY !== true || (environment['NO_COLOR'] ?? '') !== '' || environment['TERM'] === 'dumb';
  const mark = (on: number, off: number) => (text: string) => (plain ? text : `\u001b[${on}m${text}\u001b[${off}m`);
  return { bold: mark(1, 22), dim: mark(2, 22), red: mark(31, 39), green: mark(32, 39), yellow: mark(33, 39) };
}
