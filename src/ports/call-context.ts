/**
 * What a service sees of the call that it answers: all of gRPC that may be seen above the plumbing of `server/`.
 *
 * Services are classes whose methods are named as the calls of the protocol, in camel case, and have one of the four
 * shapes below.
 */
export interface CallContext {
  /** Aborted when the client has gone, the deadline has passed or the process must end at once. */
  readonly signal: AbortSignal;
  /** Aborted when the replica begins to drain: calls that wait for something end with UNAVAILABLE and RetryInfo. */
  readonly draining: AbortSignal;
  /** The caller's address, for logs. */
  readonly peer: string;
  /** Milliseconds that the caller still waits, or undefined when it set no deadline. May be absurdly large. */
  remainingMilliseconds(): number | undefined;
  /** The first value of a header, or undefined. */
  header(name: string): string | undefined;
  /** Every value of a header whose name ends in `-bin`; a header can come more than once. */
  binaryHeaders(name: string): readonly Uint8Array[];
  /** Names of all headers, in lower case. */
  headerNames(): readonly string[];
  /** Adds trailing metadata, sent with the status. Binary values need a name that ends in `-bin`. */
  addTrailer(name: string, value: string | Uint8Array): void;
}

export type UnaryMethod<Request, Response> = (request: Request, context: CallContext) => Promise<Response>;
export type ServerStreamMethod<Request, Response> = (request: Request, context: CallContext) => AsyncIterable<Response>;
export type ClientStreamMethod<Request, Response> = (
  requests: AsyncIterable<Request>,
  context: CallContext,
) => Promise<Response>;
