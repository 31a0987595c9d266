import { type Command, InvalidArgumentError } from 'commander';
import type { DigestFunction } from '../../domain/digest-function.ts';
import { StatusCode, statusCodeName } from '../../domain/status-code.ts';
import { StatusError } from '../../domain/status-error.ts';
import type { ActionResult } from '../../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { statusFromWire } from '../../wire/status.ts';
import type { CommandContext } from '../command-context.ts';
import { parseDigestFunctionArgument } from '../digest-argument.ts';
import { addExample } from '../example.ts';
import { type CommandRequest, type PreparedAction, prepareAction } from '../exec/action-of-command.ts';
import { RemoteExecution } from '../exec/remote-execution.ts';
import { downloadOutputs, printOutput } from '../exec/result-outputs.ts';
import { EXECUTION_PHASE, presentRun, type RunOutcome, runLines, Stopwatch } from '../exec/run-report.ts';
import { CommandFailure, ExitCode, passedOn } from '../exit-codes.ts';
import { LiveOutput } from '../live-output.ts';
import { newTransferProgress, uploadOutputs } from '../local-blobs.ts';
import { collectNamedValue, type NamedValue, parseDuration } from '../option-values.ts';
import type { ReadOperation } from '../present/operation.ts';
import { stageName } from '../present/operation.ts';
import { printable, printJson, printLines } from '../printing.ts';
import { addRemoteOptions, type Remote, type RemoteOptions, withRemote } from '../remote.ts';
import { StatusLine } from '../status-line.ts';
import { transferText } from '../transfer-report.ts';
import { getActionResult } from './action-cache.ts';

interface ExecOptions extends RemoteOptions {
  readonly input?: readonly string[];
  readonly output?: readonly string[];
  readonly outputDir: string;
  readonly platform?: readonly NamedValue[];
  readonly env?: readonly NamedValue[];
  readonly workingDirectory?: string;
  readonly timeout?: number;
  readonly priority: number;
  readonly digestFunction?: DigestFunction;
  readonly cache: boolean;
  readonly verbose?: boolean;
}

/** Programs are found here when no --env PATH=... is given: the environment of an action is empty but for what it sets. */
const DEFAULT_PATH = { name: 'PATH', value: '/usr/local/bin:/usr/bin:/bin' };

/** Blobs can vanish between upload and execution; a server that loses them time and again is told so. */
const MAX_UPLOADS = 3;

/** `warren exec -- CMD`: one command, run remotely. */
export function configureExec(command: Command, context: CommandContext): void {
  command
    .usage('[options] -- COMMAND [ARGUMENT...]')
    .argument('<command...>', 'the command and its arguments')
    .passThroughOptions()
    .option(
      '--input <path[=target]>',
      'a file or folder that the command needs, at its place below this folder, or at TARGET (. is the root); may be repeated',
      collect,
    )
    .option('--output <path>', 'a file or folder that the command makes; may be repeated', collect)
    .option('--output-dir <folder>', 'where to put the outputs', '.')
    .option('--platform <name=value>', 'a property that the worker must have; may be repeated', collectNamedValue)
    .option(
      '--env <name=value>',
      `a variable of the environment; may be repeated (default: PATH=${DEFAULT_PATH.value})`,
      collectNamedValue,
    )
    .option('--working-directory <path>', 'where to run it, below the root of the inputs')
    .option('--timeout <seconds>', 'end it after so long', parseDuration)
    .option('--priority <number>', 'lower goes first', parsePriority, 0)
    .option('--digest-function <name>', 'of all digests (default: sha256)', parseDigestFunctionArgument)
    .option('--no-cache', 'run it even when its result is known')
    .option('--verbose', 'say where the time went')
    .action((parts: string[], options: ExecOptions) => execAction(parts, options, context));
  addRemoteOptions(command);
  command.addHelpText(
    'after',
    `
Exit codes:
  that of the command; or
  ${ExitCode.ACTION_TIMED_OUT}  it ran longer than --timeout
  ${ExitCode.NOT_RUN}  it could not be run: no server, no worker, a missing input ...
  ${ExitCode.INTERRUPTED}  Ctrl-C; the operation was cancelled`,
  );
  addExample(
    command,
    'warren exec --input hello.c --output hello -- gcc -o hello hello.c',
    'warren exec --input src=. --working-directory lib --output out.a --verbose -- make out.a',
  );
}

