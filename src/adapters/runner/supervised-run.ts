import { readFileSync, statSync } from 'node:fs';
import { StatusCode } from '../../domain/status-code.ts';
import { StatusError } from '../../domain/status-error.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import type { RunReport, RunRequest } from '../../ports/runner.ts';
import { type LaunchEnd, LaunchError, type LaunchedProcess, type Launcher } from './launcher.ts';
import { decodeReport, encodeOrder } from './supervisor.ts';

/** What one kind of runner adds to the common way of running. */
export interface SupervisedRun {
  readonly commandLine: readonly string[];
  /** Folder in which the first process starts; undefined where the sandbox sees to it. */
  readonly cwd: string | undefined;
  /** Whether processes outlive the supervisor, so that it must kill them itself. */
  readonly host: boolean;
  /** Whether the first process gets a file as descriptor 4, to tell something in. */
  readonly wantsInfo: boolean;
  /**
   * How the tree is killed; asked again every 50 ms until the first process has ended.
   *
   * @param attempt 0 at first.
   */
  kill(first: LaunchedProcess, attempt: number): { readonly signal: 'SIGKILL' | 'SIGTERM'; readonly target: number };
}

/** What runs of every kind stand on. */
export interface SupervisedRunPorts {
  readonly launcher: Launcher;
  readonly clock: Clock;
  /** As Node names it, such as `x64`. */
  readonly architecture: string;
}

type KillReason = 'aborted' | 'timed-out' | 'log-too-large';

/** EAGAIN, ENOMEM, ENFILE, EMFILE, ENOSPC, EDQUOT as Linux numbers them. */
const NO_ROOM_NUMBERS: ReadonlySet<number> = new Set([11, 12, 23, 24, 28, 122]);
const NO_ROOM_NAMES: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EAGAIN', 'ENOMEM', 'EMFILE', 'ENFILE']);
const KILL_INTERVAL_MILLISECONDS = 50;
const LOG_CHECK_INTERVAL_MILLISECONDS = 200;

/**
 * Starts the supervisor, watches timeout, cancellation and the size of the logs, and reads the supervisor's report.
 *
 * Standard output and standard error are files and not pipes: Node's pipes are sockets, on which `/dev/stdout` can't be
 * opened; and a daemon that holds a pipe open would keep the action from ending. The price, as with Bazel's own local runs, is
 * that a command which truncates `/dev/stdout` truncates what was printed before.
 */
export async function runSupervised(
  request: RunRequest,
  run: SupervisedRun,
  { launcher, clock, architecture }: SupervisedRunPorts,
  signal: AbortSignal,
): Promise<RunReport> {
  signal.throwIfAborted();
  const { stdoutFile, stderrFile } = request;
  const started = clock.monotonic();
  try {
    const order = encodeOrder(request, architecture, run.host);
    const { commandLine, cwd, wantsInfo } = run;
    const first = await launcher.launch({ commandLine, cwd, stdoutFile, stderrFile, order, wantsInfo });
    const watch = new Watch(request, run, first, clock, signal);
    const end = await first.ended.finally(() => watch.stop());
    const durationMilliseconds = clock.monotonic() - started;
    if (watch.killedAs === 'aborted') throw signal.reason;
    if (watch.killedAs !== undefined) {
      return { outcome: { kind: watch.killedAs }, durationMilliseconds, resourceUsage: undefined };
    }
    const report = decodeReport(end.report, request.arguments[0] ?? '');
    if (report === undefined) throw supervisorLost(request, end);
    const outcome = logsTooLarge(request) ? { kind: 'log-too-large' as const } : report.outcome;
    return { outcome, durationMilliseconds, resourceUsage: report.resourceUsage };
  } catch (thrown) {
    throw signal.aborted ? signal.reason : machineryFailure(thrown);
  }
}

/** Kills a run that is taken back, takes too long or prints too much, until its first process has ended. */
class Watch {
  /** Why it was killed, if it was. */
  killedAs: KillReason | undefined;
  readonly #request: RunRequest;
  readonly #run: SupervisedRun;
  readonly #first: LaunchedProcess;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  readonly #timers = new Set<Timer>();
  readonly #onAbort = () => this.#kill('aborted');

  constructor(request: RunRequest, run: SupervisedRun, first: LaunchedProcess, clock: Clock, signal: AbortSignal) {
    this.#request = request;
    this.#run = run;
    this.#first = first;
    this.#clock = clock;
    this.#signal = signal;
    // Taken back while the process was being started.
    if (signal.aborted) this.#onAbort();
    else signal.addEventListener('abort', this.#onAbort, { once: true });
    this.#later(request.timeoutMilliseconds, () => this.#kill('timed-out'));
    this.#later(LOG_CHECK_INTERVAL_MILLISECONDS, () => this.#checkLogs());
  }

  stop(): void {
    for (const timer of this.#timers) timer.cancel();
    this.#signal.removeEventListener('abort', this.#onAbort);
  }

  #later(milliseconds: number, callback: () => void): void {
    const timer = this.#clock.setTimer(milliseconds, () => {
      this.#timers.delete(timer);
      callback();
    });
    this.#timers.add(timer);
  }

  #checkLogs(): void {
    if (logsTooLarge(this.#request)) this.#kill('log-too-large');
    else this.#later(LOG_CHECK_INTERVAL_MILLISECONDS, () => this.#checkLogs());
  }

  #kill(reason: KillReason): void {
    if (this.killedAs !== undefined) return;
    this.killedAs = reason;
    this.#killAgain(0);
  }

  #killAgain(attempt: number): void {
    const { signal, target } = this.#run.kill(this.#first, attempt);
    this.#first.kill(signal, target);
    this.#later(KILL_INTERVAL_MILLISECONDS, () => this.#killAgain(attempt + 1));
  }
}

function logsTooLarge({ stdoutFile, stderrFile, maxLogBytes }: RunRequest): boolean {
  return fileSize(stdoutFile) > maxLogBytes || fileSize(stderrFile) > maxLogBytes;
}

/** The supervisor ended without a report: the sandbox could not be made, or somebody killed it. */
function supervisorLost(request: RunRequest, { exitCode, signal }: LaunchEnd): StatusError {
  const how = signal === undefined ? `exit code ${exitCode}` : `signal ${signal}`;
  const said = readStart(request.stderrFile);
  return new StatusError(
    StatusCode.INTERNAL,
    `the process that watches over the action ended with ${how}${said === '' ? '' : `: ${said}`}`,
  );
}

function readStart(file: string): string {
  try {
    return readFileSync(file, 'utf8').slice(0, 300).trim();
  } catch {
    return '';
  }
}

function fileSize(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}

/** A failure of this machine, never of the action: UNAVAILABLE where another try may go well. */
function machineryFailure(thrown: unknown): StatusError {
  if (thrown instanceof StatusError) return thrown;
  const { code = 'unknown' } = thrown as NodeJS.ErrnoException;
  const number = thrown instanceof LaunchError ? thrown.errno : undefined;
  const shown = number === undefined ? code : `errno ${number}`;
  return NO_ROOM_NAMES.has(code) || (number !== undefined && NO_ROOM_NUMBERS.has(number))
    ? new StatusError(StatusCode.UNAVAILABLE, `the worker has no room to start a process (${shown})`, { cause: thrown })
    : new StatusError(StatusCode.INTERNAL, `the worker failed to start a process (${shown})`, { cause: thrown });
}
