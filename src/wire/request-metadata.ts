import type { RequestMetadata } from '../domain/request-metadata.ts';
import { RequestMetadata as WireRequestMetadata } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';

/** The header in which clients say to which build a request belongs. */
export const REQUEST_METADATA_HEADER = 'build.bazel.remote.execution.v2.requestmetadata-bin';

/** All that carry it: the one that REAPI names, and the short one that RECC and BuildGrid send. */
const REQUEST_METADATA_HEADERS: readonly string[] = [REQUEST_METADATA_HEADER, 'requestmetadata-bin'];

/** The trailer in which BuildGrid's users find the metadata of an operation that they ask for. */
export const REQUEST_METADATA_TRAILER = 'requestmetadata-bin';

/** Longer fields are cut: they go into records, messages and logs. */
const MAX_FIELD_LENGTH = 1_024;

/**
 * The metadata of a call, or undefined where there is none that can be read. A header may come several times; the first
 * readable one counts. Never an error: metadata only informs.
 */
export function readRequestMetadata(
  binaryHeaders: (name: string) => readonly Uint8Array[],
): RequestMetadata | undefined {
  for (const name of REQUEST_METADATA_HEADERS) {
    for (const encoded of binaryHeaders(name)) {
      const metadata = decodeRequestMetadata(encoded);
      if (metadata !== undefined) return metadata;
    }
  }
  return undefined;
}

/** The decoded header, or undefined where it is not a RequestMetadata. */
function decodeRequestMetadata(encoded: Uint8Array): RequestMetadata | undefined {
  try {
    const wire = WireRequestMetadata.decode(encoded);
    return {
      toolName: cut(wire.toolDetails?.toolName ?? ''),
      toolVersion: cut(wire.toolDetails?.toolVersion ?? ''),
      actionId: cut(wire.actionId),
      toolInvocationId: cut(wire.toolInvocationId),
      correlatedInvocationsId: cut(wire.correlatedInvocationsId),
      actionMnemonic: cut(wire.actionMnemonic),
      targetId: cut(wire.targetId),
      configurationId: cut(wire.configurationId),
    };
  } catch {
    return undefined;
  }
}

/** The value of the header. What is not given is left out. */
export function encodeRequestMetadata(metadata: Partial<RequestMetadata>): Uint8Array {
  const { toolName = '', toolVersion = '', ...rest } = metadata;
  return WireRequestMetadata.encode(
    WireRequestMetadata.create({ ...rest, toolDetails: { toolName, toolVersion } }),
  ).finish();
}

function cut(text: string): string {
  return text.length <= MAX_FIELD_LENGTH ? text : text.slice(0, MAX_FIELD_LENGTH);
}
