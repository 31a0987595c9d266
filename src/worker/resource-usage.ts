import { constants } from 'node:os';
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import type { ResourceUsage } from '../ports/runner.ts';
import type { Any } from '../proto/google/protobuf/any.ts';
import { Duration } from '../proto/google/protobuf/duration.ts';
import { packAny } from '../wire/any.ts';
import { durationFromMilliseconds } from '../wire/time.ts';

/**
 * Packs what an action used as `buildbarn.resourceusage.POSIXResourceUsage`: the one message for
 * ExecutedActionMetadata.auxiliary_metadata that tools of the field read already.
 *
 * @param signal the number of the signal that ended the action, or undefined: it tells a process that was killed from
 *   one that ended with exit code 128 + n.
 */
export function packResourceUsage(usage: ResourceUsage | undefined, signal: number | undefined): Any {
  const writer = new BinaryWriter();
  if (usage !== undefined) {
    writer.uint32(tag(1)).bytes(encodeDuration(usage.userMilliseconds));
    writer.uint32(tag(2)).bytes(encodeDuration(usage.systemMilliseconds));
    const numbers: ReadonlyArray<readonly [field: number, value: number]> = [
      [3, usage.maximumResidentSetBytes],
      [7, usage.minorPageFaults],
      [8, usage.majorPageFaults],
      [10, usage.blockInputOperations],
      [11, usage.blockOutputOperations],
      [15, usage.voluntaryContextSwitches],
      [16, usage.involuntaryContextSwitches],
    ];
    for (const [field, value] of numbers) if (value !== 0) writer.uint32(field << 3).int64(value);
  }
  if (signal !== undefined) writer.uint32(tag(17)).string(signalName(signal));
  return packAny('buildbarn.resourceusage.POSIXResourceUsage', writer.finish());
}

/** The signal's name without `SIG`, such as `KILL`. */
function signalName(signal: number): string {
  const known = Object.entries(constants.signals).find(([, number]) => number === signal);
  return known === undefined ? String(signal) : known[0].slice('SIG'.length);
}

function tag(field: number): number {
  return (field << 3) | 2;
}

function encodeDuration(milliseconds: number): Uint8Array {
  return Duration.encode(durationFromMilliseconds(milliseconds)).finish();
}
