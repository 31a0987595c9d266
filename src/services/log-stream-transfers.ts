import { isFinished } from '../domain/job.ts';
import { type ActionStreamId, parseActionStreamId } from '../domain/log-stream.ts';
import type { LogStreamName } from '../domain/resource-name.ts';
import { StatusCode } from '../domain/status-code.ts';
import { invalidArgument, notFound, StatusError, unavailable } from '../domain/status-error.ts';
import { linkSignals, raceSignal } from '../lib/abort.ts';
import type { CallContext } from '../ports/call-context.ts';
import type { JobStore } from '../ports/job-store.ts';
import type { LogStreamState, LogStreamStore } from '../ports/log-stream-store.ts';
import type {
  QueryWriteStatusResponse,
  ReadRequest,
  ReadResponse,
  WriteResponse,
} from '../proto/google/bytestream/bytestream.ts';
import type { Instances } from './instances.ts';
import type { LogStreamNames } from './log-stream-names.ts';
import type { WriteRequests } from './write-requests.ts';

/** Hears of bytes that a stream has taken in or given out. Must not throw. */
export interface LogStreamObserver {
  logStreamMoved(operation: 'write' | 'read', bytes: number): void;
}

export interface LogStreamTransfersOptions {
  readonly instances: Instances;
  readonly store: LogStreamStore;
  readonly names: LogStreamNames;
  /** Tell whether an action that streams is still run. */
  readonly jobs: JobStore;
  readonly observer?: LogStreamObserver | undefined;
}

/** Bytes in one message to a reader. */
const CHUNK_BYTES = 256 * 1024;

/** How long a reader waits before it is looked whether its action goes on, in milliseconds. */
const LOOK_INTERVAL = 2_000;

/**
 * Looks without news after which the stream of an action that is over has ended, unfinished as it is: what its worker
 * still had to say has come by then.
 */
const QUIET_LOOKS = 2;

/** When a caller that is sent away should come again, in milliseconds: another replica serves it. */
const DRAINING_RETRY_DELAY = 100;

const NOTHING = new Uint8Array(0);

/** What a stream is called in the store: streams of different instances have nothing in common. */
export function logStreamKey({ instanceName, id }: Pick<LogStreamName, 'instanceName' | 'id'>): string {
  return `${instanceName}/${id}`;
}

/** ByteStream for the names of log streams. */
export class LogStreamTransfers {
  readonly #options: LogStreamTransfersOptions;

  constructor(options: LogStreamTransfersOptions) {
    this.#options = options;
  }

  /**
   * What is there from the offset on, then what comes, until the stream is finished. Bytes are taken from the store when
   * the client has taken those before: a slow one holds one piece in memory, and keeps nobody else.
   *
   * @throws NOT_FOUND when there is no such stream and none can come: its action has ended without writing it; OUT_OF_RANGE
   *   when the offset is negative or behind the end; INVALID_ARGUMENT; UNAVAILABLE with RetryInfo while the replica drains.
   */
  async *read(
    name: LogStreamName,
    { readOffset, readLimit }: ReadRequest,
    context: CallContext,
  ): AsyncIterable<ReadResponse> {
    const { store } = this.#options;
    const { signal, draining } = context;
    const key = this.#keyToRead(name);
    if (readOffset < 0n) throw new StatusError(StatusCode.OUT_OF_RANGE, `read_offset: ${readOffset} is negative`);
    if (readLimit < 0n) throw invalidArgument('read_limit', `${readLimit} is negative`);
    const action = parseActionStreamId(name.id);
    const isRun = () => this.#isRun(name.instanceName, action, signal);
    const begin = Number(readOffset);
    const end = readLimit === 0n ? Number.POSITIVE_INFINITY : begin + Number(readLimit);
    using either = linkSignals(signal, draining);
    let offset = begin;
    let quietLooks = 0;
    for (;;) {
      // Asked before the stream is read, so that the last word of an action that is over is not missed.
      const goesOn = quietLooks === 0 || action === undefined || (await isRun());
      const piece = await store.read(key, offset, Math.min(CHUNK_BYTES, end - offset), signal);
      if (piece === undefined && (offset > begin || !(await isRun()))) throw unknownStream();
      const size = piece?.size ?? 0;
      if (offset > size) {
        throw new StatusError(
          StatusCode.OUT_OF_RANGE,
          `read_offset: ${readOffset} lies behind the end of the log stream, which has ${size} bytes so far`,
        );
      }
      if (piece !== undefined && piece.data.byteLength > 0) {
        const { data } = piece;
        yield { data: Buffer.from(data.buffer, data.byteOffset, data.byteLength) };
        this.#options.observer?.logStreamMoved('read', data.byteLength);
        offset += data.byteLength;
        quietLooks = 0;
      }
      if (offset >= end || (piece?.finished === true && offset >= size)) return;
      if (offset < size) continue;
      if (!goesOn && quietLooks >= QUIET_LOOKS) return;
      await orLeave(context, store.awaitGrowth(key, offset, LOOK_INTERVAL, either.signal));
      quietLooks += 1;
    }
  }

