import type { Digest } from '../domain/digest.ts';
import type { DigestFunction } from '../domain/digest-function.ts';
import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';
import { mapConcurrently } from '../lib/semaphore.ts';
import type { BlobStore } from '../ports/blob-store.ts';
import { ActionResult, type OutputFile } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { digestFromWire } from '../wire/digest.ts';

/** What a client asked to find in the answer itself (GetActionResultRequest, ExecuteRequest). */
export interface InlineRequest {
  readonly inlineStdout: boolean;
  readonly inlineStderr: boolean;
  /** Paths of output files, as in the Command. */
  readonly inlineOutputFiles: readonly string[];
}

/**
 * The greatest size in bytes of a result with what is inlined. Leaves 64 KiB of the 4 MiB that clients take in one
 * message to headers and to the Operation around the result.
 */
const DEFAULT_MAX_INLINED_RESULT_BYTES = 4 * 1024 * 1024 - 64 * 1024;

/** Tag and length that stand before inlined contents, at most. */
const FIELD_OVERHEAD_BYTES = 8;

const READ_CONCURRENCY = 16;

/**
 * The result with the contents that were asked for, and without those that were not but have a digest.
 *
 * Inlining is a hint: what would make the answer too large, or can't be read any more, is left as a digest. Standard
 * output comes first, then standard error, then files in the order asked for; one that does not fit is passed over.
 *
 * @param maxBytes the greatest encoded size of the result.
 */
export async function inlineOutputs(
  result: ActionResult,
  request: InlineRequest,
  digestFunction: DigestFunction,
  blobs: BlobStore,
  signal: AbortSignal,
  maxBytes: number = DEFAULT_MAX_INLINED_RESULT_BYTES,
): Promise<ActionResult> {
  const inlined = withoutUnasked(result, request);
  const wanted: Slot[] = [];
  if (request.inlineStdout && inlined.stdoutRaw.byteLength === 0) {
    wanted.push({
      wire: inlined.stdoutDigest,
      set: (contents) => {
        inlined.stdoutRaw = contents;
      },
    });
  }
  if (request.inlineStderr && inlined.stderrRaw.byteLength === 0) {
    wanted.push({
      wire: inlined.stderrDigest,
      set: (contents) => {
        inlined.stderrRaw = contents;
      },
    });
  }
  wanted.push(...wantedFiles(inlined.outputFiles, request.inlineOutputFiles));
  if (wanted.length === 0) return inlined;

  let left = maxBytes - ActionResult.encode(inlined).finish().byteLength;
  const chosen: Array<{ digest: Digest; set: Slot['set'] }> = [];
  for (const { wire, set } of wanted) {
    if (wire === undefined || wire.sizeBytes === 0n) continue;
    const digest = digestFromWire(wire, digestFunction, 'digest');
    const cost = digest.sizeBytes + FIELD_OVERHEAD_BYTES;
    if (cost > left) continue;
    left -= cost;
    chosen.push({ digest, set });
  }
  await mapConcurrently(chosen, READ_CONCURRENCY, signal, async ({ digest, set }) => {
    const contents = await readIfThere(blobs, digest, signal);
    if (contents !== undefined) set(Buffer.from(contents.buffer, contents.byteOffset, contents.byteLength));
  });
  return inlined;
}

interface Slot {
  readonly wire: ActionResult['stdoutDigest'];
  readonly set: (contents: Buffer) => void;
}

/** A copy that may be changed. Contents that have no digest stay: there is no other way to them. */
function withoutUnasked(result: ActionResult, request: InlineRequest): ActionResult {
  const files = new Set(request.inlineOutputFiles);
  const nothing = Buffer.alloc(0);
  return {
    ...result,
    outputFiles: result.outputFiles.map((file) => ({
      ...file,
      contents: files.has(file.path) || file.digest === undefined ? file.contents : nothing,
    })),
    stdoutRaw: request.inlineStdout || result.stdoutDigest === undefined ? result.stdoutRaw : nothing,
    stderrRaw: request.inlineStderr || result.stderrDigest === undefined ? result.stderrRaw : nothing,
  };
}

function wantedFiles(outputFiles: readonly OutputFile[], paths: readonly string[]): Slot[] {
  if (paths.length === 0) return [];
  const byPath = new Map(outputFiles.map((file) => [file.path, file]));
  return [...new Set(paths)].flatMap((path) => {
    const file = byPath.get(path);
    if (file === undefined || file.contents.byteLength > 0) return [];
    return {
      wire: file.digest,
      set: (contents: Buffer) => {
        file.contents = contents;
      },
    };
  });
}

async function readIfThere(blobs: BlobStore, digest: Digest, signal: AbortSignal): Promise<Uint8Array | undefined> {
  try {
    return await blobs.readWhole(digest, signal);
  } catch (thrown) {
    signal.throwIfAborted();
    if (StatusError.from(thrown).code === StatusCode.INTERNAL) throw thrown;
    return undefined;
  }
}
