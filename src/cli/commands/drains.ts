import type { Command } from 'commander';
import { AdministrationService, type Drain } from '../../proto/warren/v1/administration.ts';
import type { CommandContext } from '../command-context.ts';
import { addExample } from '../example.ts';
import { printable, printJson, printLines, tableLines } from '../printing.ts';
import { addRemoteOptions, type RemoteOptions, withRemote } from '../remote.ts';
import { styleFor } from '../style.ts';

interface DrainOptions extends RemoteOptions {
  readonly comment: string;
}

/** `warren bots drain`, `undrain` and `drains`: which bots get nothing new. */
export function configureDrains(bots: Command, context: CommandContext): void {
  const drain = bots
    .command('drain')
    .description('let bots finish what they have and give them nothing new, those that come later too')
    .argument('<pattern>', "bot ids or names of sessions; '*' stands for any text")
    .option('--comment <text>', 'for whoever wonders later', '')
    .action(async (pattern: string, options: DrainOptions) => {
      const { comment } = options;
      await withRemote(options, context, ({ channel, retrier }, signal) => {
        const request = { drain: { pattern, comment } };
        return retrier.run(() => channel.unary(AdministrationService.addDrain, request, {}, signal), signal);
      });
      if (options.json === true) printJson(context.stdout, { pattern, comment });
      else context.stdout.write(`drained ${printable(pattern)}\n`);
    });
  addExample(addRemoteOptions(drain), "warren bots drain 'rack-7-*' --comment 'new kernel'");

  const undrain = bots
    .command('undrain')
    .description('give the bots of a drain work again')
    .argument('<pattern>', 'as it was given to drain')
    .action(async (pattern: string, options: RemoteOptions) => {
      await withRemote(options, context, ({ channel, retrier }, signal) =>
        retrier.run(() => channel.unary(AdministrationService.removeDrain, { pattern }, {}, signal), signal),
      );
      if (options.json === true) printJson(context.stdout, { pattern });
      else context.stdout.write(`undrained ${printable(pattern)}\n`);
    });
  addExample(addRemoteOptions(undrain), "warren bots undrain 'rack-7-*'");

  const drains = bots
    .command('drains')
    .description('list the drains')
    .action(async (options: RemoteOptions) => {
      const { drains: listed } = await withRemote(options, context, ({ channel, retrier }, signal) =>
        retrier.run(() => channel.unary(AdministrationService.listDrains, {}, {}, signal), signal),
      );
      const sorted = listed.toSorted((a, b) => (a.pattern < b.pattern ? -1 : 1));
      if (options.json === true) printJson(context.stdout, sorted.map(present));
      else if (sorted.length === 0) context.stderr.write('no bot is drained\n');
      else printLines(context.stdout, linesOf(sorted, context));
    });
  addExample(addRemoteOptions(drains), 'warren bots drains');
}

function present({ pattern, comment }: Drain) {
  return { pattern, comment };
}

function linesOf(drains: readonly Drain[], { stdout, environment }: CommandContext): string[] {
  const style = styleFor(stdout, environment);
  const rows = drains.map(({ pattern, comment }) => [printable(pattern), printable(comment)]);
  return tableLines([['PATTERN', 'COMMENT'].map((each) => style.dim(each)), ...rows]);
}
