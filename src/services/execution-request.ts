import type { Digest } from '../domain/digest.ts';
import { digestToPlain, type PlainDigest } from '../domain/job.ts';
import type { Requirement } from '../domain/platform.ts';
import { StatusCode } from '../domain/status-code.ts';
import { invalidArgument, StatusError } from '../domain/status-error.ts';
import { Action, Command, type ExecuteRequest } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { checkCommandForm, MAX_ACTION_BYTES } from '../wire/command.ts';
import { digestFromWire, digestFunctionFromWire } from '../wire/digest.ts';
import { durationToMilliseconds } from '../wire/time.ts';
import { missingBlobs } from './action-results.ts';
import type { Instance, Instances } from './instances.ts';
import type { PlatformRules } from './platform-rules.ts';

/** An Execute request whose Action and Command were read and found good. */
export interface CheckedExecution {
  readonly instance: Instance;
  readonly digest: Digest;
  readonly plainDigest: PlainDigest;
  readonly action: Action;
  readonly encodedAction: Uint8Array;
  readonly requirement: Requirement;
  readonly timeout: number | undefined;
  readonly priority: number;
}

/**
 * Reads and checks what an Execute names.
 *
 * @param maxTimeout the greatest Action.timeout in milliseconds.
 * @throws INVALID_ARGUMENT naming the field; FAILED_PRECONDITION with MISSING for each blob that is not stored;
 *   UNIMPLEMENTED where the instance does not execute.
 */
export async function checkExecution(
  request: ExecuteRequest,
  instances: Instances,
  rules: PlatformRules,
  maxTimeout: number,
  signal: AbortSignal,
): Promise<CheckedExecution> {
  const instance = instances.get(request.instanceName);
  const digestFunction = digestFunctionFromWire(request.digestFunction, request.actionDigest?.hash);
  const digest = digestFromWire(request.actionDigest, digestFunction, 'action_digest');
  if (!instance.executionEnabled) {
    throw new StatusError(
      StatusCode.UNIMPLEMENTED,
      `instance '${instance.name}' does not execute, as Capabilities tells`,
    );
  }
  checkSize(digest, 'action_digest');
  const encodedAction = await readBlob(instance, digest, 'the action', signal);
  const action = decode(Action, encodedAction, 'action_digest', 'an Action');

  const commandDigest = digestFromWire(action.commandDigest, digestFunction, 'action.command_digest');
  const inputRootDigest = digestFromWire(action.inputRootDigest, digestFunction, 'action.input_root_digest');
  checkSize(commandDigest, 'action.command_digest');
  const timeout = checkTimeout(action, maxTimeout);
  const missing = await instance.blobs.findMissing([commandDigest, inputRootDigest], signal);
  if (missing.length > 0) throw missingBlobs('the action needs blobs that are not stored', missing);
  const encodedCommand = await readBlob(instance, commandDigest, 'the command', signal);
  const command = decode(Command, encodedCommand, 'action.command_digest', 'a Command');
  checkCommandForm(command);

  const inAction = action.platform !== undefined && action.platform.properties.length > 0;
  const requirement = inAction
    ? rules.requirement(action.platform?.properties ?? [], 'action.platform')
    : rules.requirement(command.platform?.properties ?? [], 'command.platform');
  return {
    instance,
    digest,
    plainDigest: digestToPlain(digest),
    action,
    encodedAction,
    requirement,
    timeout,
    priority: request.executionPolicy?.priority ?? 0,
  };
}

function checkSize(digest: Digest, field: string): void {
  if (digest.sizeBytes <= MAX_ACTION_BYTES) return;
  throw invalidArgument(`${field}.size_bytes`, `${digest.sizeBytes} is more than ${MAX_ACTION_BYTES} bytes`);
}

function checkTimeout(action: Action, maxTimeout: number): number | undefined {
  const timeout = durationToMilliseconds(action.timeout);
  if (action.timeout === undefined || timeout === undefined) return undefined;
  const { seconds, nanos } = action.timeout;
  if (Math.abs(nanos) > 999_999_999 || (seconds > 0n && nanos < 0)) {
    throw invalidArgument('action.timeout.nanos', `${nanos} nanoseconds do not fit ${seconds} seconds`);
  }
  if (timeout < 0) throw invalidArgument('action.timeout', 'is negative');
  if (timeout > maxTimeout) {
    throw invalidArgument(
      'action.timeout',
      `${timeout / 1_000} s is more than this server allows, ${maxTimeout / 1_000} s`,
    );
  }
  // A zero is taken for unset: some clients send it so.
  return timeout === 0 ? undefined : timeout;
}

async function readBlob(instance: Instance, digest: Digest, what: string, signal: AbortSignal): Promise<Uint8Array> {
  try {
    return await instance.blobs.readWhole(digest, signal);
  } catch (thrown) {
    const { code } = StatusError.from(thrown);
    // A damaged blob counts as missing: the client can mend it by uploading.
    if (code !== StatusCode.NOT_FOUND && code !== StatusCode.DATA_LOSS) throw thrown;
    throw missingBlobs(`${what} is not stored`, [digest]);
  }
}

function decode<T>(codec: { decode(data: Uint8Array): T }, data: Uint8Array, field: string, what: string): T {
  try {
    return codec.decode(data);
  } catch {
    throw invalidArgument(field, `the blob is not an encoded ${what.replace(/^an? /, '')}`);
  }
}
