import { ReplicaProcessFailedError } from '../compose/replica-processes.ts';
import { AddressInUseError } from '../lib/address-in-use-error.ts';
import { DirectoryLockedError } from '../lib/directory-lock.ts';
import type { Service } from '../lib/lifecycle.ts';
import type { CommandContext } from './command-context.ts';
import { CommandFailure, ExitCode } from './exit-codes.ts';

/** Resolves once the signal is aborted. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

/**
 * Stops a service: in good order within a time, and at once after it or when the user asks twice.
 *
 * @throws CommandFailure when the service did not stop cleanly.
 */
export async function drain(service: Service, seconds: number, { clock, force }: CommandContext): Promise<void> {
  const controller = new AbortController();
  const abort = () => controller.abort(new Error('the time to drain is over'));
  const timer = clock.setTimer(seconds * 1_000, abort);
  if (force.aborted) abort();
  else force.addEventListener('abort', abort, { once: true });
  try {
    await service.stop(controller.signal);
  } finally {
    timer.cancel();
    force.removeEventListener('abort', abort);
  }
}

/** Makes of what a start failed with what a user can do something about. */
export function explainStartFailure(thrown: unknown): unknown {
  if (thrown instanceof DirectoryLockedError) return new CommandFailure(ExitCode.IN_USE, thrown.message);
  if (thrown instanceof ReplicaProcessFailedError) {
    return new CommandFailure(thrown.exitCode || ExitCode.FAILURE, thrown.message);
  }
  if (thrown instanceof AddressInUseError) {
    return new CommandFailure(
      ExitCode.IN_USE,
      `${thrown.message}: something else listens there, perhaps another Warren. Stop it, or choose another port (--port 0 takes a free one).`,
    );
  }
  return thrown;
}
