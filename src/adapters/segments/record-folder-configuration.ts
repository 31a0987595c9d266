import { join } from 'node:path';
import type { RecordStoreOptions } from './record-store-options.ts';

/** What the configuration of a folder of small records says. */
export interface RecordFolderConfiguration {
  readonly directory: string;
  readonly maximumSizeBytes: number;
  readonly maximumCount?: number | undefined;
  readonly highWatermark: number;
  readonly lowWatermark: number;
  readonly minimumAgeSeconds: number;
  readonly durability: 'none' | 'sync';
  readonly openFiles: number;
}

const LEAST_SEGMENT_BYTES = 32 * 1024;

/**
 * What a record store in a folder is told, given what the folder's configuration says.
 *
 * @param largestSegmentBytes a folder that may hold less than 64 such segments has smaller ones.
 */
export function recordStoreOptions(
  configuration: RecordFolderConfiguration,
  largestSegmentBytes: number,
): RecordStoreOptions {
  const { directory, maximumSizeBytes } = configuration;
  return {
    directory: join(directory, 'segments'),
    maximumSizeBytes,
    maximumCount: configuration.maximumCount,
    highWatermark: configuration.highWatermark,
    lowWatermark: configuration.lowWatermark,
    minimumAgeMilliseconds: configuration.minimumAgeSeconds * 1000,
    segmentBytes: Math.min(largestSegmentBytes, Math.max(LEAST_SEGMENT_BYTES, maximumSizeBytes / 64)),
    sync: configuration.durability === 'sync',
    openFiles: configuration.openFiles,
  };
}
