import { statusCodeName } from '../../domain/status-code.ts';
import type { Platform, Digest as WireDigest } from '../../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import type { Duration } from '../../proto/google/protobuf/duration.ts';
import type { Timestamp } from '../../proto/google/protobuf/timestamp.ts';
import type { Status } from '../../proto/google/rpc/status.ts';
import { statusFromWire } from '../../wire/status.ts';
import { durationToMilliseconds, timestampToMilliseconds } from '../../wire/time.ts';

/*
 * Values of the protocol as the command line shows them, in text and in JSON alike: digests as HASH/SIZE, times as
 * ISO 8601, durations in seconds, codes and stages by name.
 */

/** `HASH/SIZE`, or undefined where it is unset. */
export function presentDigest(digest: WireDigest | undefined): string | undefined {
  return digest === undefined ? undefined : `${digest.hash}/${digest.sizeBytes}`;
}

/** ISO 8601 in UTC with milliseconds, or undefined where it is unset or out of range. */
export function presentTime(timestamp: Timestamp | undefined): string | undefined {
  const milliseconds = timestampToMilliseconds(timestamp);
  if (milliseconds === undefined || Math.abs(milliseconds) > 8.64e15) return undefined;
  return new Date(milliseconds).toISOString();
}

/** Seconds with a fraction, or undefined where it is unset. */
export function presentSeconds(duration: Duration | undefined): number | undefined {
  const milliseconds = durationToMilliseconds(duration);
  return milliseconds === undefined ? undefined : milliseconds / 1_000;
}

/** A status as clients see it, with the details that are known. */
export interface PresentedStatus {
  readonly code: string;
  readonly message: string;
  readonly details: readonly unknown[];
}

/** Undefined where it is unset or OK. */
export function presentStatus(status: Status | undefined): PresentedStatus | undefined {
  if (status === undefined || status.code === 0) return undefined;
  const { code, message, details } = statusFromWire(status);
  return { code: statusCodeName(code), message, details };
}

export interface PresentedProperty {
  readonly name: string;
  readonly value: string;
}

/** The properties, or undefined where the platform is unset. */
export function presentPlatform(platform: Platform | undefined): readonly PresentedProperty[] | undefined {
  return platform?.properties.map(({ name, value }) => ({ name, value }));
}

/** `name=value name=value`. */
export function propertiesText(properties: readonly PresentedProperty[] | undefined): string | undefined {
  return properties?.map(({ name, value }) => `${name}=${value}`).join(' ');
}

/** The name of an enum's value as in the protocol, or its number where it has none here. */
export function enumName(values: Readonly<Record<string, number>>, value: number): string {
  return Object.entries(values).find(([, number]) => number === value)?.[0] ?? String(value);
}
