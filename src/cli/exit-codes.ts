/**
 * With what the program ends. Scripts rely on these numbers; docs/using/command-line.md lists them.
 *
 * `warren exec` passes on the exit code of the command that it ran; whatever keeps it from running the command ends it
 * with `ACTION_TIMED_OUT`, `NOT_RUN` or `INTERRUPTED`, as `timeout` and container tools have it.
 */
export const ExitCode = {
  /** Done, or stopped in good order by a signal. */
  OK: 0,
  /** It was tried and failed. */
  FAILURE: 1,
  /** The command line or the configuration is wrong; nothing was tried. */
  USAGE: 2,
  /** The address or the data folder is in use, mostly by another Warren. */
  IN_USE: 3,
  /** The server could not be reached. */
  UNREACHABLE: 4,
  /** `exec`: the command ran longer than its timeout. */
  ACTION_TIMED_OUT: 124,
  /** `exec`: the command was not run to its end, for a reason that is not its own. */
  NOT_RUN: 125,
  /** Ended at once by a second SIGINT, or a client's command by the first. */
  INTERRUPTED: 130,
  /** Ended at once by a second signal, the last of which was SIGTERM. */
  TERMINATED: 143,
} as const;

/** What this process ends with for the exit code of another: never 0 for a failure, as 256 would be. */
export function passedOn(exitCode: number): number {
  const low = exitCode & 0xff;
  return low === 0 && exitCode !== 0 ? ExitCode.FAILURE : low;
}

/** Ends a command with this exit code; the message, if any, is printed without a stack. */
export class CommandFailure extends Error {
  readonly exitCode: number;

  /** @param exitCode one of `ExitCode`, or what a remote command ended with. */
  constructor(exitCode: number, message = '', options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = 'CommandFailure';
    this.exitCode = exitCode;
  }
}
