import { type Digest, digestKey, digestOf, digestsEqual, missingBlobSubject } from '../domain/digest.ts';
import { StatusCode } from '../domain/status-code.ts';
import { invalidArgument, StatusError } from '../domain/status-error.ts';
import type { Logger } from '../lib/log.ts';
import { mapConcurrently } from '../lib/semaphore.ts';
import type { ActionCacheStore } from '../ports/action-cache-store.ts';
import type { BlobStore } from '../ports/blob-store.ts';
import { ActionResult } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { digestFromWire, digestToWire } from '../wire/digest.ts';
import { checkActionResult } from './action-result-validation.ts';
import type { ActionResults } from './instances.ts';
import { ReferencedBlobs, type ReferencedBlobsOptions } from './referenced-blobs.ts';

export interface CompletenessCheckingActionResultsOptions extends ReferencedBlobsOptions {
  /** The largest encoded result that is stored, in bytes. Defaults to 4 MiB: a larger one fits in no answer. */
  readonly maxResultSizeBytes?: number;
}

/** Missing blobs that one error names. More would not fit into the trailers that carry it. */
const MAX_REPORTED_MISSING = 100;

/** Inlined contents that are stored at once. */
const WRITE_CONCURRENCY = 16;

/**
 * The action cache that serves a result only when everything that it names is stored.
 *
 * A client that is told of a hit downloads outputs only when it needs them, long after: one that has been evicted
 * breaks the build. Looking up every blob at the time of the hit also extends their lives.
 */
export class CompletenessCheckingActionResults implements ActionResults {
  readonly #store: ActionCacheStore;
  readonly #blobs: BlobStore;
  readonly #referenced: ReferencedBlobs;
  readonly #logger: Logger;
  readonly #maxResultSizeBytes: number;

  constructor(
    store: ActionCacheStore,
    blobs: BlobStore,
    logger: Logger,
    options: CompletenessCheckingActionResultsOptions = {},
  ) {
    this.#store = store;
    this.#blobs = blobs;
    this.#logger = logger;
    this.#referenced = new ReferencedBlobs(blobs, options);
    this.#maxResultSizeBytes = options.maxResultSizeBytes ?? 4 * 1024 * 1024;
  }

  async get(instanceName: string, actionDigest: Digest, signal: AbortSignal): Promise<ActionResult | undefined> {
    const encoded = await this.#store.get(instanceName, actionDigest, signal);
    if (encoded === undefined) return undefined;
    const entry = { instance: instanceName, action: digestKey(actionDigest) };
    try {
      const result = decodeActionResult(encoded);
      const missing = await this.#referenced.findMissing(result, actionDigest.digestFunction, signal);
      if (missing.length === 0) return result;
      this.#logger.debug({ ...entry, missing: missing.length }, 'cached result is incomplete: counts as a miss');
    } catch (thrown) {
      // An infrastructure failure is the caller's to judge; a bad entry must never fail an action.
      if (!(thrown instanceof StatusError) || thrown.code !== StatusCode.INVALID_ARGUMENT) throw thrown;
      this.#logger.warn({ ...entry, error: thrown.message }, 'cached result is malformed: counts as a miss');
    }
    return undefined;
  }

  /**
   * Contents that came inline go to the storage of blobs, and digests in their place: the cache stays small, and a
   * later reader gets them inline only where it asks for that.
   *
   * @throws INVALID_ARGUMENT when the result is malformed, too large, or inlined contents differ from their digest;
   *   FAILED_PRECONDITION as ActionResults has it.
   */
  async put(instanceName: string, actionDigest: Digest, result: ActionResult, signal: AbortSignal): Promise<void> {
    const { digestFunction } = actionDigest;
    await checkActionResult(result, actionDigest, this.#blobs, 'action_result', signal);
    const stored = await this.#storeInlined(result, actionDigest, signal);
    const encoded = ActionResult.encode(stored).finish();
    if (encoded.byteLength > this.#maxResultSizeBytes) {
      throw invalidArgument('action_result', `larger than ${this.#maxResultSizeBytes} bytes`);
    }
    const missing = await this.#referenced.findMissing(stored, digestFunction, signal);
    if (missing.length > 0) throw missingBlobs('the result names blobs that are not stored', missing);
    try {
      await this.#store.put(instanceName, actionDigest, encoded, signal);
    } catch (thrown) {
      if (!(thrown instanceof StatusError) || thrown.code !== StatusCode.ALREADY_EXISTS) throw thrown;
      // An entry that nobody can use any more must not stand in the way of one that is whole.
      if ((await this.get(instanceName, actionDigest, signal)) !== undefined) throw thrown;
      await this.#store.delete(instanceName, actionDigest, signal);
      await this.#store.put(instanceName, actionDigest, encoded, signal);
    }
  }

  async #storeInlined(result: ActionResult, actionDigest: Digest, signal: AbortSignal): Promise<ActionResult> {
    const { digestFunction } = actionDigest;
    const writes: Array<{ digest: Digest; contents: Uint8Array }> = [];
    const outline = (contents: Uint8Array, wire: ActionResult['stdoutDigest'], field: string) => {
      if (contents.byteLength === 0) return wire;
      const digest = digestOf(contents, digestFunction);
      if (wire !== undefined && !digestsEqual(digest, digestFromWire(wire, digestFunction, field))) {
        throw invalidArgument(field, 'not the digest of the contents given inline');
      }
      writes.push({ digest, contents });
      return digestToWire(digest);
    };
    const stored: ActionResult = {
      ...result,
      outputFiles: result.outputFiles.map((file, index) => ({
        ...file,
        digest: outline(file.contents, file.digest, `action_result.output_files[${index}].digest`),
        contents: Buffer.alloc(0),
      })),
      stdoutDigest: outline(result.stdoutRaw, result.stdoutDigest, 'action_result.stdout_digest'),
      stdoutRaw: Buffer.alloc(0),
      stderrDigest: outline(result.stderrRaw, result.stderrDigest, 'action_result.stderr_digest'),
      stderrRaw: Buffer.alloc(0),
    };
    await mapConcurrently(writes, WRITE_CONCURRENCY, signal, ({ digest, contents }) =>
      this.#blobs.write(digest, contents, signal),
    );
    return stored;
  }
}

/**
 * FAILED_PRECONDITION with a violation of type MISSING for each blob: Bazel uploads what is named and tries again.
 *
 * Names at most 100, and says how many there are.
 */
export function missingBlobs(message: string, missing: readonly Digest[]): StatusError {
  const subjects = missing.slice(0, MAX_REPORTED_MISSING).map(missingBlobSubject);
  const more = missing.length > subjects.length ? ` and ${missing.length - subjects.length} more` : '';
  return new StatusError(StatusCode.FAILED_PRECONDITION, `${message}: ${subjects.slice(0, 3).join(', ')}${more}`, {
    details: [
      {
        kind: 'precondition-failure',
        violations: subjects.map((subject) => ({ type: 'MISSING', subject, description: 'not stored' })),
      },
    ],
  });
}

function decodeActionResult(encoded: Uint8Array): ActionResult {
  try {
    return ActionResult.decode(encoded);
  } catch {
    throw invalidArgument('action_result', 'not an encoded ActionResult');
  }
}
