import { type Command, InvalidArgumentError } from 'commander';
import { StatusCode } from '../../domain/status-code.ts';
import { sleep } from '../../lib/clock.ts';
import { formatDuration } from '../../lib/format-duration.ts';
import { type Operation, OperationsService } from '../../proto/google/longrunning/operations.ts';
import { digestFunctionFromWire } from '../../wire/digest.ts';
import { statusFromWire } from '../../wire/status.ts';
import { durationFromMilliseconds, timestampToMilliseconds } from '../../wire/time.ts';
import type { CommandContext } from '../command-context.ts';
import { addExample } from '../example.ts';
import { printOutput } from '../exec/result-outputs.ts';
import { CommandFailure, ExitCode } from '../exit-codes.ts';
import { LiveOutput } from '../live-output.ts';
import { operationLines, outcomeText, presentOperation, readOperation } from '../present/operation.ts';
import { presentDigest } from '../present/values.ts';
import { printable, printJson, printLines, tableLines } from '../printing.ts';
import { addRemoteOptions, type Remote, type RemoteOptions, withRemote } from '../remote.ts';
import { styleFor } from '../style.ts';

interface ListOptions extends RemoteOptions {
  readonly filter?: string;
  readonly all?: boolean;
  readonly limit: number;
}

interface WaitOptions extends RemoteOptions {
  readonly timeout?: number;
}

/** One call of WaitOperation holds no longer than this, so that proxies don't cut it. */
const LONGEST_HOLD_MS = 50_000;

/** How often it is looked whether an operation has ended whose log is printed, in milliseconds. */
const LOG_INTERVAL_MS = 500;

/** `warren operation`: what goes on, and what went on. */
export function configureOperation(command: Command, context: CommandContext): void {
  const list = command
    .command('list')
    .description('list operations, the longest waiting first; by default those that have not ended')
    .option('--filter <terms>', "such as 'stage=executing & target_id=//a:b & sort_order=queued_time(desc)'")
    .option('--all', 'those that have ended, too')
    .option('--limit <count>', 'at most so many', parseCount, 100)
    .action((options: ListOptions) => listAction(options, context));
  addExample(
    addRemoteOptions(list),
    'warren operation list',
    "warren operation list --filter 'stage=executing' --json",
  );

  const show = command
    .command('show')
    .description('show an operation, with its result once it has ended')
    .argument('<name>', 'the name of the operation')
    .action(async (name: string, options: RemoteOptions) => {
      const operation = await withRemote(options, context, ({ channel, retrier }, signal) =>
        retrier.run(() => channel.unary(OperationsService.getOperation, { name }, {}, signal), signal),
      );
      print(operation, options, context);
    });
  addExample(addRemoteOptions(show), 'warren operation show 7f9c...');

  const wait = command
    .command('wait')
    .description('wait for the end of an operation and show it')
    .argument('<name>', 'the name of the operation')
    .option('--timeout <seconds>', 'wait no longer; ends with exit code 1', parseSeconds)
    .action(async (name: string, options: WaitOptions) => {
      const operation = await withRemote(options, context, (remote, signal) =>
        waitForEnd(remote, name, options.timeout, context, signal),
      );
      print(operation, options, context);
      if (!operation.done) throw new CommandFailure(ExitCode.FAILURE, 'it has not ended yet');
    });
  addExample(addRemoteOptions(wait), 'warren operation wait 7f9c... --timeout 60');

  const log = command
    .command('log')
    .description('print what the action of an operation prints, while it runs and to its end')
    .argument('<name>', 'the name of the operation')
    .action(async (name: string, options: RemoteOptions) => {
      if (options.json === true) {
        const message = 'a log is printed as it is; `operation show --json` has it once the operation has ended';
        throw new CommandFailure(ExitCode.USAGE, message);
      }
      await withRemote(options, context, (remote, signal) => printLog(remote, name, context, signal));
    });
  addExample(addRemoteOptions(log), 'warren operation log 7f9c...', 'warren operation log 7f9c... 2>/dev/null');

  const cancel = command
    .command('cancel')
    .description('cancel operations; the action itself ends when nobody else waits for it')
    .argument('<name...>', 'names of operations')
    .action(async (names: string[], options: RemoteOptions) => {
      await withRemote(options, context, async ({ channel, retrier }, signal) => {
        for (const name of names) {
          await retrier.run(() => channel.unary(OperationsService.cancelOperation, { name }, {}, signal), signal);
          if (options.json !== true) context.stdout.write(`cancelled ${printable(name)}\n`);
        }
      });
      if (options.json === true) printJson(context.stdout, { cancelled: names });
    });
  addExample(addRemoteOptions(cancel), 'warren operation cancel 7f9c...');
  addExample(command, 'warren operation list', 'warren operation show 7f9c...', 'warren operation log 7f9c...');
}