async function execAction(parts: readonly string[], options: ExecOptions, context: CommandContext): Promise<void> {
  const run = new ExecRun(options, context);
  let exitCode: number;
  try {
    exitCode = await run.run(parts);
  } catch (thrown) {
    throw notRun(thrown, context);
  }
  if (exitCode !== 0) throw new CommandFailure(exitCode);
}

/** Whatever keeps a command from running ends with one exit code, so that it is not taken for the command's own. */
function notRun(thrown: unknown, context: CommandContext): unknown {
  if (context.stop.aborted) return new CommandFailure(ExitCode.INTERRUPTED);
  if (thrown instanceof CommandFailure) {
    return OWN_CODES.has(thrown.exitCode)
      ? thrown
      : new CommandFailure(ExitCode.NOT_RUN, thrown.message, { cause: thrown });
  }
  if (!(thrown instanceof StatusError)) return thrown;
  const message = `not run: ${statusCodeName(thrown.code)}: ${printable(thrown.message)}`;
  return new CommandFailure(ExitCode.NOT_RUN, message, { cause: thrown });
}

const OWN_CODES: ReadonlySet<number> = new Set([ExitCode.ACTION_TIMED_OUT, ExitCode.NOT_RUN, ExitCode.INTERRUPTED]);

/** One call of `exec`. */
class ExecRun {
  readonly #options: ExecOptions;
  readonly #context: CommandContext;
  readonly #status: StatusLine;
  readonly #stopwatch: Stopwatch;
  #live: LiveOutput | undefined;

  constructor(options: ExecOptions, context: CommandContext) {
    this.#options = options;
    this.#context = context;
    this.#status = new StatusLine(context.stderr, context.clock);
    this.#stopwatch = new Stopwatch(context.clock);
  }

  /** @returns the exit code. */
  async run(parts: readonly string[]): Promise<number> {
    try {
      this.#status.show(() => 'hashing inputs');
      const prepared = await this.#stopwatch.time('hashed inputs', () =>
        prepareAction(this.#requestOf(parts), '.', this.#context.stop),
      );
      return await withRemote(this.#options, this.#context, (remote, signal) =>
        this.#onServer(remote, prepared, signal),
      );
    } finally {
      this.#status.clear();
    }
  }

