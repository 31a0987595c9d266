import { appendFileSync } from 'node:fs';
import { relative } from 'node:path';
import { type Digest, digestKey } from '../domain/digest.ts';
import type { ActionStreamNames } from '../domain/log-stream.ts';
import { StatusCode } from '../domain/status-code.ts';
import { invalidArgument, StatusError } from '../domain/status-error.ts';
import type { Logger } from '../lib/log.ts';
import type { Semaphore } from '../lib/semaphore.ts';
import type { BlobStore } from '../ports/blob-store.ts';
import type { LeaseDetails } from '../ports/bots-client.ts';
import type { Runner, RunOutcome, RunReport } from '../ports/runner.ts';
import {
  type Action,
  type ActionResult,
  Command,
  Command_OutputDirectoryFormat,
} from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { digestFromWire, digestFunctionFromWire, digestToWire } from '../wire/digest.ts';
import { durationToMilliseconds } from '../wire/time.ts';
import { addOutputs, emptyActionResult } from './action-result.ts';
import { uploadOutputs } from './blob-uploader.ts';
import { checkCommand, type RequestedOutputs } from './command-checks.ts';
import { exitCodeOf, statusOf } from './command-outcome.ts';
import type { ExecutionProgress } from './execution-progress.ts';
import type { FileCache } from './file-cache.ts';
import { type InputStager, missingInputs, type StagedInputs } from './input-stager.ts';
import type { LiveLog, LiveLogs } from './live-log.ts';
import { OutputCollector, type OutputLimits } from './output-collector.ts';
import { findWorkingDirectory, makeOutputParents } from './output-folders.ts';
import { type PrintedLimits, readPrinted } from './printed-output.ts';
import { packResourceUsage } from './resource-usage.ts';
import type { WorkFolder, WorkFolders } from './work-folders.ts';

const MAX_COMMAND_BYTES = 64 * 1024 * 1024;

/** What an action may take, and what holds where it says nothing. */
export interface ExecutionLimits extends OutputLimits, PrintedLimits {
  /** Milliseconds that an action may run that names no timeout. */
  readonly defaultTimeoutMilliseconds: number;
  /** The longest timeout that an action may ask for; REAPI has longer ones refused. */
  readonly maxTimeoutMilliseconds: number;
  /**
   * Below this the disk counts as full: the bot calls itself unhealthy, and a command that failed is not believed, since
   * it may have failed for want of room.
   */
  readonly minFreeBytes: number;
  /** Whether actions that don't ask (platform property `network`, `on` or `off`) may reach the network. */
  readonly network: boolean;
}

/** What became of an action. */
export interface ExecutionOutcome {
  readonly result: ActionResult;
  /** Set when the action did not come to its end: DEADLINE_EXCEEDED, or FAILED_PRECONDITION beyond a limit. */
  readonly status: StatusError | undefined;
}

/** Runs actions: the plain way, without retries, caches of results or reports to anybody. */
export class LocalExecutor {
  readonly #blobs: BlobStore;
  readonly #stager: InputStager;
  readonly #cache: FileCache;
  readonly #folders: WorkFolders;
  readonly #runner: Runner;
  readonly #slots: Semaphore;
  readonly #limits: ExecutionLimits;
  readonly #logger: Logger;
  readonly #liveLogs: LiveLogs | undefined;
  readonly #cleanups = new Set<Promise<void>>();

  /** @param slots how many commands run at once; what comes before and after a run is not counted. */
  constructor(
    blobs: BlobStore,
    stager: InputStager,
    cache: FileCache,
    folders: WorkFolders,
    runner: Runner,
    slots: Semaphore,
    limits: ExecutionLimits,
    logger: Logger,
    liveLogs?: LiveLogs,
  ) {
    this.#blobs = blobs;
    this.#stager = stager;
    this.#cache = cache;
    this.#folders = folders;
    this.#runner = runner;
    this.#slots = slots;
    this.#limits = limits;
    this.#logger = logger;
    this.#liveLogs = liveLogs;
  }

