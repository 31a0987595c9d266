/** The status codes of gRPC, by name, with their numbers on the wire. */
export const StatusCode = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

export type StatusCode = (typeof StatusCode)[keyof typeof StatusCode];

const names = new Map<number, string>(Object.entries(StatusCode).map(([name, code]) => [code, name]));

/** The name of a code, or `CODE_<n>` for a number that is none. */
export function statusCodeName(code: number): string {
  return names.get(code) ?? `CODE_${code}`;
}

/** The code of this number; UNKNOWN for a number that is none, as gRPC asks. */
export function statusCodeFromNumber(code: number): StatusCode {
  return names.has(code) ? (code as StatusCode) : StatusCode.UNKNOWN;
}
