import {
  Channel,
  type ChannelOptions,
  credentials,
  status as GrpcStatus,
  Metadata,
  type StatusObject,
} from '@grpc/grpc-js';
import type { RequestMetadata } from '../../domain/request-metadata.ts';
import { StatusCode } from '../../domain/status-code.ts';
import { StatusError } from '../../domain/status-error.ts';
import { linkSignals, raceSignal } from '../../lib/abort.ts';
import type { Clock } from '../../lib/clock.ts';
import type { TlsContents } from '../../lib/tls-files.ts';
import { encodeRequestMetadata, REQUEST_METADATA_HEADER } from '../../wire/request-metadata.ts';
import { errorOfCall } from './call-status.ts';
import type { Endpoint } from './endpoint.ts';
import { type RawCall, ServerConnection } from './server-connection.ts';

export interface GrpcChannelOptions {
  readonly endpoint: Endpoint;
  readonly clock: Clock;
  /** Used when the endpoint asks for TLS. */
  readonly tls?: TlsContents;
  /** Sent with each call as `authorization: Bearer <token>`. */
  readonly bearerToken?: string;
  /** Sent with each call that brings none of its own: which tool, which build. */
  readonly requestMetadata?: Partial<RequestMetadata>;
  /**
   * Connections to spread calls over. One HTTP/2 connection is served by one process of the server; more let bulk
   * transfers use more of its processes and keep small calls from waiting behind them. Defaults to 1.
   */
  readonly connections?: number;
  /**
   * Bytes that the server may send ahead of what has been read, per connection and per stream. With HTTP/2's own 64 KiB
   * a link of 5 ms each way carries 3 MB/s. Defaults to 8 MiB.
   */
  readonly flowControlWindow?: number;
  /** The largest message taken, in bytes. Defaults to 64 MiB, above what servers allow for a batch. */
  readonly maxReceiveMessageBytes?: number;
  /** Milliseconds that connecting may take before it begins anew; calls that wait are UNAVAILABLE. Defaults to 20 000. */
  readonly connectTimeoutMilliseconds?: number;
  /** Milliseconds without traffic after which a call's connection is probed. Defaults to 60 000. */
  readonly keepaliveTimeMilliseconds?: number;
  /** Milliseconds that the answer to that may take before the connection counts as lost. Defaults to 20 000. */
  readonly keepaliveTimeoutMilliseconds?: number;
}

/** What a call may bring beside its request. */
export interface CallOptions {
  /** Milliseconds until the call fails with DEADLINE_EXCEEDED; sent to the server. Defaults to none. */
  readonly deadlineMilliseconds?: number;
  /** Values of names that end in `-bin` are bytes, all others text. */
  readonly headers?: Readonly<Record<string, string | Uint8Array>>;
  /** Replaces the channel's. */
  readonly requestMetadata?: Partial<RequestMetadata>;
  /** Called once with the server's headers, before the first message. */
  readonly onHeaders?: (headers: Metadata) => void;
  /** Called once with the trailers, before the call settles. */
  readonly onTrailers?: (trailers: Metadata) => void;
}

/** A call of a generated service, as in `ActionCacheService.getActionResult`. */
export interface MethodDefinition<Request, Response> {
  readonly path: string;
  requestSerialize(request: Request): Buffer;
  responseDeserialize(bytes: Buffer): Response;
}

/** Channels of one process to one server have connections of their own; grpc-js would share them all. */
const LOCAL_SUBCHANNELS = 1;

/** Ends what feeds a call that is over. Nobody sees it, and one made for each call would cost more than the call's answer. */
const SETTLED = new Error('the call is over');

/**
 * Calls to one server, as promises and async iterables.
 *
 * Works on the channel below grpc-js' own client: one message is asked for when one is wanted, and one is sent when the
 * one before has gone out, so that what is in memory is a message and the flow-control window. A failed call throws a
 * StatusError with the server's details; a call whose signal is aborted is cancelled on the server, and throws the
 * signal's reason.
 */
export class GrpcChannel {
  readonly endpoint: Endpoint;
  readonly #options: GrpcChannelOptions;
  readonly #connections: readonly ServerConnection[];
  readonly #requestMetadata: Uint8Array | undefined;

