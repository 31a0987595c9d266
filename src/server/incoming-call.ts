import { setMaxListeners } from 'node:events';
import { status as GrpcStatus, Metadata, type ServerInterceptingCall } from '@grpc/grpc-js';
import { type StatusCode, statusCodeName } from '../domain/status-code.ts';
import { Deferred } from '../lib/deferred.ts';

/** A call of grpc-js below its surface: what an interceptor is given. */
export type InterceptedCall = ConstructorParameters<typeof ServerInterceptingCall>[0];

/** How a call ends. */
export interface CallStatus {
  readonly code: StatusCode;
  readonly details: string;
  readonly metadata?: Metadata;
}

/** What stands in for a request that was no valid message. The codec makes it, `receive` turns it into an error. */
export class MalformedMessage {
  readonly reason: unknown;

  constructor(reason: unknown) {
    this.reason = reason;
  }
}

/**
 * One call as it comes from grpc-js: messages in, messages out, one status.
 *
 * The only file that knows of back-pressure. Requests are read one at a time, when the handler asks for the next;
 * nothing more is taken from the connection meanwhile than its flow-control window. Of the responses, one is on its way
 * while the handler makes the next.
 */
export class IncomingCall<Request, Response> {
  readonly metadata: Metadata;
  readonly #call: InterceptedCall;
  readonly #abort = new AbortController();
  readonly #trailers = new Metadata();
  #reading: Deferred<unknown> | undefined;
  #sending: Deferred<void> | undefined;
  #finished = false;

  private constructor(call: InterceptedCall, metadata: Metadata) {
    this.#call = call;
    this.metadata = metadata;
    // A call that reads a hundred blobs at once has a hundred listeners, and that is no leak.
    setMaxListeners(0, this.#abort.signal);
  }

  /** Takes a call over, and hands it to `serve` as soon as its headers are there. */
  static accept<Request, Response>(
    call: InterceptedCall,
    serve: (incoming: IncomingCall<Request, Response>) => void,
  ): void {
    let incoming: IncomingCall<Request, Response> | undefined;
    call.start({
      onReceiveMetadata(metadata) {
        incoming = new IncomingCall(call, metadata);
        serve(incoming);
      },
      onReceiveMessage: (message) => incoming !== undefined && incoming.#onMessage(message),
      onReceiveHalfClose: () => incoming !== undefined && incoming.#onMessage(undefined),
      onCancel: () => incoming !== undefined && incoming.#onCancel(),
    });
  }

  /** Aborted when the client is gone or its deadline has passed, and by `abort`; never because the call ended well. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get peer(): string {
    return this.#call.getPeer();
  }

  /** When the client stops waiting, in milliseconds since the epoch, or Infinity. */
  get deadline(): number {
    return Number(this.#call.getDeadline());
  }

  get trailers(): Metadata {
    return this.#trailers;
  }

  /** The next request; undefined once the client has sent all. @throws the signal's reason. */
  async receive(): Promise<Request | MalformedMessage | undefined> {
    this.signal.throwIfAborted();
    const reading = new Deferred<unknown>();
    this.#reading = reading;
    // What has arrived already is handed over before this returns.
    this.#call.startRead();
    return (await reading.promise) as Request | MalformedMessage | undefined;
  }

  /** Sends a response as soon as the one before is out. @throws the signal's reason. */
  async send(message: Response): Promise<void> {
    await this.#sending?.promise;
    this.signal.throwIfAborted();
    const sending = new Deferred<void>();
    // Nobody may be waiting when the client goes.
    sending.promise.catch(() => {});
    this.#sending = sending;
    this.#call.sendMessage(message, () => sending.resolve());
  }

  /** Ends the call. Ignored when the client has gone. */
  finish(status: CallStatus): void {
    if (this.#finished) return;
    this.#finished = true;
    const metadata = status.metadata ?? new Metadata();
    metadata.merge(this.#trailers);
    const code = GrpcStatus[statusCodeName(status.code) as keyof typeof GrpcStatus];
    this.#call.sendStatus({ code, details: status.details, metadata });
  }

  /** Tells the handler to end at once. */
  abort(reason: unknown): void {
    if (this.#finished) return;
    this.#abort.abort(reason);
    this.#reading?.reject(reason);
    this.#sending?.reject(reason);
  }

  #onMessage(message: unknown): void {
    this.#reading?.resolve(message);
    this.#reading = undefined;
  }

  /** grpc-js says so after a call that ended well, too. */
  #onCancel(): void {
    if (this.#finished) return;
    this.abort(new DOMException('the client has gone or its deadline has passed', 'AbortError'));
    this.#finished = true;
  }
}
