import { z } from 'zod';

const KIBIBYTE = 1024;
const MEBIBYTE = 1024 ** 2;

/** Bounds of all log streams together. */
export interface LogStreamLimits {
  readonly maximumStreamBytes: number;
  readonly maximumTotalBytes: number;
  readonly maximumStreams: number;
  readonly retentionMilliseconds: number;
}

/** Into how many parts the streams of a farm are divided in Redis; bounds hold for each part. */
export const LOG_STREAM_SHARDS = 16;

/** Configuration of log streams. Example: `{ maximumStreamBytes: 16777216, retentionSeconds: 600 }`. */
export const logStreamsSchema = z
  .strictObject({
    actions: z
      .boolean()
      .default(true)
      .describe(
        'Whether bots and clients are told the names of streams for what an action prints while it runs; default true. ' +
          'Nothing is sent or stored for actions that nobody watches.',
      ),
    maximumStreamBytes: z
      .int()
      .min(64 * KIBIBYTE)
      .max(64 * MEBIBYTE)
      .default(16 * MEBIBYTE)
      .describe('The longest stream, in bytes; default 16 MiB. Writers of more get RESOURCE_EXHAUSTED.'),
    maximumTotalBytes: z
      .int()
      .min(LOG_STREAM_SHARDS * 64 * KIBIBYTE)
      .default(256 * MEBIBYTE)
      .describe(
        'All streams together, in bytes; default 256 MiB. Beyond it finished streams go, the longest unused first. In ' +
          'memory; with Redis in that of Redis, where it holds for each of 16 parts.',
      ),
    maximumStreams: z.int().min(LOG_STREAM_SHARDS).default(16_000).describe('How many there may be; default 16 000.'),
    retentionSeconds: z
      .number()
      .positive()
      .default(600)
      .describe('Seconds after which a stream is forgotten that nobody writes or reads; default 600.'),
  })
  .refine((each) => each.maximumTotalBytes >= LOG_STREAM_SHARDS * each.maximumStreamBytes, {
    path: ['maximumTotalBytes'],
    message: `must be at least ${LOG_STREAM_SHARDS} times maximumStreamBytes`,
  })
  .prefault({});

export type LogStreamsConfiguration = z.output<typeof logStreamsSchema>;

/** The bounds that a configuration sets. */
export function logStreamLimits(configuration: LogStreamsConfiguration): LogStreamLimits {
  const { maximumStreamBytes, maximumTotalBytes, maximumStreams, retentionSeconds } = configuration;
  return {
    maximumStreamBytes,
    maximumTotalBytes,
    maximumStreams,
    retentionMilliseconds: retentionSeconds * 1_000,
  };
}
