import type { Command } from 'commander';
import { formatDuration } from '../../lib/format-duration.ts';
import { AdministrationService, type DeadLetter } from '../../proto/warren/v1/administration.ts';
import { timestampToMilliseconds } from '../../wire/time.ts';
import type { CommandContext } from '../command-context.ts';
import { addExample } from '../example.ts';
import { CommandFailure, ExitCode } from '../exit-codes.ts';
import { presentTime } from '../present/values.ts';
import { printable, printJson, printLines, tableLines } from '../printing.ts';
import { addRemoteOptions, type RemoteOptions, withRemote } from '../remote.ts';
import { styleFor } from '../style.ts';

interface SelectionOptions extends RemoteOptions {
  readonly all?: boolean;
}

/** `warren dead-letters`: jobs that nobody would run any more. */
export function configureDeadLetters(command: Command, context: CommandContext): void {
  const list = command
    .command('list')
    .description('list the jobs that nobody would run any more, the oldest first, with the reason')
    .action(async (options: RemoteOptions) => {
      const { deadLetters } = await withRemote(options, context, ({ channel, retrier }, signal) =>
        retrier.run(() => channel.unary(AdministrationService.listDeadLetters, { limit: 0 }, {}, signal), signal),
      );
      if (options.json === true) printJson(context.stdout, deadLetters.map(present));
      else if (deadLetters.length === 0) context.stderr.write('there is no dead letter\n');
      else printLines(context.stdout, linesOf(deadLetters, context));
    });
  addExample(addRemoteOptions(list), 'warren dead-letters list');

  const resend = command
    .command('resend')
    .description('execute their actions again; nobody waits for the results, which go to the action cache')
    .argument('[job...]', 'ids of jobs, as the list has them')
    .option('--all', 'all that there are')
    .action((jobIds: string[], options: SelectionOptions) => takeAction('resend', jobIds, options, context));
  addExample(addRemoteOptions(resend), 'warren dead-letters resend 7f-0c3e...', 'warren dead-letters resend --all');

  const drop = command
    .command('drop')
    .description('take dead letters out, and do nothing else')
    .argument('[job...]', 'ids of jobs, as the list has them')
    .option('--all', 'all that there are')
    .action((jobIds: string[], options: SelectionOptions) => takeAction('drop', jobIds, options, context));
  addExample(addRemoteOptions(drop), 'warren dead-letters drop --all');
  addExample(command, 'warren dead-letters list', 'warren dead-letters resend --all');
}

async function takeAction(
  verb: 'resend' | 'drop',
  jobIds: readonly string[],
  options: SelectionOptions,
  context: CommandContext,
): Promise<void> {
  const all = options.all === true;
  if (all === jobIds.length > 0) throw new CommandFailure(ExitCode.USAGE, 'name jobs, or say --all');
  const request = { selection: { all, jobIds: [...jobIds] } };
  const method = verb === 'resend' ? AdministrationService.resendDeadLetters : AdministrationService.dropDeadLetters;
  const taken = await withRemote(options, context, ({ channel, retrier }, signal) =>
    retrier.run(() => channel.unary(method, request, {}, signal), signal),
  );
  const done = verb === 'resend' ? 'sent again' : 'dropped';
  if (options.json === true) printJson(context.stdout, { jobIds: taken.jobIds });
  else for (const jobId of taken.jobIds) context.stdout.write(`${done} ${printable(jobId)}\n`);
  const missing = jobIds.filter((each) => !taken.jobIds.includes(each));
  if (missing.length > 0) {
    throw new CommandFailure(ExitCode.FAILURE, `no dead letter is of ${missing.map(printable).join(', ')}`);
  }
}

function present(letter: DeadLetter) {
  return {
    jobId: letter.jobId,
    instanceName: letter.instanceName,
    requirement: letter.requirement,
    actionDigest: `${letter.actionHash}/${letter.actionSizeBytes}`,
    reason: letter.reason,
    died: presentTime(letter.died),
    tool: letter.tool,
    target: letter.target,
    mnemonic: letter.mnemonic,
    invocation: letter.invocation,
  };
}

function linesOf(letters: readonly DeadLetter[], { stdout, environment, clock }: CommandContext): string[] {
  const style = styleFor(stdout, environment);
  const now = clock.now();
  const rows = letters.map((letter) => {
    const died = now - (timestampToMilliseconds(letter.died) ?? now);
    const what = [letter.mnemonic, letter.target].filter((each) => each !== '').join(' ');
    return [
      printable(letter.jobId),
      `${formatDuration(Math.max(died, 0))} ago`,
      printable(what === '' ? '-' : what),
      printable(letter.reason),
    ];
  });
  return tableLines([['JOB', 'DIED', 'ACTION', 'REASON'].map((each) => style.dim(each)), ...rows]);
}
