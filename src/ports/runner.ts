/** One process to run, as the worker asks a runner to. */
export interface RunRequest {
  /** Absolute path of the folder that holds the action's input root: all that the process may change. */
  readonly inputRoot: string;
  /** Where the process starts, relative to the input root; empty for the input root itself. It exists. */
  readonly workingDirectory: string;
  /** The program and its arguments; at least one, none with a NUL. */
  readonly arguments: readonly string[];
  /** The whole environment: the process inherits nothing. */
  readonly environment: ReadonlyMap<string, string>;
  /** Absolute path of the file that takes standard output, outside of the input root: an empty one, or one to be made. */
  readonly stdoutFile: string;
  readonly stderrFile: string;
  /** Milliseconds after which the process tree is killed. */
  readonly timeoutMilliseconds: number;
  /** The process tree is killed once standard output or standard error holds more bytes than this. */
  readonly maxLogBytes: number;
  /** Whether the process may reach the network. A runner without a sandbox can't keep it away. */
  readonly network: boolean;
}

/** How a process ended. */
export type RunOutcome =
  /** It ended by itself. */
  | { readonly kind: 'exited'; readonly exitCode: number }
  /** A signal ended it, which the runner did not send. @see RunReport.outcome */
  | { readonly kind: 'signalled'; readonly signal: number }
  /** The program could not be started: the action's fault. `exitCode` is what a shell gives: 127 or 126. */
  | { readonly kind: 'not-started'; readonly exitCode: number; readonly message: string }
  /** Killed at the timeout. */
  | { readonly kind: 'timed-out' }
  /** Killed because it printed too much. */
  | { readonly kind: 'log-too-large' };

/** What a process tree used, as wait4(2) tells; undefined fields are unknown. */
export interface ResourceUsage {
  readonly userMilliseconds: number;
  readonly systemMilliseconds: number;
  /** Of the largest single process. */
  readonly maximumResidentSetBytes: number;
  readonly minorPageFaults: number;
  readonly majorPageFaults: number;
  readonly blockInputOperations: number;
  readonly blockOutputOperations: number;
  readonly voluntaryContextSwitches: number;
  readonly involuntaryContextSwitches: number;
}

/** What became of a run. By now no process of the tree is left. */
export interface RunReport {
  readonly outcome: RunOutcome;
  /** Milliseconds from start to end on a monotonic clock: what the timeout is measured with. */
  readonly durationMilliseconds: number;
  /** Undefined where this machine has no way to tell, or the tree was killed. */
  readonly resourceUsage: ResourceUsage | undefined;
}

/**
 * Runs one process tree to its end. Sandboxes of every kind are adapters of this port; what is run, with which inputs
 * and what becomes of its outputs is decided above it.
 *
 * Rules that every implementation keeps, and that its suite checks:
 * - When the promise settles no process of the tree is alive, however it tried to hide.
 * - The action's failures are outcomes; only failures of the machinery are thrown.
 */
export interface Runner {
  /** How it is called in logs and flags: `bubblewrap` or `none`. */
  readonly name: string;

  /**
   * @param signal kills the tree at once when aborted.
   * @throws the signal's reason once the tree is dead; RESOURCE_EXHAUSTED when the disk or process table is full;
   *   INTERNAL when the sandbox itself failed.
   */
  run(request: RunRequest, signal: AbortSignal): Promise<RunReport>;
}
