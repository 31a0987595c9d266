import type { Metadata, StatusObject } from '@grpc/grpc-js';
import { StatusCode, statusCodeFromNumber } from '../../domain/status-code.ts';
import { StatusError } from '../../domain/status-error.ts';
import { decodeStatus, statusFromWire } from '../../wire/status.ts';

/**
 * The error that a failed call ended with: code and text of the status, and the details of `grpc-status-details-bin`
 * where the server sent one that goes with the code.
 */
export function errorOfCall(status: StatusObject, path: string): StatusError {
  const code = statusCodeFromNumber(status.code);
  const cause = new Error(`${path} failed`);
  const encoded = firstBinary(status.metadata, 'grpc-status-details-bin');
  const detailed = encoded === undefined ? undefined : decodeStatus(encoded);
  if (detailed !== undefined && detailed.code === code) {
    const { message, details } = statusFromWire(detailed);
    return new StatusError(code, message === '' ? status.details : message, { details, cause });
  }
  return new StatusError(code === StatusCode.OK ? StatusCode.INTERNAL : code, status.details, { cause });
}

function firstBinary(metadata: Metadata, name: string): Uint8Array | undefined {
  const value = metadata.get(name)[0];
  return typeof value === 'string' ? undefined : value;
}
