import { Metadata } from '@grpc/grpc-js';
import { StatusError } from '../domain/status-error.ts';
import { Status } from '../proto/google/rpc/status.ts';
import { statusToWire } from '../wire/status.ts';
import type { CallStatus } from './incoming-call.ts';

/** The trailer in which gRPC carries an encoded google.rpc.Status. */
const STATUS_DETAILS_TRAILER = 'grpc-status-details-bin';

/**
 * Clients take 8 KiB of headers unless told otherwise (gRPC for Java, which is Bazel's). What does not fit makes them
 * fail with an error that says nothing of ours.
 */
const MAX_DETAILS_BYTES = 4_096;
const MAX_MESSAGE_LENGTH = 1_024;
/** The same as it travels: gRPC percent-encodes the text, which makes up to nine characters of one. */
const MAX_ENCODED_MESSAGE_LENGTH = 2_048;

/** The status of a call that ended with this error: code, text, and details as far as they fit into trailers. */
export function statusOfError(error: StatusError): CallStatus {
  const message = wellFormed(error.message);
  const metadata = new Metadata();
  if (error.details.length > 0) {
    const encoded = encodeDetails(error);
    if (encoded !== undefined) metadata.set(STATUS_DETAILS_TRAILER, encoded);
  }
  return { code: error.code, details: message, metadata };
}

/** The encoded status; violations beyond what fits are left out, from the end. */
function encodeDetails(error: StatusError): Buffer | undefined {
  for (let violations = Number.POSITIVE_INFINITY; violations > 0; violations = Math.floor(violations / 2)) {
    const details = error.details.map((detail) => {
      if (detail.kind === 'retry-info') return detail;
      return { ...detail, violations: detail.violations.slice(0, violations) } as typeof detail;
    });
    const cut = new StatusError(error.code, wellFormed(error.message), { details });
    const encoded = Status.encode(statusToWire(cut)).finish();
    if (encoded.byteLength <= MAX_DETAILS_BYTES) return Buffer.from(encoded);
    if (violations === Number.POSITIVE_INFINITY) violations = 2 * MAX_DETAILS_BYTES;
  }
  return undefined;
}

/** The text, as much of it as fits. */
function wellFormed(text: string): string {
  let cut = withoutHalfPairs(text.slice(0, MAX_MESSAGE_LENGTH));
  for (;;) {
    const excess = encodeURI(cut).length / MAX_ENCODED_MESSAGE_LENGTH;
    if (excess <= 1) return cut.length < text.length ? `${cut}...` : cut;
    cut = withoutHalfPairs(cut.slice(0, Math.floor(cut.length / excess)));
  }
}

/** grpc-js percent-encodes the text, which throws on half a surrogate pair. */
function withoutHalfPairs(text: string): string {
  return text.replace(/\p{Surrogate}/gu, '\ufffd');
}