  /**
   * Fetches inputs, runs the command, uploads outputs.
   *
   * @param details what the server told beside the lease.
   * @throws INVALID_ARGUMENT for a malformed action; FAILED_PRECONDITION with MISSING for each blob that is not there,
   *   or without when outputs break a rule; UNAVAILABLE and INTERNAL for failures of this machine; the signal's reason
   *   once nothing of the action is left.
   */
  async execute(
    action: Action,
    details: LeaseDetails | undefined,
    progress: ExecutionProgress,
    signal: AbortSignal,
  ): Promise<ExecutionOutcome> {
    const timeoutMilliseconds = this.#timeoutOf(action);
    const sample = action.commandDigest?.hash ?? action.inputRootDigest?.hash;
    const digestFunction = details?.digestFunction ?? digestFunctionFromWire(0, sample);
    const commandDigest = digestFromWire(action.commandDigest, digestFunction, 'action.command_digest');
    const inputRootDigest = digestFromWire(action.inputRootDigest, digestFunction, 'action.input_root_digest');
    progress.mark('inputFetchStartTimestamp');
    const command = await this.#readCommand(commandDigest, inputRootDigest, signal);
    const requested = checkCommand(command);
    const logStreams = details?.logStreams;
    const run = { action, command, requested, inputRootDigest, timeoutMilliseconds, progress, logStreams };
    const first = await this.#attempt(run, false, signal);
    if (first !== undefined) return first;
    this.#logger.warn({ commandDigest: digestKey(commandDigest) }, 'inputs were changed in place; running with copies');
    // Its stream has what the first run printed.
    const second = await this.#attempt({ ...run, logStreams: undefined }, true, signal);
    if (second !== undefined) return second;
    throw new StatusError(StatusCode.UNAVAILABLE, 'inputs in the file cache were changed in place');
  }

  /** Resolves once the folders of all that was executed are removed, and its logs sent. */
  async settled(): Promise<void> {
    await Promise.all([...this.#cleanups, this.#liveLogs?.settled()]);
  }

  /** One run in a folder of its own; undefined when its inputs turned out changed, so that its result is worth nothing. */
  async #attempt(run: Execution, copies: boolean, signal: AbortSignal): Promise<ExecutionOutcome | undefined> {
    const folder = this.#folders.create();
    let staged: StagedInputs | undefined;
    let sealed: number | undefined;
    try {
      run.progress.mark('inputFetchStartTimestamp');
      staged = await this.#stager.stage(run.inputRootDigest, folder, copies, signal);
      const workingDirectory = findWorkingDirectory(folder.inputRoot, run.command.workingDirectory);
      makeOutputParents(folder.inputRoot, workingDirectory, run.requested, (path) => folder.directories.make(path));
      sealed = await this.#folders.seal(folder);
      run.progress.mark('inputFetchCompletedTimestamp');
      const report = await this.#slots.run(() => this.#run(run, folder, workingDirectory, signal), signal);
      if (!(await this.#stager.verify(staged))) return undefined;
      return await this.#collect(run, folder, workingDirectory, report, signal);
    } finally {
      this.#cleanUp(folder, staged, sealed);
    }
  }

  #follow(names: ActionStreamNames | undefined, folder: WorkFolder): LiveLog | undefined {
    if (names === undefined) return undefined;
    return this.#liveLogs?.follow([
      { name: names.stdout, file: folder.stdoutFile },
      { name: names.stderr, file: folder.stderrFile },
    ]);
  }

