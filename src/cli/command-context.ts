import type { Command } from 'commander';
import type { Clock } from '../lib/clock.ts';
import type { PeerProcess } from '../lib/peer-process.ts';

/** A place to print to. `isTTY` tells whether a person watches, so that a line may be drawn over. */
export interface Output {
  write(text: string | Uint8Array): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

/** All of the process that a command may see, so that tests run commands without one. */
export interface CommandContext {
  /** For what the command was asked to print; with `--json`, for nothing else. */
  readonly stdout: Output;
  /** For progress, logs and errors. */
  readonly stderr: Output;
  readonly stdin: AsyncIterable<Uint8Array>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  /** Aborted by the first SIGINT, SIGTERM or SIGHUP: end in good order. */
  readonly stop: AbortSignal;
  /** Aborted by the second: end at once. The process goes a moment later in any case. */
  readonly force: AbortSignal;
  /** The process that shares its port with this one, and of whose making this one is; undefined in all others. */
  readonly primary?: PeerProcess | undefined;
}

/**
 * What each file of `commands/` exports as `configureXxx`: adds arguments, options, subcommands and the action to an
 * empty command that has its name and summary already.
 *
 * An action ends well by returning. It fails by throwing: a `CommandFailure` chooses the exit code, a `StatusError` is
 * printed with its code, anything else is a defect and is printed with its stack.
 */
export type ConfigureCommand = (command: Command, context: CommandContext) => void;
