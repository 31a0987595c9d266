import { digestKey } from '../domain/digest.ts';
import { digestFromPlain, type Job } from '../domain/job.ts';
import { StatusCode, statusCodeName } from '../domain/status-code.ts';
import { isInfrastructureCode, StatusError } from '../domain/status-error.ts';
import type { Logger } from '../lib/log.ts';
import {
  ActionResult,
  ExecutedActionMetadata,
  ExecuteResponse,
} from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import type { Lease } from '../proto/google/devtools/remoteworkers/v1test2/bots.ts';
import type { Any } from '../proto/google/protobuf/any.ts';
import type { Status } from '../proto/google/rpc/status.ts';
import type { Verdict } from '../scheduling/reconciling.ts';
import { anyMessageName } from '../wire/any.ts';
import { OK_STATUS } from '../wire/status.ts';
import { timestampFromMilliseconds } from '../wire/time.ts';
import { checkActionResult } from './action-result-validation.ts';
import type { Instances } from './instances.ts';

export interface LeaseResultsOptions {
  readonly instances: Instances;
  readonly logger: Logger;
}

/** Longer texts of bots are cut where they go into a job's history. */
const MAX_REASON_LENGTH = 1_024;

/** Judges what bots report of completed leases, and writes results to the action cache before their jobs complete. */
export class LeaseResults {
  readonly #instances: Instances;
  readonly #logger: Logger;

  constructor(options: LeaseResultsOptions) {
    this.#instances = options.instances;
    this.#logger = options.logger;
  }

  /**
   * A status of the machinery, or a result that cannot be given to a client, is another attempt's business. Any other
   * status goes to the clients as it is, details and all: that is how a worker's list of missing inputs arrives.
   */
  async judge(job: Job, lease: Lease, botId: string, signal: AbortSignal): Promise<Verdict> {
    const status = lease.status ?? OK_STATUS;
    if (isInfrastructureCode(status.code) || status.code === StatusCode.CANCELLED) {
      return retry(`${statusCodeName(status.code)}: ${status.message}`);
    }
    const result = decodeResult(lease.result);
    if (status.code !== StatusCode.OK) return outcome(job, botId, result, status, false);
    if (result === undefined) return retry('the bot reported success without an ActionResult');
    const unusable = await this.#store(job, result, signal);
    return unusable === undefined ? outcome(job, botId, result, status, true) : retry(unusable);
  }

  /** Checks the result and writes what may be cached. @returns why it can't be used, if so. */
  async #store(job: Job, result: ActionResult, signal: AbortSignal): Promise<string | undefined> {
    const digest = digestFromPlain(job.actionDigest);
    try {
      const instance = this.#instances.get(job.instanceName);
      await checkActionResult(result, digest, instance.blobs, 'result', signal);
      if (!job.doNotCache && (result.exitCode === 0 || instance.cacheFailedActions)) {
        await instance.actionResults.put(job.instanceName, digest, result, signal);
      }
    } catch (cause) {
      signal.throwIfAborted();
      const { code, message } = StatusError.from(cause);
      if (code === StatusCode.INVALID_ARGUMENT || code === StatusCode.FAILED_PRECONDITION) return message;
      // The cache is read-only, or keeps another result of this action: as its operator wants it.
      if (code === StatusCode.PERMISSION_DENIED || code === StatusCode.ALREADY_EXISTS) return undefined;
      this.#logger.error(
        { jobId: job.id, action: digestKey(digest), err: cause },
        'a result could not be cached; its clients get it all the same',
      );
    }
    return undefined;
  }
}

function outcome(job: Job, botId: string, result: ActionResult | undefined, status: Status, good: boolean): Verdict {
  const encoded = ExecuteResponse.encode({
    result: result === undefined ? undefined : { ...result, executionMetadata: metadataOf(job, botId, result) },
    cachedResult: false,
    status,
    serverLogs: {},
    message: '',
  }).finish();
  return { kind: 'outcome', outcome: { kind: 'response', encoded }, good };
}

/** The bot's own account, with the time of queueing, which only the farm knows. */
function metadataOf(job: Job, botId: string, result: ActionResult): ExecutedActionMetadata {
  const metadata = result.executionMetadata ?? ExecutedActionMetadata.create();
  return {
    ...metadata,
    worker: metadata.worker === '' ? botId : metadata.worker,
    queuedTimestamp: timestampFromMilliseconds(job.queuedAt),
    workerStartTimestamp:
      metadata.workerStartTimestamp ??
      (job.startedAt === undefined ? undefined : timestampFromMilliseconds(job.startedAt)),
  };
}

/** The result, or undefined where there is none that can be read. */
function decodeResult(any: Any | undefined): ActionResult | undefined {
  if (any === undefined || anyMessageName(any) !== 'build.bazel.remote.execution.v2.ActionResult') return undefined;
  try {
    return ActionResult.decode(any.value);
  } catch {
    return undefined;
  }
}

function retry(reason: string): Verdict {
  return { kind: 'retry', reason: reason.slice(0, MAX_REASON_LENGTH) };
}