  #requestOf(parts: readonly string[]): CommandRequest {
    const {
      input = [],
      output = [],
      platform = [],
      env = [],
      workingDirectory = '',
      timeout,
      digestFunction,
    } = this.#options;
    return {
      arguments: parts,
      inputs: input,
      outputs: output,
      platform,
      environment: env.some(({ name }) => name === 'PATH') ? env : [DEFAULT_PATH, ...env],
      workingDirectory,
      timeoutMilliseconds: timeout,
      digestFunction,
    };
  }

  async #onServer(remote: Remote, prepared: PreparedAction, signal: AbortSignal): Promise<number> {
    const known = this.#options.cache
      ? await this.#stopwatch.time('looked into the cache', () =>
          getActionResult(remote, prepared.actionDigest, signal),
        )
      : undefined;
    const outcome: RunOutcome =
      known === undefined
        ? await this.#execute(remote, prepared, signal)
        : {
            actionDigest: prepared.actionDigest,
            operationName: undefined,
            cached: true,
            result: known,
            response: undefined,
          };
    if (outcome.result !== undefined) await this.#deliver(remote, outcome.result, outcome, signal);
    this.#report(outcome);
    return this.#exitCodeOf(outcome);
  }

  /** Uploads what is missing and has it run; again when the server says that something is missing all the same. */
  async #execute(remote: Remote, prepared: PreparedAction, signal: AbortSignal): Promise<RunOutcome> {
    for (let uploads = 1; ; uploads++) {
      const progress = newTransferProgress();
      this.#status.show(() => `uploading inputs: ${transferText(progress)}`);
      await this.#stopwatch.time('uploaded inputs', () =>
        uploadOutputs(remote.blobs, prepared.blobs, progress, signal),
      );
      try {
        const outcome = await this.#stopwatch.time(EXECUTION_PHASE, () => this.#runOnce(remote, prepared, signal));
        const { status } = outcome.response ?? {};
        const isMissing = status !== undefined && status.code !== 0 && isMissingBlob(statusFromWire(status));
        if (!isMissing || uploads >= MAX_UPLOADS) return outcome;
      } catch (thrown) {
        if (!isMissingBlob(thrown) || uploads >= MAX_UPLOADS) throw thrown;
      }
    }
  }

  async #runOnce(remote: Remote, { actionDigest }: PreparedAction, signal: AbortSignal): Promise<RunOutcome> {
    const { clock } = this.#context;
    let latest: ReadOperation | undefined;
    let since = clock.monotonic();
    let stage = '';
    const { priority, cache } = this.#options;
    const request = { actionDigest, skipCacheLookup: !cache, priority };
    const live = this.#options.json === true ? undefined : this.#followOutput(remote);
    const execution = new RemoteExecution(remote, request, (read) => {
      latest = read;
      live?.update(read.metadata);
      if (stageName(read) !== stage) since = clock.monotonic();
      stage = stageName(read);
    });
    this.#status.show(() => `${stageText(latest)} (${Math.floor((clock.monotonic() - since) / 1_000)} s)`);
    try {
      const response = await execution.run(signal);
      const { result, cachedResult: cached } = response;
      return { actionDigest, operationName: execution.operationName, cached, result, response };
    } catch (thrown) {
      if (signal.aborted) {
        this.#status.clear();
        await execution.cancel();
      }
      throw thrown;
    } finally {
      await live?.stop();
    }
  }

  /** From the first byte on the terminal is the command's. */
  #followOutput(remote: Remote): LiveOutput {
    this.#live = new LiveOutput(remote, this.#context, this.#context.clock, () => this.#status.clear());
    return this.#live;
  }

  /** Prints what the command printed and is not printed yet, and fetches what it made. */
  async #deliver(remote: Remote, result: ActionResult, outcome: RunOutcome, signal: AbortSignal): Promise<void> {
    const { digestFunction } = outcome.actionDigest;
    this.#status.clear();
    if (this.#options.json !== true) {
      await printOutput(remote.blobs, result, digestFunction, this.#live, this.#context, signal);
    }
    const progress = newTransferProgress();
    this.#status.show(() => `downloading outputs: ${transferText(progress)}`);
    await this.#stopwatch.time('downloaded outputs', () =>
      downloadOutputs(remote.blobs, result, digestFunction, this.#options.outputDir, progress, signal),
    );
    this.#status.clear();
  }

  #report(outcome: RunOutcome): void {
    this.#status.clear();
    const { stdout, stderr } = this.#context;
    if (this.#options.json === true) printJson(stdout, presentRun(outcome, this.#stopwatch));
    const { message = '', status } = outcome.response ?? {};
    const isSaidBelow = message === status?.message;
    if (message !== '' && !isSaidBelow && this.#options.json !== true) stderr.write(`warren: ${printable(message)}\n`);
    if (this.#options.verbose === true) printLines(stderr, runLines(outcome, this.#stopwatch));
  }

  #exitCodeOf({ response, result, operationName }: RunOutcome): number {
    const { status } = response ?? {};
    if (status !== undefined && status.code !== StatusCode.OK) {
      const error = statusFromWire(status);
      if (error.code === StatusCode.DEADLINE_EXCEEDED && result !== undefined) {
        throw new CommandFailure(ExitCode.ACTION_TIMED_OUT, `timed out: ${printable(error.message)}`);
      }
      throw error;
    }
    if (result === undefined) throw new StatusError(StatusCode.INTERNAL, `operation ${operationName} has no result`);
    return passedOn(result.exitCode);
  }
}

function stageText(read: ReadOperation | undefined): string {
  if (read === undefined) return 'waiting for the server';
  const worker = read.metadata?.partialExecutionMetadata?.worker ?? '';
  switch (stageName(read)) {
    case 'EXECUTING':
      return worker === '' ? 'running' : `running on ${printable(worker)}`;
    case 'QUEUED':
      return 'queued';
    case 'CACHE_CHECK':
      return 'looking into the cache';
    default:
      return stageName(read).toLowerCase();
  }
}

function isMissingBlob(thrown: unknown): boolean {
  if (!(thrown instanceof StatusError) || thrown.code !== StatusCode.FAILED_PRECONDITION) return false;
  return thrown.details.some(
    (each) => each.kind === 'precondition-failure' && each.violations.some(({ type }) => type === 'MISSING'),
  );
}

function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

function parsePriority(text: string): number {
  const priority = Number(text);
  if (!/^-?\d{1,10}$/.test(text) || priority < -(2 ** 31) || priority >= 2 ** 31) {
    throw new InvalidArgumentError('It is a whole number of 32 bits.');
  }
  return priority;
}
