import { deadlineSignal } from '../../../lib/abort.ts';
import type { Clock } from '../../../lib/clock.ts';
import {
  type LogStreamAppend,
  type LogStreamPiece,
  type LogStreamState,
  type LogStreamStore,
  READER_LIFE,
} from '../../../ports/log-stream-store.ts';
import { type AppendRefusal, appendError } from '../log-stream-errors.ts';
import type { LogStreamLimits } from '../log-streams-configuration.ts';
import { isNewsFor, Waiters } from '../waiters.ts';

const NOTHING = Buffer.alloc(0);

/** The capacity that a stream begins with. */
const FIRST_CAPACITY = 4 * 1024;

interface Stream {
  buffer: Buffer;
  size: number;
  finished: boolean;
  /** On the clock's monotonic time. */
  usedAt: number;
}

/** Log streams of a farm of one process: in its memory, and gone with it. */
export class InProcessLogStreamStore implements LogStreamStore {
  readonly #clock: Clock;
  readonly #limits: LogStreamLimits;
  /** The longest unused first. */
  readonly #streams = new Map<string, Stream>();
  /** Until when each stream has a reader, the soonest first. */
  readonly #readers = new Map<string, number>();
  readonly #growth = new Waiters<LogStreamState | undefined>();
  readonly #reading = new Waiters<void>();
  #bytes = 0;
  #sweepIsDue = false;
  #secret: string | undefined;

  constructor(clock: Clock, limits: LogStreamLimits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  async create(key: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#find(key) !== undefined) return;
    if (!this.#makeRoom(key, 0)) throw appendError('full', 0, this.#limits.maximumStreamBytes);
    this.#use(key, { buffer: NOTHING, size: 0, finished: false, usedAt: 0 });
  }

  async append(key: string, addition: LogStreamAppend, signal: AbortSignal): Promise<LogStreamState> {
    signal.throwIfAborted();
    const known = this.#find(key);
    const { size, finished } = known ?? { size: 0, finished: false };
    const refuse = (refusal: AppendRefusal) => appendError(refusal, size, this.#limits.maximumStreamBytes);
    if (known === undefined && !addition.create) throw refuse('absent');
    if (addition.offset > size) throw refuse('gap');
    const fresh = addition.data.subarray(size - addition.offset);
    if (finished && fresh.byteLength > 0) throw refuse('finished');
    if (size + fresh.byteLength > this.#limits.maximumStreamBytes) throw refuse('too-long');
    if (!this.#makeRoom(key, fresh.byteLength)) throw refuse('full');
    const stream = known ?? { buffer: NOTHING, size, finished, usedAt: 0 };
    write(stream, fresh);
    this.#bytes += fresh.byteLength;
    stream.finished = finished || addition.finish;
    this.#use(key, stream);
    const state = stateOf(stream);
    this.#growth.tell(key, state);
    return state;
  }

  async state(key: string, signal: AbortSignal): Promise<LogStreamState | undefined> {
    signal.throwIfAborted();
    const stream = this.#find(key);
    return stream === undefined ? undefined : stateOf(stream);
  }

  async read(key: string, offset: number, maxBytes: number, signal: AbortSignal): Promise<LogStreamPiece | undefined> {
    signal.throwIfAborted();
    const stream = this.#find(key);
    if (stream === undefined) return undefined;
    this.#use(key, stream);
    return { ...stateOf(stream), data: stream.buffer.subarray(offset, Math.min(offset + maxBytes, stream.size)) };
  }

  async awaitGrowth(key: string, size: number, milliseconds: number, signal: AbortSignal): Promise<void> {
    this.#readers.delete(key);
    this.#readers.set(key, this.#clock.monotonic() + READER_LIFE);
    this.#armSweep();
    this.#reading.tell(key);
    const stream = this.#find(key);
    if (stream !== undefined) this.#use(key, stream);
    if (isNewsFor(size)(stream)) return;
    using bounded = deadlineSignal(this.#clock, milliseconds, signal);
    await this.#growth.wait(key, isNewsFor(size), bounded.signal).catch((cause: unknown) => {
      signal.throwIfAborted();
      if (!bounded.signal.aborted) throw cause;
    });
  }

  async awaitReader(key: string, signal: AbortSignal): Promise<void> {
    if ((this.#readers.get(key) ?? 0) > this.#clock.monotonic()) return;
    await this.#reading.wait(key, () => true, signal);
  }

  async shareSecret(proposal: string): Promise<string> {
    this.#secret ??= proposal;
    return this.#secret;
  }

  #find(key: string): Stream | undefined {
    this.#forgetOld();
    return this.#streams.get(key);
  }

  /** The most recently used goes to the end of the order. */
  #use(key: string, stream: Stream): void {
    stream.usedAt = this.#clock.monotonic();
    this.#streams.delete(key);
    this.#streams.set(key, stream);
    this.#armSweep();
  }

  #forgetOld(): void {
    const now = this.#clock.monotonic();
    for (const [key, { usedAt }] of this.#streams) {
      if (now - usedAt < this.#limits.retentionMilliseconds) break;
      this.#forget(key);
    }
    for (const [key, until] of this.#readers) {
      if (until > now) break;
      this.#readers.delete(key);
    }
  }

  #forget(key: string): void {
    this.#bytes -= this.#streams.get(key)?.size ?? 0;
    this.#streams.delete(key);
    this.#growth.tell(key, undefined);
  }

  /** Whether there is room for so many more bytes in this stream, after finished ones have made way. */
  #makeRoom(key: string, bytes: number): boolean {
    const { maximumStreams, maximumTotalBytes } = this.#limits;
    const lacks = () =>
      this.#bytes + bytes > maximumTotalBytes || (!this.#streams.has(key) && this.#streams.size >= maximumStreams);
    for (const [other, { finished }] of this.#streams) {
      if (!lacks()) return true;
      if (finished && other !== key) this.#forget(other);
    }
    return !lacks();
  }

  /** What nobody asks for goes, too. */
  #armSweep(): void {
    if (this.#sweepIsDue) return;
    this.#sweepIsDue = true;
    this.#clock.setTimer(Math.max(this.#limits.retentionMilliseconds, READER_LIFE), () => {
      this.#sweepIsDue = false;
      this.#forgetOld();
      if (this.#streams.size + this.#readers.size > 0) this.#armSweep();
    });
  }
}

function stateOf({ size, finished }: Stream): LogStreamState {
  return { size, finished };
}

/** What was given to readers stays as it is: bytes are only ever written behind it. */
function write(stream: Stream, data: Uint8Array): void {
  const needed = stream.size + data.byteLength;
  if (needed > stream.buffer.byteLength) {
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, 2 * stream.buffer.byteLength, FIRST_CAPACITY));
    stream.buffer.copy(grown, 0, 0, stream.size);
    stream.buffer = grown;
  }
  stream.buffer.set(data, stream.size);
  stream.size = needed;
}