  /**
   * Adds messages as they come. What was written before is passed over, so that a broken write may be repeated from any
   * offset up to the end.
   *
   * @throws as `LogStreamStore.append`; INVALID_ARGUMENT when the messages don't fit together or the name is for reading;
   *   NOT_FOUND when it ends in a token that is not the stream's; UNAVAILABLE with RetryInfo while the replica drains.
   */
  async write(name: LogStreamName, requests: WriteRequests, context: CallContext): Promise<WriteResponse> {
    const key = this.#keyToWrite(name);
    const create = parseActionStreamId(name.id) !== undefined;
    const { signal, draining } = context;
    const append = (offset: number, data: Uint8Array) =>
      this.#options.store.append(key, { offset, data, finish: requests.finished, create }, signal);
    const messages = requests.data();
    let { offset } = requests;
    let state: LogStreamState | undefined;
    for (;;) {
      const next = await orLeave(context, raceSignal(messages.next(), draining));
      if (next.done === true) break;
      state = await append(offset, next.value);
      this.#options.observer?.logStreamMoved('write', next.value.byteLength);
      offset += next.value.byteLength;
    }
    if (state === undefined || (requests.finished && !state.finished)) state = await append(offset, NOTHING);
    return { committedSize: BigInt(state.size) };
  }

  /**
   * How far a stream was written. Of an action's stream that has neither bytes nor readers the answer comes with the
   * first reader: workers ask before they write, and so write only what somebody reads.
   */
  async queryWriteStatus(name: LogStreamName, context: CallContext): Promise<QueryWriteStatusResponse> {
    const { store } = this.#options;
    const { signal, draining } = context;
    const key = this.#keyToWrite(name);
    const state = await store.state(key, signal);
    if (state !== undefined) return { committedSize: BigInt(state.size), complete: state.finished };
    if (parseActionStreamId(name.id) === undefined) throw unknownStream();
    using either = linkSignals(signal, draining);
    await orLeave(context, store.awaitReader(key, either.signal));
    return { committedSize: 0n, complete: false };
  }

  #keyToRead(name: LogStreamName): string {
    if (name.writeToken !== undefined) {
      throw invalidArgument('resource_name', 'is for writing; the name to read ends with the id of the stream');
    }
    return this.#key(name);
  }

  #keyToWrite(name: LogStreamName): string {
    if (name.writeToken === undefined) {
      throw invalidArgument('resource_name', 'is for reading; the name to write has a token behind the id');
    }
    const key = this.#key(name);
    if (!this.#options.names.mayWrite(name)) throw unknownStream();
    return key;
  }

  #key(name: LogStreamName): string {
    this.#options.instances.get(name.instanceName, 'resource_name');
    return logStreamKey(name);
  }

  /** Whether a bot runs the attempt whose stream it is. Of streams that are no action's nothing can be known. */
  async #isRun(instanceName: string, action: ActionStreamId | undefined, signal: AbortSignal): Promise<boolean> {
    if (action === undefined) return false;
    const job = await this.#options.jobs.get(action.jobId, signal);
    if (job?.instanceName !== instanceName || isFinished(job)) return false;
    return job.lease?.attempt === action.attempt;
  }
}

/** What a wait comes to, or UNAVAILABLE with RetryInfo when the replica drains. */
async function orLeave<T>({ signal, draining }: CallContext, wait: Promise<T>): Promise<T> {
  try {
    return await wait;
  } catch (cause) {
    signal.throwIfAborted();
    if (!draining.aborted) throw cause;
    throw unavailable('this replica is shutting down; another serves the log stream', DRAINING_RETRY_DELAY);
  }
}

function unknownStream(): StatusError {
  return notFound(
    'resource_name: there is no such log stream, or it was not used for too long, or its action did not write it',
  );
}
