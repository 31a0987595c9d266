import type { Duration } from '../proto/google/protobuf/duration.ts';
import type { Timestamp } from '../proto/google/protobuf/timestamp.ts';

/** Milliseconds of a duration, or undefined where it is unset. Beyond +-2^53 ms the number loses precision. */
export function durationToMilliseconds(duration: Duration | undefined): number | undefined {
  return duration === undefined ? undefined : Number(duration.seconds) * 1_000 + duration.nanos / 1e6;
}

export function durationFromMilliseconds(milliseconds: number): Duration {
  const seconds = Math.trunc(milliseconds / 1_000);
  return { seconds: BigInt(seconds), nanos: Math.round((milliseconds - seconds * 1_000) * 1e6) };
}

/** Milliseconds since the epoch, or undefined where it is unset. Precise to about a microsecond. */
export function timestampToMilliseconds(timestamp: Timestamp | undefined): number | undefined {
  return timestamp === undefined ? undefined : Number(timestamp.seconds) * 1_000 + timestamp.nanos / 1e6;
}

export function timestampFromMilliseconds(milliseconds: number): Timestamp {
  const seconds = Math.floor(milliseconds / 1_000);
  const nanos = Math.min(Math.round((milliseconds - seconds * 1_000) * 1e6), 999_999_999);
  return { seconds: BigInt(seconds), nanos };
}
