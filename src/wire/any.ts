import type { Any } from '../proto/google/protobuf/any.ts';

/** The type URL of a message, as every client of these APIs writes it. */
export function typeUrl(fullName: string): string {
  return `type.googleapis.com/${fullName}`;
}

/** Packs an encoded message. @param fullName package and message name, such as `google.rpc.RetryInfo`. */
export function packAny(fullName: string, encoded: Uint8Array): Any {
  return { typeUrl: typeUrl(fullName), value: Buffer.from(encoded.buffer, encoded.byteOffset, encoded.byteLength) };
}

/** The full name of the packed message: what follows the last slash. */
export function anyMessageName(any: Any): string {
  return any.typeUrl.slice(any.typeUrl.lastIndexOf('/') + 1);
}
