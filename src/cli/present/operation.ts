import {
  ExecuteOperationMetadata,
  ExecuteResponse,
  ExecutionStage_Value,
} from '../../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import type { Operation } from '../../proto/google/longrunning/operations.ts';
import { fieldLines, printable } from '../printing.ts';
import { actionResultLines, presentActionResult, presentMetadata } from './action-result.ts';
import { enumName, presentDigest, presentStatus } from './values.ts';

/** An operation with what is packed in it. */
export interface ReadOperation {
  readonly operation: Operation;
  readonly metadata: ExecuteOperationMetadata | undefined;
  readonly response: ExecuteResponse | undefined;
}

/** Unpacks an operation of Execute; what can't be read counts as absent. */
export function readOperation(operation: Operation): ReadOperation {
  const { metadata, result } = operation;
  return {
    operation,
    metadata: decoded(metadata?.value, (bytes) => ExecuteOperationMetadata.decode(bytes)),
    response: result?.$case === 'response' ? decoded(result.value.value, (b) => ExecuteResponse.decode(b)) : undefined,
  };
}

function decoded<T>(bytes: Uint8Array | undefined, decode: (bytes: Uint8Array) => T): T | undefined {
  if (bytes === undefined) return undefined;
  try {
    return decode(bytes);
  } catch {
    return undefined;
  }
}

/** An operation, as JSON. */
export function presentOperation(read: ReadOperation) {
  const { operation, metadata, response } = read;
  return {
    name: operation.name,
    stage: stageName(read),
    done: operation.done,
    actionDigest: presentDigest(metadata?.actionDigest),
    metadata: presentMetadata(metadata?.partialExecutionMetadata),
    error: presentStatus(errorOf(read)),
    response:
      response === undefined
        ? undefined
        : {
            cached: response.cachedResult,
            message: response.message === '' ? undefined : response.message,
            result: response.result === undefined ? undefined : presentActionResult(response.result),
          },
  };
}

/** QUEUED, EXECUTING and so on. */
export function stageName({ operation, metadata }: ReadOperation): string {
  if (operation.done) return 'COMPLETED';
  return enumName(ExecutionStage_Value, metadata?.stage ?? 0);
}

/** What went wrong with the operation, wherever the server says it. */
function errorOf({ operation, response }: ReadOperation) {
  return operation.result?.$case === 'error' ? operation.result.value : response?.status;
}

/** One word on how it ended or where it stands. */
export function outcomeText(read: ReadOperation): string {
  const { operation, response } = read;
  if (!operation.done) return stageName(read).toLowerCase();
  const error = presentStatus(errorOf(read));
  if (error !== undefined) return error.code;
  const exitCode = response?.result?.exitCode;
  if (exitCode === undefined) return 'completed';
  return exitCode === 0 ? (response?.cachedResult === true ? 'cached' : 'ok') : `exit ${exitCode}`;
}

/** An operation, for people. */
export function operationLines(read: ReadOperation): string[] {
  const { operation, metadata, response } = read;
  const error = presentStatus(errorOf(read));
  const partial = metadata?.partialExecutionMetadata;
  return [
    ...fieldLines([
      ['operation', printable(operation.name)],
      ['stage', stageName(read)],
      ['outcome', operation.done ? outcomeText(read) : undefined],
      ['action', presentDigest(metadata?.actionDigest)],
      ['worker', operation.done ? undefined : printable(partial?.worker ?? '')],
      ['error', error === undefined ? undefined : printable(error.message)],
      ['message', printable(response?.message ?? '')],
    ]),
    ...(response?.result === undefined ? [] : actionResultLines(response.result)),
  ];
}
