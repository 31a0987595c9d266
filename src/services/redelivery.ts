import { digestKey } from '../domain/digest.ts';
import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';
import type { WorkMessage } from '../domain/work.ts';
import type { Clock } from '../lib/clock.ts';
import type { Service } from '../lib/lifecycle.ts';
import type { Logger } from '../lib/log.ts';
import { ExecuteRequest } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import type { Scheduler } from '../scheduling/scheduler.ts';
import { digestFunctionFromWire, digestFunctionToWire } from '../wire/digest.ts';
import { type CheckedExecution, checkExecution } from './execution-request.ts';
import type { Instances } from './instances.ts';
import { PlatformRules } from './platform-rules.ts';

export interface RedeliveryOptions {
  readonly instances: Instances;
  readonly scheduler: Scheduler;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly platformRules?: PlatformRules;
}

/** How long a job goes on that an operator sent again and that no client waits for, in milliseconds: a day. */
const GOES_ON_FOR = 86_400_000;

const NOTHING_INLINE = { stdout: false, stderr: false, outputFiles: [] };

/**
 * Executes the actions of dead letters that an operator sends again.
 *
 * The job of a dead letter has ended and its clients have their answers, so that sending its work message again would do
 * nothing. What is sent again is the action: a new job runs it with nobody waiting, and its result goes into the action
 * cache, where the next build finds it.
 */
export class Redelivery implements Service {
  readonly name = 'redelivery';
  readonly #options: RedeliveryOptions;
  readonly #rules: PlatformRules;
  readonly #stopping = new AbortController();
  #stopListening: (() => void) | undefined;

  constructor(options: RedeliveryOptions) {
    this.#options = options;
    this.#rules = options.platformRules ?? new PlatformRules();
  }

  async start(): Promise<void> {
    const { broker } = this.#options.scheduler;
    this.#stopListening = broker.onRedelivery((work) => this.redeliver(work));
  }

  async stop(): Promise<void> {
    this.#stopListening?.();
    this.#stopping.abort();
  }

  /**
   * Executes the action that a message names; all else is worked out anew, as for a client. What can't be executed is a
   * dead letter again, with the reason.
   *
   * @throws where another try may go well.
   */
  async redeliver(work: WorkMessage): Promise<void> {
    const { scheduler, clock, logger } = this.#options;
    const { signal } = this.#stopping;
    try {
      const checked = await this.#check(work, signal);
      if (await this.#isKnown(checked, signal)) {
        logger.info(
          { job: work.jobId, action: digestKey(checked.digest) },
          'sent again, and found in the action cache',
        );
        return;
      }
      const { submitting } = scheduler;
      const job = await submitting.submitUnwatched(
        {
          operationId: submitting.newOperationId(checked.plainDigest.hash),
          instanceName: checked.instance.name,
          actionDigest: checked.plainDigest,
          action: checked.encodedAction,
          requirement: checked.requirement,
          priority: checked.priority,
          doNotCache: false,
          timeout: checked.timeout,
          requestMetadata: {
            toolName: work.tool,
            toolVersion: '',
            actionId: '',
            toolInvocationId: work.invocation,
            correlatedInvocationsId: '',
            actionMnemonic: work.mnemonic,
            targetId: work.target,
            configurationId: '',
          },
          inline: NOTHING_INLINE,
          cached: undefined,
        },
        GOES_ON_FOR,
        signal,
      );
      logger.info({ job: job.id, was: work.jobId, action: digestKey(checked.digest) }, 'sent again, as a new job');
    } catch (thrown) {
      const error = StatusError.from(thrown);
      const mayGoWellLater = error.code === StatusCode.UNAVAILABLE || error.code === StatusCode.RESOURCE_EXHAUSTED;
      if (signal.aborted || mayGoWellLater) throw thrown;
      if (error.code === StatusCode.INTERNAL) logger.error({ err: thrown, job: work.jobId }, 'could not send it again');
      const reason = `it was sent again, and could not be executed: ${error.message}`;
      await scheduler.broker.publishDeadLetter({ work, reason, at: clock.now() });
    }
  }

  async #check(work: WorkMessage, signal: AbortSignal): Promise<CheckedExecution> {
    const { instances, scheduler } = this.#options;
    const { digestFunction, hash, sizeBytes } = work.actionDigest;
    const request = ExecuteRequest.fromPartial({
      instanceName: work.instanceName,
      digestFunction: digestFunctionToWire(digestFunctionFromWire(digestFunction, hash)),
      actionDigest: { hash, sizeBytes: BigInt(sizeBytes) },
      executionPolicy: { priority: Math.max(-(2 ** 31), Math.min(2 ** 31 - 1, work.priority)) },
    });
    const { maxExecutionTimeout } = scheduler.settings;
    const checked = await checkExecution(request, instances, this.#rules, maxExecutionTimeout, signal);
    if (!checked.action.doNotCache) return checked;
    throw new StatusError(
      StatusCode.FAILED_PRECONDITION,
      'the action must not be cached, and no client waits for its result',
    );
  }

  async #isKnown({ instance, digest }: CheckedExecution, signal: AbortSignal): Promise<boolean> {
    return (await instance.actionResults.get(instance.name, digest, signal)) !== undefined;
  }
}