  constructor(options: GrpcChannelOptions) {
    this.endpoint = options.endpoint;
    this.#options = options;
    this.#requestMetadata =
      options.requestMetadata === undefined ? undefined : encodeRequestMetadata(options.requestMetadata);
    const length = options.connections ?? 1;
    const { clock, connectTimeoutMilliseconds = 20_000 } = options;
    const open = () => createChannel(options);
    this.#connections = Array.from(
      { length },
      () => new ServerConnection({ open, connectTimeout: connectTimeoutMilliseconds, clock }),
    );
  }

  /** Sends one message, awaits one. */
  unary<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    options: CallOptions,
    signal: AbortSignal,
  ): Promise<Response> {
    return this.#awaitOne(method, options, signal, (call) => {
      call.sendMessageWithContext({}, method.requestSerialize(request));
      call.halfClose();
      return Promise.resolve();
    });
  }

  /**
   * Sends one message, gives what comes back as it is pulled. The call begins with the first pull, and is cancelled when
   * the consumer leaves before its end.
   */
  async *serverStream<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    options: CallOptions,
    signal: AbortSignal,
  ): AsyncGenerator<Response, void, undefined> {
    signal.throwIfAborted();
    const { call, release } = this.#createCall(method.path, options);
    let message: Buffer | undefined;
    let status: StatusObject | undefined;
    let wake: (() => void) | undefined;
    const onAbort = () => call.cancelWithStatus(GrpcStatus.CANCELLED, 'cancelled by the caller');
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      call.start(this.#metadata(options), {
        onReceiveMetadata: (headers) => options.onHeaders?.(headers),
        onReceiveMessage: (bytes: Buffer) => {
          message = bytes;
          wake?.();
        },
        onReceiveStatus: (received) => {
          status = received;
          wake?.();
        },
      });
      call.sendMessageWithContext({}, method.requestSerialize(request));
      call.halfClose();
      for (;;) {
        call.startRead();
        if (message === undefined && status === undefined) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
          wake = undefined;
        }
        if (message !== undefined) {
          const bytes = message;
          message = undefined;
          yield decode(method, bytes);
        } else if (status !== undefined) {
          options.onTrailers?.(status.metadata);
          if (status.code === GrpcStatus.OK) return;
          signal.throwIfAborted();
          throw errorOfCall(status, method.path);
        }
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      if (status === undefined) call.cancelWithStatus(GrpcStatus.CANCELLED, 'the caller wants no more');
      release();
    }
  }

  /**
   * Sends what `requests` gives, awaits one message. When the server answers before the end, the rest is not asked for.
   *
   * @throws what `requests` throws, unchanged, after the call was cancelled.
   */
  clientStream<Request, Response>(
    method: MethodDefinition<Request, Response>,
    requests: AsyncIterable<Request>,
    options: CallOptions,
    signal: AbortSignal,
  ): Promise<Response> {
    return this.#awaitOne(method, options, signal, async (call, settled) => {
      const iterator = requests[Symbol.asyncIterator]();
      let exhausted = false;
      try {
        for (;;) {
          const next = await raceSignal(iterator.next(), settled);
          if (next.done === true) {
            exhausted = true;
            break;
          }
          await raceSignal(send(call, method.requestSerialize(next.value)), settled);
        }
        call.halfClose();
      } finally {
        // Not awaited: a generator that hangs in a pull can't return, and nobody waits for what it holds.
        if (!exhausted) iterator.return?.().catch(() => {});
      }
    });
  }

  /** Ends all connections. Calls under way fail with UNAVAILABLE. */
  close(): void {
    for (const connection of this.#connections) connection.close();
  }

  /** Runs a call that is answered by one message; `feed` sends the requests, until its signal is aborted. */
  #awaitOne<Request, Response>(
    method: MethodDefinition<Request, Response>,
    options: CallOptions,
    signal: AbortSignal,
    feed: (call: RawCall, settled: AbortSignal) => Promise<void>,
  ): Promise<Response> {
    return new Promise<Response>((resolve, reject) => {
      signal.throwIfAborted();
      const { call, release } = this.#createCall(method.path, options);
      const settled = linkSignals();
      let message: Buffer | undefined;
      let failure: { readonly reason: unknown } | undefined;
      const cancel = (reason: unknown) => {
        failure ??= { reason };
        call.cancelWithStatus(GrpcStatus.CANCELLED, 'cancelled by the caller');
      };
      const onAbort = () => cancel(signal.reason);
      signal.addEventListener('abort', onAbort, { once: true });
      const settle = (status: StatusObject) => {
        signal.removeEventListener('abort', onAbort);
        release();
        settled.abort(SETTLED);
        try {
          options.onTrailers?.(status.metadata);
          if (failure !== undefined) throw failure.reason;
          if (status.code !== GrpcStatus.OK) throw errorOfCall(status, method.path);
          if (message === undefined) {
            throw new StatusError(StatusCode.INTERNAL, `${method.path} ended well but without an answer`);
          }
          resolve(decode(method, message));
        } catch (thrown) {
          reject(thrown);
        }
      };
      call.start(this.#metadata(options), {
        onReceiveMetadata: (headers) => options.onHeaders?.(headers),
        onReceiveMessage: (bytes: Buffer) => {
          message = bytes;
          call.startRead();
        },
        onReceiveStatus: settle,
      });
      call.startRead();
      const feeding = new Promise<void>((done) => {
        done(feed(call, settled.signal));
      });
      feeding.catch((reason: unknown) => {
        if (!settled.signal.aborted) cancel(reason);
      });
    });
  }

  #createCall(path: string, options: CallOptions): { readonly call: RawCall; readonly release: () => void } {
    let connection = this.#connections[0];
    for (const each of this.#connections)
      if (connection === undefined || each.calls < connection.calls) connection = each;
    if (connection === undefined) throw new RangeError('a channel needs at least one connection');
    const { deadlineMilliseconds } = options;
    const deadline =
      deadlineMilliseconds === undefined ? Number.POSITIVE_INFINITY : this.#options.clock.now() + deadlineMilliseconds;
    const call = createRawCall(connection, path, deadline, this.endpoint);
    connection.calls += 1;
    let released = false;
    return {
      call,
      release: () => {
        if (!released) connection.calls -= 1;
        released = true;
      },
    };
  }

  #metadata(options: CallOptions): Metadata {
    const metadata = new Metadata();
    const { bearerToken } = this.#options;
    if (bearerToken !== undefined) metadata.set('authorization', `Bearer ${bearerToken}`);
    const own = options.requestMetadata;
    const requestMetadata = own === undefined ? this.#requestMetadata : encodeRequestMetadata(own);
    if (requestMetadata !== undefined) metadata.set(REQUEST_METADATA_HEADER, Buffer.from(requestMetadata));
    for (const [name, value] of Object.entries(options.headers ?? {})) {
      metadata.set(name, typeof value === 'string' ? value : Buffer.from(value));
    }
    return metadata;
  }
}

