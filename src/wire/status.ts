import { StatusCode, statusCodeFromNumber } from '../domain/status-code.ts';
import { type StatusDetail, StatusError } from '../domain/status-error.ts';
import type { Any } from '../proto/google/protobuf/any.ts';
import { BadRequest, PreconditionFailure, RetryInfo } from '../proto/google/rpc/error_details.ts';
import { Status } from '../proto/google/rpc/status.ts';
import { packAny, typeUrl } from './any.ts';
import { durationFromMilliseconds, durationToMilliseconds } from './time.ts';

/** The status on the wire, details packed. The cause stays here. */
export function statusToWire(error: StatusError): Status {
  return { code: error.code, message: error.message, details: error.details.map(detailToWire) };
}

/** OK, as in every answer for one blob of a batch that went well. */
export const OK_STATUS: Status = Object.freeze({ code: StatusCode.OK, message: '', details: [] });

/** The error that a status of a peer stands for. Details of kinds that we don't use are dropped. */
export function statusFromWire(status: Status): StatusError {
  const details = status.details.flatMap((any) => detailFromWire(any) ?? []);
  return new StatusError(statusCodeFromNumber(status.code), status.message, { details });
}

/** The encoded google.rpc.Status of a peer's `grpc-status-details-bin`, or undefined where it is not one. */
export function decodeStatus(encoded: Uint8Array): Status | undefined {
  try {
    return Status.decode(encoded);
  } catch {
    return undefined;
  }
}

function detailToWire(detail: StatusDetail): Any {
  switch (detail.kind) {
    case 'retry-info':
      return packAny(
        'google.rpc.RetryInfo',
        RetryInfo.encode({ retryDelay: durationFromMilliseconds(detail.retryDelayMilliseconds) }).finish(),
      );
    case 'precondition-failure':
      return packAny(
        'google.rpc.PreconditionFailure',
        PreconditionFailure.encode({ violations: [...detail.violations] }).finish(),
      );
    case 'bad-request':
      return packAny(
        'google.rpc.BadRequest',
        BadRequest.encode({
          fieldViolations: detail.violations.map((each) => ({ ...each, reason: '', localizedMessage: undefined })),
        }).finish(),
      );
  }
}

function detailFromWire(any: Any): StatusDetail | undefined {
  try {
    switch (any.typeUrl) {
      case typeUrl('google.rpc.RetryInfo'): {
        const { retryDelay } = RetryInfo.decode(any.value);
        return { kind: 'retry-info', retryDelayMilliseconds: durationToMilliseconds(retryDelay) ?? 0 };
      }
      case typeUrl('google.rpc.PreconditionFailure'):
        return { kind: 'precondition-failure', violations: PreconditionFailure.decode(any.value).violations };
      case typeUrl('google.rpc.BadRequest'):
        return {
          kind: 'bad-request',
          violations: BadRequest.decode(any.value).fieldViolations.map(({ field, description }) => ({
            field,
            description,
          })),
        };
      default:
        return undefined;
    }
  } catch {
    return undefined;
  }
}
