import { createHash } from 'node:crypto';
import type { ActionResult, Digest } from '../../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import type { Execution } from './load-client.ts';

/** Two actions in three succeed, and their results go to the action cache. */
const EXIT_CODES = [0, 0, 7] as const;

/** The parts of an answer that are compared. */
export interface KnownAnswer {
  readonly exitCode: number;
  readonly stdout: string;
}

/** An execution, and the answer that it must have. */
export interface CheckedExecution {
  readonly execution: Execution;
  readonly right: KnownAnswer;
  /** The files that it must have made, with what is in them. Defaults to none. */
  readonly outputs?: Readonly<Record<string, string>>;
}

/** What a simulated bot makes of an action: a pure function of its digest, so that whoever sees an answer can judge it. */
export function answerTo(action: Digest): KnownAnswer {
  const hash = createHash('sha256').update(`answer to ${action.hash}`).digest();
  return { exitCode: EXIT_CODES[(hash[0] ?? 0) % EXIT_CODES.length] ?? 0, stdout: hash.toString('hex') };
}

/** The answer that a result holds. */
export function answerOf(result: ActionResult | undefined): KnownAnswer | undefined {
  return result === undefined ? undefined : { exitCode: result.exitCode, stdout: result.stdoutRaw.toString() };
}
