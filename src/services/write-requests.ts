import { invalidArgument } from '../domain/status-error.ts';
import type { WriteRequest } from '../proto/google/bytestream/bytestream.ts';

/**
 * The messages of one ByteStream.Write, checked against each other as they come: one name, offsets without gap, and an
 * end.
 */
export class WriteRequests {
  /** As in the first message. */
  readonly resourceName: string;
  /** Where the first message begins. */
  readonly offset: number;
  readonly #first: WriteRequest;
  readonly #messages: AsyncIterator<WriteRequest>;
  #receivedBytes = 0;
  #finished = false;
  #ended = false;

  private constructor(first: WriteRequest, messages: AsyncIterator<WriteRequest>) {
    this.#first = first;
    this.#messages = messages;
    this.resourceName = first.resourceName;
    this.offset = Number(first.writeOffset);
  }

  /** Waits for the first message. @throws INVALID_ARGUMENT when there is none, or it has no name or a bad offset. */
  static async open(messages: AsyncIterable<WriteRequest>): Promise<WriteRequests> {
    const iterator = messages[Symbol.asyncIterator]();
    const first = await iterator.next();
    if (first.done) throw invalidArgument('resource_name', 'the stream ended before its first message');
    const requests = new WriteRequests(first.value, iterator);
    try {
      if (first.value.resourceName === '') throw invalidArgument('resource_name', 'is not set in the first message');
      if (first.value.writeOffset < 0n || !Number.isSafeInteger(requests.offset)) {
        throw invalidArgument('write_offset', `${first.value.writeOffset} is not between 0 and 2^53 - 1`);
      }
    } catch (cause) {
      requests.close();
      throw cause;
    }
    return requests;
  }

  /** Whether a message had finish_write. */
  get finished(): boolean {
    return this.#finished;
  }

  /** Whether all has come that was sent. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Bytes that came, in the form in which they were sent. */
  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /**
   * The bytes of all messages. To be consumed once. Ends with finish_write, without waiting for the client to close its
   * side: what a client sends behind that is not looked at.
   *
   * @throws INVALID_ARGUMENT
   */
  async *data(): AsyncGenerator<Uint8Array> {
    let message = this.#first;
    for (;;) {
      this.#check(message);
      this.#receivedBytes += message.data.byteLength;
      this.#finished = message.finishWrite;
      this.#ended = message.finishWrite;
      if (message.data.byteLength > 0) yield message.data;
      if (message.finishWrite) return;
      const next = await this.#messages.next();
      if (next.done) {
        this.#ended = true;
        return;
      }
      message = next.value;
    }
  }

  /** Reads what is still to come, and forgets it. */
  async drop(): Promise<void> {
    while (!(await this.#messages.next()).done);
  }

  /** No more messages are wanted. */
  close(): void {
    // Not awaited: the messages may be waiting for one that never comes.
    void Promise.resolve(this.#messages.return?.()).catch(() => {});
  }

  #check(message: WriteRequest): void {
    if (message === this.#first) return;
    if (message.resourceName !== '' && message.resourceName !== this.resourceName) {
      throw invalidArgument('resource_name', 'differs from that of the first message');
    }
    const expected = this.offset + this.#receivedBytes;
    if (message.writeOffset !== BigInt(expected)) {
      throw invalidArgument('write_offset', `is ${message.writeOffset}, but ${expected} comes next`);
    }
  }
}
