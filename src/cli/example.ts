import type { Command } from 'commander';

/** Ends the help of a command with an example that works as it stands. */
export function addExample(command: Command, ...lines: readonly string[]): Command {
  return command.addHelpText(
    'after',
    ['', lines.length === 1 ? 'Example:' : 'Examples:', ...lines.map((each) => `  ${each}`)].join('\n'),
  );
}
