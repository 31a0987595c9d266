import type { Digest } from '../../domain/digest.ts';
import { digestKey } from '../../domain/digest.ts';
import type { Clock } from '../../lib/clock.ts';
import { formatDuration } from '../../lib/format-duration.ts';
import type { ActionResult, ExecuteResponse } from '../../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { phasesOf, presentActionResult } from '../present/action-result.ts';
import { presentStatus } from '../present/values.ts';
import { fieldLines, printable } from '../printing.ts';

/** What became of a run. */
export interface RunOutcome {
  readonly actionDigest: Digest;
  readonly operationName: string | undefined;
  readonly cached: boolean;
  /** Undefined where the command was not run. */
  readonly result: ActionResult | undefined;
  /** Undefined when the answer came from the cache without an execution. */
  readonly response: ExecuteResponse | undefined;
}

/** Where the time of a run went, on this side of the wire. */
export class Stopwatch {
  readonly #clock: Clock;
  readonly #start: number;
  readonly phases: Array<{ readonly name: string; readonly milliseconds: number }> = [];

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#start = clock.monotonic();
  }

  get totalMilliseconds(): number {
    return this.#clock.monotonic() - this.#start;
  }

  /** Runs the task and notes how long it took, well or not. */
  async time<T>(name: string, task: () => Promise<T>): Promise<T> {
    const start = this.#clock.monotonic();
    try {
      return await task();
    } finally {
      this.phases.push({ name, milliseconds: this.#clock.monotonic() - start });
    }
  }
}

/** A run, as JSON. */
export function presentRun(outcome: RunOutcome, stopwatch: Stopwatch) {
  const { actionDigest, operationName, cached, result, response } = outcome;
  const { serverLogs = {}, message = '' } = response ?? {};
  return {
    actionDigest: digestKey(actionDigest),
    operation: operationName,
    cached,
    error: presentStatus(response?.status),
    message: message === '' ? undefined : message,
    result: result === undefined ? undefined : presentActionResult(result),
    serverLogs: Object.keys(serverLogs).length === 0 ? undefined : Object.keys(serverLogs),
    phases: allPhases(outcome, stopwatch).map(({ name, milliseconds, inner }) => ({
      name,
      milliseconds,
      onServer: inner,
    })),
    totalMilliseconds: stopwatch.totalMilliseconds,
  };
}

/** A run for people who asked where the time went. */
export function runLines(outcome: RunOutcome, stopwatch: Stopwatch): string[] {
  const { actionDigest, operationName, cached, result } = outcome;
  return fieldLines([
    ['action', digestKey(actionDigest)],
    ['operation', printable(operationName ?? '')],
    ['worker', printable(result?.executionMetadata?.worker ?? '')],
    ['cached', cached ? 'yes' : 'no'],
    ...allPhases(outcome, stopwatch).map(
      ({ name, milliseconds, inner }) => [inner ? `  ${name}` : name, formatDuration(milliseconds)] as const,
    ),
    ['in all', formatDuration(stopwatch.totalMilliseconds)],
  ]);
}

/** Phases of both sides in order: those of the server stand within the execution as this side saw it. */
function allPhases({ cached, result }: RunOutcome, { phases }: Stopwatch) {
  return phases.flatMap(({ name, milliseconds }) => {
    const outer = { name, milliseconds, inner: false };
    if (name !== EXECUTION_PHASE || cached) return [outer];
    const inner = phasesOf(result?.executionMetadata);
    return [outer, ...inner.map(([each, took]) => ({ name: each, milliseconds: took, inner: true }))];
  });
}

/** What the phase is called in which the server has the action. */
export const EXECUTION_PHASE = 'executed';
