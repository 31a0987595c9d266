import { spawn } from 'node:child_process';
import { closeSync, constants, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { StatusCode } from '../../domain/status-code.ts';
import { StatusError } from '../../domain/status-error.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import type { RunReport, RunRequest } from '../../ports/runner.ts';
import { decodeReport, encodeOrder } from './supervisor.ts';

/** What one kind of runner adds to the common way of running. */
export interface SupervisedRun {
  readonly commandLine: readonly string[];
  /** Folder in which the first process starts; undefined where the sandbox sees to it. */
  readonly cwd: string | undefined;
  /** Whether processes outlive the supervisor, so that it must kill them itself. */
  readonly host: boolean;
  /** A file to open as descriptor 4, or undefined. */
  readonly infoFile: string | undefined;
  /**
   * Kills the tree; called again every 50 ms until the first process has ended.
   *
   * @param attempt 0 at first.
   */
  kill(firstProcess: number, attempt: number): void;
}

const NO_ROOM = new Set(['ENOSPC', 'EDQUOT', 'EAGAIN', 'ENOMEM', 'EMFILE', 'ENFILE']);
const KILL_INTERVAL_MILLISECONDS = 50;
const LOG_CHECK_INTERVAL_MILLISECONDS = 200;

/**
 * Starts the supervisor, watches timeout, cancellation and the size of the logs, and reads the supervisor's report.
 *
 * Standard output and standard error are files and not pipes: Node's pipes are sockets, on which `/dev/stdout` can't be
 * opened; and a daemon that holds a pipe open would keep the action from ending. The price, as with Bazel's own local runs, is
 * that a command which truncates `/dev/stdout` truncates what was printed before.
 */
export function runSupervised(
  request: RunRequest,
  run: SupervisedRun,
  clock: Clock,
  architecture: string,
  signal: AbortSignal,
): Promise<RunReport> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const orderFile = join(request.scratchFolder, 'order');
    const timers = new Set<Timer>();
    let killedAs: 'aborted' | 'timed-out' | 'log-too-large' | undefined;
    let ended = false;

    const later = (milliseconds: number, callback: () => void) => {
      const timer = clock.setTimer(milliseconds, () => {
        timers.delete(timer);
        callback();
      });
      timers.add(timer);
    };
    const kill = (reason: NonNullable<typeof killedAs>) => {
      if (killedAs !== undefined || ended) return;
      killedAs = reason;
      killAgain(0);
    };
    const killAgain = (attempt: number) => {
      if (ended || child.pid === undefined) return;
      run.kill(child.pid, attempt);
      later(KILL_INTERVAL_MILLISECONDS, () => killAgain(attempt + 1));
    };
    const onAbort = () => kill('aborted');
    const finish = () => {
      ended = true;
      for (const timer of timers) timer.cancel();
      signal.removeEventListener('abort', onAbort);
    };
    const logsTooLarge = () =>
      fileSize(request.stdoutFile) > request.maxLogBytes || fileSize(request.stderrFile) > request.maxLogBytes;
    const checkLogs = () => {
      if (logsTooLarge()) kill('log-too-large');
      else later(LOG_CHECK_INTERVAL_MILLISECONDS, checkLogs);
    };

    let child: ReturnType<typeof spawn>;
    const started = clock.monotonic();
    const descriptors: number[] = [];
    try {
      const order = encodeOrder(request, architecture, run.host);
      const logFlags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_APPEND;
      descriptors.push(openSync(request.stdoutFile, logFlags, 0o600));
      descriptors.push(openSync(request.stderrFile, logFlags, 0o600));
      const orderDescriptor = openSync(orderFile, 'wx+', 0o600);
      descriptors.push(orderDescriptor);
      for (let at = 0; at < order.byteLength; ) at += writeSync(orderDescriptor, order, at, order.byteLength - at, at);
      if (run.infoFile !== undefined) descriptors.push(openSync(run.infoFile, 'wx', 0o600));
      const [file = '', ...args] = run.commandLine;
      child = spawn(file, args, { cwd: run.cwd, env: {}, stdio: ['ignore', ...descriptors], detached: true });
    } catch (thrown) {
      reject(machineryFailure(thrown));
      return;
    } finally {
      for (const descriptor of descriptors) closeSync(descriptor);
    }

    child.once('error', (thrown) => {
      finish();
      reject(machineryFailure(thrown));
    });
    child.once('exit', (exitCode, exitSignal) => {
      finish();
      const durationMilliseconds = clock.monotonic() - started;
      if (killedAs === 'aborted') {
        reject(signal.reason);
        return;
      }
      if (killedAs !== undefined) {
        resolve({ outcome: { kind: killedAs }, durationMilliseconds, resourceUsage: undefined });
        return;
      }
      try {
        const report = decodeReport(readFileSync(orderFile, 'utf8'), request.arguments[0] ?? '');
        if (report === undefined) throw supervisorLost(request, exitCode, exitSignal);
        const outcome = logsTooLarge() ? { kind: 'log-too-large' as const } : report.outcome;
        resolve({ outcome, durationMilliseconds, resourceUsage: report.resourceUsage });
      } catch (thrown) {
        reject(machineryFailure(thrown));
      }
    });
    signal.addEventListener('abort', onAbort, { once: true });
    later(request.timeoutMilliseconds, () => kill('timed-out'));
    later(LOG_CHECK_INTERVAL_MILLISECONDS, checkLogs);
  });
}

/** The supervisor ended without a report: the sandbox could not be made, or somebody killed it. */
function supervisorLost(request: RunRequest, exitCode: number | null, signal: NodeJS.Signals | null): StatusError {
  const how = signal === null ? `exit code ${exitCode}` : signal;
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
  return NO_ROOM.has(code)
    ? new StatusError(StatusCode.UNAVAILABLE, `the worker has no room to start a process (${code})`, { cause: thrown })
    : new StatusError(StatusCode.INTERNAL, `the worker failed to start a process (${code})`, { cause: thrown });
}
