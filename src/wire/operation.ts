import { digestFromPlain, type Job, outcomeOf, stageOf } from '../domain/job.ts';
import type { ActionStreamNames } from '../domain/log-stream.ts';
import { type Operation, operationName } from '../domain/operation.ts';
import { type Outcome, plainStatusToError } from '../domain/outcome.ts';
import {
  ExecutedActionMetadata,
  ExecuteOperationMetadata,
  ExecuteResponse,
  ExecutionStage_Value,
} from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import type { Operation as WireOperation } from '../proto/google/longrunning/operations.ts';
import { packAny } from './any.ts';
import { digestFunctionToWire, digestToWire } from './digest.ts';
import { statusToWire } from './status.ts';
import { timestampFromMilliseconds } from './time.ts';

const METADATA_NAME = 'build.bazel.remote.execution.v2.ExecuteOperationMetadata';
const RESPONSE_NAME = 'build.bazel.remote.execution.v2.ExecuteResponse';

/**
 * An operation as clients see it. `error` is never set, as REAPI demands: BuildStream relies on it.
 *
 * @param response the encoded ExecuteResponse of an operation that has ended, with outputs inlined as wished.
 * @param streams where to read what the action prints; undefined where that can't be read.
 */
export function operationToWire(
  job: Job,
  operation: Operation,
  response: Uint8Array | undefined,
  streams?: ActionStreamNames,
): WireOperation {
  const ended = outcomeOf(job, operation) !== undefined;
  const encoded = ended ? (response ?? encodeOutcome(job, operation)) : undefined;
  return {
    name: operationName(job.instanceName, operation.id),
    metadata: packAny(
      METADATA_NAME,
      encodeOperationMetadata(
        job,
        streams,
        ended ? ExecutionStage_Value.COMPLETED : ExecutionStage_Value[stageOf(job)],
      ),
    ),
    done: encoded !== undefined,
    result: encoded === undefined ? undefined : { $case: 'response', value: packAny(RESPONSE_NAME, encoded) },
  };
}

/**
 * The encoded ExecuteOperationMetadata: in operations, and in the trailers that tell bots of their leases.
 *
 * @param streams names to read for clients, names to write for the bot.
 */
export function encodeOperationMetadata(
  job: Job,
  streams: ActionStreamNames | undefined,
  stage: ExecutionStage_Value = ExecutionStage_Value[stageOf(job)],
): Uint8Array {
  const digest = digestFromPlain(job.actionDigest);
  return ExecuteOperationMetadata.encode({
    stage,
    actionDigest: digestToWire(digest),
    stdoutStreamName: streams?.stdout ?? '',
    stderrStreamName: streams?.stderr ?? '',
    partialExecutionMetadata: partialMetadata(job),
    digestFunction: digestFunctionToWire(digest.digestFunction),
  }).finish();
}

/** The encoded ExecuteResponse of an ended operation, or undefined while it goes on. */
function encodeOutcome(job: Job, operation: Operation): Uint8Array | undefined {
  const outcome = outcomeOf(job, operation);
  return outcome === undefined ? undefined : encodeExecuteResponse(outcome);
}

function encodeExecuteResponse(outcome: Outcome): Uint8Array {
  if (outcome.kind === 'response') return outcome.encoded;
  return ExecuteResponse.encode({
    result: undefined,
    cachedResult: false,
    status: statusToWire(plainStatusToError(outcome.status)),
    serverLogs: {},
    message: outcome.status.message,
  }).finish();
}

function partialMetadata(job: Job): ExecutedActionMetadata {
  return {
    ...(decodePartial(job.partialMetadata) ?? ExecutedActionMetadata.create()),
    ...(job.lease === undefined ? {} : { worker: job.lease.botId }),
    queuedTimestamp: timestampFromMilliseconds(job.queuedAt),
  };
}

function decodePartial(encoded: Uint8Array | undefined): ExecutedActionMetadata | undefined {
  if (encoded === undefined) return undefined;
  try {
    return ExecutedActionMetadata.decode(encoded);
  } catch {
    return undefined;
  }
}
