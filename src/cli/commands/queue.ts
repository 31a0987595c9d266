import { type Command, InvalidArgumentError } from 'commander';
import { parseRequirementKey, type Requirement } from '../../domain/platform.ts';
import { formatDuration } from '../../lib/format-duration.ts';
import { AdministrationService, type WorkQueue } from '../../proto/warren/v1/administration.ts';
import { timestampToMilliseconds } from '../../wire/time.ts';
import type { CommandContext } from '../command-context.ts';
import { addExample } from '../example.ts';
import { CommandFailure, ExitCode } from '../exit-codes.ts';
import { presentTime } from '../present/values.ts';
import { fieldLines, printable, printJson, printLines, tableLines } from '../printing.ts';
import { addRemoteOptions, type Remote, type RemoteOptions, withRemote } from '../remote.ts';
import { styleFor } from '../style.ts';

interface ListOptions extends RemoteOptions {
  readonly allInstances?: boolean;
}

/** What work that any bot may run is called: no requirement has this key. */
const NO_REQUIREMENT = 'none';

/** `warren queue`: what waits and why, and pausing it. */
export function configureQueue(command: Command, context: CommandContext): void {
  const list = command
    .command('list')
    .description('list the work queues, with what waits in them and why')
    .option('--all-instances', 'queues of every instance')
    .action((options: ListOptions) => listAction(options, context));
  addRemoteOptions(list);
  addExample(list, 'warren queue list', 'warren queue list --all-instances --json');

  const show = command
    .command('show')
    .description('show one work queue')
    .argument('<queue>', 'its requirement, as the list has it', parseQueue)
    .action(async (requirement: Requirement, options: RemoteOptions) => {
      const queues = await withRemote(options, context, (remote, signal) => listQueues(remote, false, signal));
      const queue = queues.find((each) => each.requirement === requirement.key);
      if (queue === undefined) {
        throw new CommandFailure(ExitCode.FAILURE, `no work queue is called ${nameOf(requirement.key)} here`);
      }
      if (options.json === true) printJson(context.stdout, present(queue));
      else printLines(context.stdout, fieldLines(fieldsOf(queue, context)));
    });
  addExample(addRemoteOptions(show), "warren queue show 'ISA=x86-64;OSFamily=linux'");

  addSwitch(command, context, true);
  addSwitch(command, context, false);
  addExample(command, 'warren queue list', "warren queue pause 'OSFamily=linux'");
}

function addSwitch(command: Command, context: CommandContext, paused: boolean): void {
  const verb = paused ? 'pause' : 'resume';
  const subcommand = command
    .command(verb)
    .description(
      paused ? 'let a work queue hand out nothing, until it is resumed' : 'let a paused work queue hand out work again',
    )
    .argument(
      '<queue>',
      `its requirement, as the list has it; '${NO_REQUIREMENT}' for work that any bot may run`,
      parseQueue,
    )
    .action(async ({ properties, key }: Requirement, options: RemoteOptions) => {
      await withRemote(options, context, ({ channel, retrier, instanceName }, signal) => {
        const request = { instanceName, properties: [...properties], paused };
        return retrier.run(() => channel.unary(AdministrationService.setWorkQueuePaused, request, {}, signal), signal);
      });
      if (options.json === true)
        printJson(context.stdout, { instanceName: options.instance, requirement: key, paused });
      else context.stdout.write(`${paused ? 'paused' : 'resumed'} ${printable(nameOf(key))}\n`);
    });
  addExample(addRemoteOptions(subcommand), `warren queue ${verb} 'ISA=x86-64;OSFamily=linux'`);
}

async function listAction(options: ListOptions, context: CommandContext): Promise<void> {
  const queues = await withRemote(options, context, (remote, signal) =>
    listQueues(remote, options.allInstances === true, signal),
  );
  if (options.json === true) printJson(context.stdout, queues.map(present));
  else if (queues.length === 0) context.stderr.write('no work queue is known: nothing was asked for of late\n');
  else printLines(context.stdout, linesOf(queues, context));
}

async function listQueues(
  { channel, instanceName, retrier }: Remote,
  allInstances: boolean,
  signal: AbortSignal,
): Promise<readonly WorkQueue[]> {
  const request = { instanceName, allInstances };
  const { workQueues } = await retrier.run(
    () => channel.unary(AdministrationService.listWorkQueues, request, {}, signal),
    signal,
  );
  return workQueues;
}

function present(queue: WorkQueue) {
  return {
    instanceName: queue.instanceName,
    requirement: queue.requirement,
    properties: queue.properties.map(({ name, value }) => ({ name, value })),
    paused: queue.paused,
    waitingJobs: Number(queue.waitingJobs),
    oldestQueued: presentTime(queue.oldestQueued),
    waitingMessages: Number(queue.waitingMessages),
    fittingBots: Number(queue.fittingBots),
    idleSlots: Number(queue.idleSlots),
    reason: queue.reason,
  };
}

function fieldsOf(queue: WorkQueue, context: CommandContext): ReadonlyArray<readonly [string, string | undefined]> {
  return [
    ['queue', printable(nameOf(queue.requirement))],
    ['instance', printable(queue.instanceName)],
    ['paused', queue.paused ? 'yes' : 'no'],
    ['jobs that wait', String(queue.waitingJobs)],
    ['the oldest for', queue.oldestQueued === undefined ? undefined : ageOf(queue, context)],
    ['messages', String(queue.waitingMessages)],
    ['bots that fit', String(queue.fittingBots)],
    ['idle slots', String(queue.idleSlots)],
    ['why it waits', printable(queue.reason)],
  ];
}

function linesOf(queues: readonly WorkQueue[], context: CommandContext): string[] {
  const style = styleFor(context.stdout, context.environment);
  const manyInstances = new Set(queues.map(({ instanceName }) => instanceName)).size > 1;
  const header = ['QUEUE', 'STATE', 'WAITING', 'OLDEST', 'BOTS', 'IDLE', 'WHY'];
  const rows = queues.map((queue) => {
    const name = nameOf(queue.requirement);
    return [
      printable(manyInstances ? `${queue.instanceName}/${name}` : name),
      queue.paused ? style.yellow('paused') : 'open',
      String(queue.waitingJobs),
      queue.oldestQueued === undefined ? '-' : ageOf(queue, context),
      String(queue.fittingBots),
      String(queue.idleSlots),
      printable(queue.reason),
    ];
  });
  return tableLines([header.map((each) => style.dim(each)), ...rows]);
}

function ageOf(queue: WorkQueue, { clock }: CommandContext): string {
  const now = clock.now();
  return formatDuration(Math.max(0, now - (timestampToMilliseconds(queue.oldestQueued) ?? now)));
}

function nameOf(requirementKey: string): string {
  return requirementKey === '' ? NO_REQUIREMENT : requirementKey;
}

function parseQueue(text: string): Requirement {
  const requirement = parseRequirementKey(text === NO_REQUIREMENT ? '' : text);
  if (requirement === undefined) {
    throw new InvalidArgumentError(
      `It is NAME=VALUE;NAME=VALUE, or '${NO_REQUIREMENT}' for work that any bot may run.`,
    );
  }
  return requirement;
}
