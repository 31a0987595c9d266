/** What is known of a log stream. */
export interface LogStreamState {
  /** Bytes written so far. */
  readonly size: number;
  /** Whether its writer has said that nothing follows. */
  readonly finished: boolean;
}

/** A part of a log stream. */
export interface LogStreamPiece extends LogStreamState {
  /** Empty at the end of what is written. */
  readonly data: Uint8Array;
}

/** What a writer adds. */
export interface LogStreamAppend {
  /** Where in the stream `data` begins; what of it is written already is passed over, so that a write may be repeated. */
  readonly offset: number;
  readonly data: Uint8Array;
  /** Nothing follows. */
  readonly finish: boolean;
  /** Whether a stream that is not there begins with this. */
  readonly create: boolean;
}

/** How long somebody counts as a reader after `awaitGrowth` began, in milliseconds, unless it goes on. */
export const READER_LIFE = 30_000;

/**
 * Logs that grow: one writes, many read, each at its own pace, through any replica.
 *
 * Bounded in size, in number and in time: a stream is forgotten when it was neither written nor read for the configured
 * retention, and finished ones sooner where room is needed. Nothing is stored of a stream before its first byte, unless
 * it was created.
 *
 * A stream's key is any text; whoever makes keys sees to it that they can't be guessed where that matters.
 */
export interface LogStreamStore {
  /** Makes an empty stream. @throws RESOURCE_EXHAUSTED with RetryInfo when there are too many. */
  create(key: string, signal: AbortSignal): Promise<void>;

  /**
   * Adds to the end; readers hear of it.
   *
   * @throws NOT_FOUND when there is no such stream and `create` is not set; OUT_OF_RANGE when bytes before the offset are
   *   missing; FAILED_PRECONDITION when more is added to a finished stream; RESOURCE_EXHAUSTED when the stream would be
   *   too long, or, with RetryInfo, when there is no room for any. What throws has changed nothing.
   */
  append(key: string, addition: LogStreamAppend, signal: AbortSignal): Promise<LogStreamState>;

  /** Undefined where there is no such stream. */
  state(key: string, signal: AbortSignal): Promise<LogStreamState | undefined>;

  /** Up to `maxBytes` from `offset` on, without waiting; undefined where there is no such stream. */
  read(key: string, offset: number, maxBytes: number, signal: AbortSignal): Promise<LogStreamPiece | undefined>;

  /**
   * Resolves when the stream has more than `size` bytes, is finished or gone, or when `milliseconds` have passed. The
   * caller counts as a reader of the stream, be it there already or not.
   */
  awaitGrowth(key: string, size: number, milliseconds: number, signal: AbortSignal): Promise<void>;

  /** Resolves when the stream has a reader, who came now or is still waiting. */
  awaitReader(key: string, signal: AbortSignal): Promise<void>;

  /** The secret that all replicas of the farm have in common: the first that any of them proposed. */
  shareSecret(proposal: string, signal: AbortSignal): Promise<string>;
}