  async #run(run: Execution, folder: WorkFolder, workingDirectory: string, signal: AbortSignal): Promise<RunReport> {
    run.progress.mark('executionStartTimestamp');
    const liveLog = this.#follow(run.logStreams, folder);
    const running = this.#runner.run(
      {
        inputRoot: folder.inputRoot,
        workingDirectory: relative(folder.inputRoot, workingDirectory),
        arguments: run.command.arguments,
        environment: new Map(run.command.environmentVariables.map(({ name, value }) => [name, value])),
        stdoutFile: folder.stdoutFile,
        stderrFile: folder.stderrFile,
        timeoutMilliseconds: run.timeoutMilliseconds,
        maxLogBytes: this.#limits.maxLogBytes,
        network: this.#networkOf(run),
      },
      signal,
    );
    const report = await running.finally(() => liveLog?.end());
    run.progress.mark('executionCompletedTimestamp');
    return report;
  }

  async #collect(
    run: Execution,
    folder: WorkFolder,
    workingDirectory: string,
    report: RunReport,
    signal: AbortSignal,
  ): Promise<ExecutionOutcome> {
    const { outcome } = report;
    this.#checkRoom(outcome);
    const { progress, requested, inputRootDigest } = run;
    const { digestFunction } = inputRootDigest;
    if (outcome.kind === 'not-started') appendFileSync(folder.stderrFile, `${outcome.message}\n`);
    progress.setDuration(report.durationMilliseconds);
    const signalNumber = outcome.kind === 'signalled' ? outcome.signal : undefined;
    if (report.resourceUsage !== undefined || signalNumber !== undefined) {
      progress.addAuxiliary(packResourceUsage(report.resourceUsage, signalNumber));
    }
    progress.mark('outputUploadStartTimestamp');
    const format = run.command.outputDirectoryFormat;
    const collector = new OutputCollector(
      folder.inputRoot,
      workingDirectory,
      requested,
      digestFunction,
      this.#limits,
      signal,
    );
    const collected = await collector.collect({
      tree: format !== Command_OutputDirectoryFormat.DIRECTORY_ONLY,
      directories:
        format === Command_OutputDirectoryFormat.DIRECTORY_ONLY ||
        format === Command_OutputDirectoryFormat.TREE_AND_DIRECTORY,
    });
    const blobs = new Map(collected.blobs);
    const result = emptyActionResult();
    addOutputs(result, collected.outputs, requested.style);
    result.exitCode = exitCodeOf(outcome);
    const stdout = await readPrinted(folder.stdoutFile, this.#limits, digestFunction, blobs);
    const stderr = await readPrinted(folder.stderrFile, this.#limits, digestFunction, blobs);
    if ('raw' in stdout) result.stdoutRaw = stdout.raw;
    else result.stdoutDigest = digestToWire(stdout.digest);
    if ('raw' in stderr) result.stderrRaw = stderr.raw;
    else result.stderrDigest = digestToWire(stderr.digest);
    await uploadOutputs(this.#blobs, blobs, signal);
    progress.mark('outputUploadCompletedTimestamp');
    for (const { digest, file } of blobs.values()) {
      if (file !== undefined) this.#cache.adopt({ digest, executable: file.executable }, file.path, file.stats);
    }
    return { result, status: statusOf(outcome, run.timeoutMilliseconds, this.#limits.maxLogBytes) };
  }

  /** A command that fails on a full disk is no answer about the action. */
  #checkRoom(outcome: RunOutcome): void {
    const failed = outcome.kind === 'signalled' || (outcome.kind === 'exited' && outcome.exitCode !== 0);
    if (!failed || this.#folders.freeBytes() >= this.#limits.minFreeBytes) return;
    throw new StatusError(StatusCode.UNAVAILABLE, "the command failed while the worker's disk was full");
  }

  /** The command, or else the complete list of what is missing: its own digest, and all that the inputs lack. */
  async #readCommand(digest: Digest, inputRootDigest: Digest, signal: AbortSignal): Promise<Command> {
    if (digest.sizeBytes > MAX_COMMAND_BYTES) {
      throw invalidArgument('action.command_digest', `a Command of more than ${MAX_COMMAND_BYTES} bytes`);
    }
    let encoded: Uint8Array;
    try {
      encoded = await this.#blobs.readWhole(digest, signal);
    } catch (thrown) {
      if (!(thrown instanceof StatusError) || thrown.code !== StatusCode.NOT_FOUND) throw thrown;
      throw missingInputs([digest, ...(await this.#stager.findMissing(inputRootDigest, signal))]);
    }
    try {
      return Command.decode(encoded);
    } catch {
      throw invalidArgument('action.command_digest', 'the blob is not an encoded Command');
    }
  }

  #timeoutOf({ timeout }: Action): number {
    const asked = durationToMilliseconds(timeout);
    const { defaultTimeoutMilliseconds, maxTimeoutMilliseconds } = this.#limits;
    if (asked === undefined || asked === 0) return defaultTimeoutMilliseconds;
    if (!(asked > 0) || asked > maxTimeoutMilliseconds) {
      throw invalidArgument(
        'action.timeout',
        `${asked / 1_000} s; it is 0 to ${maxTimeoutMilliseconds / 1_000} s here`,
      );
    }
    return asked;
  }

  #networkOf({ action, command }: Execution): boolean {
    const properties = (action.platform ?? command.platform)?.properties ?? [];
    const asked = properties.find(({ name }) => name === 'network')?.value;
    if (asked === 'on') return true;
    return asked === 'off' ? false : this.#limits.network;
  }

  #cleanUp(folder: WorkFolder, staged: StagedInputs | undefined, sealed: number | undefined): void {
    const untouched = this.#folders.untouched(folder, staged?.plainDirectories === true ? sealed : undefined);
    if (staged !== undefined) this.#stager.dispose(staged);
    const cleanup = this.#folders.release(folder, untouched, sealed).finally(() => this.#cleanups.delete(cleanup));
    this.#cleanups.add(cleanup);
  }
}

interface Execution {
  readonly action: Action;
  readonly command: Command;
  readonly requested: RequestedOutputs;
  readonly inputRootDigest: Digest;
  readonly timeoutMilliseconds: number;
  readonly progress: ExecutionProgress;
  /** Where what it prints is written while it runs. */
  readonly logStreams: ActionStreamNames | undefined;
}