function createChannel(options: GrpcChannelOptions): Channel {
  const { endpoint, tls = {} } = options;
  const channelOptions: ChannelOptions = {
    'grpc-node.flow_control_window': options.flowControlWindow ?? 8 << 20,
    'grpc.max_receive_message_length': options.maxReceiveMessageBytes ?? 64 << 20,
    'grpc.max_send_message_length': -1,
    'grpc.keepalive_time_ms': options.keepaliveTimeMilliseconds ?? 60_000,
    'grpc.keepalive_timeout_ms': options.keepaliveTimeoutMilliseconds ?? 20_000,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 5_000,
    'grpc.use_local_subchannel_pool': LOCAL_SUBCHANNELS,
    'grpc.service_config_disable_resolution': 1,
  };
  const channelCredentials = endpoint.tls
    ? credentials.createSsl(tls.authorities ?? null, tls.privateKey ?? null, tls.certificate ?? null)
    : credentials.createInsecure();
  return new Channel(endpoint.target, channelCredentials, channelOptions);
}

function createRawCall(connection: ServerConnection, path: string, deadline: number, endpoint: Endpoint): RawCall {
  try {
    return connection.createCall(path, deadline);
  } catch (cause) {
    throw new StatusError(StatusCode.UNAVAILABLE, `the channel to ${endpoint.displayName} is closed`, { cause });
  }
}

function decode<Response>(method: MethodDefinition<never, Response>, bytes: Buffer): Response {
  try {
    return method.responseDeserialize(bytes);
  } catch (cause) {
    throw new StatusError(StatusCode.INTERNAL, `the server's answer to ${method.path} can't be read`, { cause });
  }
}

/** Resolves when the message has gone out, or never when the call ends first. */
function send(call: RawCall, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    call.sendMessageWithContext({ callback: () => resolve() }, bytes);
  });
}