async function listAction(options: ListOptions, context: CommandContext): Promise<void> {
  const operations = (
    await withRemote(options, context, (remote, signal) => listOperations(remote, options, signal))
  ).map(readOperation);
  if (options.json === true) {
    printJson(context.stdout, operations.map(presentOperation));
    return;
  }
  if (operations.length === 0) {
    context.stderr.write(options.all === true ? 'no operation\n' : 'no operation goes on; --all shows ended ones\n');
    return;
  }
  const style = styleFor(context.stdout, context.environment);
  const now = context.clock.now();
  const rows = operations.map((read) => {
    const { metadata, operation, response } = read;
    const partial = response?.result?.executionMetadata ?? metadata?.partialExecutionMetadata;
    const queued = timestampToMilliseconds(partial?.queuedTimestamp);
    const outcome = outcomeText(read);
    const coloured = ['ok', 'cached'].includes(outcome) ? style.green(outcome) : outcome;
    return [
      printable(operation.name),
      operation.done && coloured === outcome ? style.red(outcome) : coloured,
      queued === undefined ? '-' : `${formatDuration(Math.max(now - queued, 0))} ago`,
      printable(partial?.worker ?? ''),
      presentDigest(metadata?.actionDigest) ?? '',
    ];
  });
  const header = ['OPERATION', 'STAGE', 'QUEUED', 'WORKER', 'ACTION'].map((each) => style.dim(each));
  printLines(context.stdout, tableLines([header, ...rows]));
}

async function listOperations(
  { channel, instanceName, retrier }: Remote,
  { filter, all, limit }: ListOptions,
  signal: AbortSignal,
): Promise<Operation[]> {
  const operations: Operation[] = [];
  let pageToken = '';
  do {
    const request = {
      name: instanceName,
      filter: filter ?? (all === true ? 'stage>=unknown' : ''),
      pageSize: Math.min(limit - operations.length, 1_000),
      pageToken,
      returnPartialSuccess: false,
    };
    const page = await retrier.run(() => channel.unary(OperationsService.listOperations, request, {}, signal), signal);
    operations.push(...page.operations);
    pageToken = page.nextPageToken;
  } while (pageToken !== '' && operations.length < limit);
  return operations;
}

async function waitForEnd(
  { channel, retrier }: Remote,
  name: string,
  timeout: number | undefined,
  { clock }: CommandContext,
  signal: AbortSignal,
): Promise<Operation> {
  const end = timeout === undefined ? Number.POSITIVE_INFINITY : clock.monotonic() + timeout;
  for (;;) {
    const hold = Math.max(0, Math.min(LONGEST_HOLD_MS, end - clock.monotonic()));
    const request = { name, timeout: durationFromMilliseconds(hold) };
    const operation = await retrier.run(
      () => channel.unary(OperationsService.waitOperation, request, {}, signal),
      signal,
    );
    if (operation.done || clock.monotonic() >= end) return operation;
  }
}

/** Asks again and again and does not hold the operation: a job that only its log's reader watches is abandoned. */
async function printLog(remote: Remote, name: string, context: CommandContext, signal: AbortSignal): Promise<void> {
  const { channel, retrier } = remote;
  const live = new LiveOutput(remote, context, context.clock, () => {});
  try {
    for (;;) {
      const operation = await retrier.run(
        () => channel.unary(OperationsService.getOperation, { name }, {}, signal),
        signal,
      );
      const { metadata, response } = readOperation(operation);
      if (operation.done) {
        await live.stop();
        const { result, status } = response ?? {};
        const digestFunction = digestFunctionFromWire(metadata?.digestFunction ?? 0, metadata?.actionDigest?.hash);
        if (result !== undefined) await printOutput(remote.blobs, result, digestFunction, live, context, signal);
        if (status !== undefined && status.code !== StatusCode.OK) throw statusFromWire(status);
        return;
      }
      live.update(metadata);
      await sleep(context.clock, LOG_INTERVAL_MS, signal);
    }
  } finally {
    await live.stop();
  }
}

function print(operation: Operation, options: RemoteOptions, context: CommandContext): void {
  const read = readOperation(operation);
  if (options.json === true) printJson(context.stdout, presentOperation(read));
  else printLines(context.stdout, operationLines(read));
}

function parseCount(text: string): number {
  if (!/^[1-9]\d{0,6}$/.test(text)) throw new InvalidArgumentError('It is a number from 1 to 9 999 999.');
  return Number(text);
}

function parseSeconds(text: string): number {
  if (!/^\d+(\.\d+)?$/.test(text)) throw new InvalidArgumentError('It is a number of seconds.');
  return Number(text) * 1_000;
}
