import {
  type CallOptions as ChannelCallOptions,
  type ChannelOptions,
  Client,
  type ClientReadableStream,
  type ClientWritableStream,
  credentials,
  Metadata,
  type MethodDefinition,
  type ServiceError,
  status as statusCodes,
} from '@grpc/grpc-js';
import { statusCodeName } from '../../src/domain/status-code.ts';
import { BadRequest, PreconditionFailure, RetryInfo } from '../../src/proto/google/rpc/error_details.ts';
import { Status } from '../../src/proto/google/rpc/status.ts';

/** What a test may set on one call. */
export interface CallOptions {
  readonly headers?: Readonly<Record<string, string | Buffer | readonly Buffer[]>>;
  /** Milliseconds until the call's deadline. Defaults to 20 000; null for none at all. */
  readonly deadline?: number | null;
  /** Cancels a unary call when aborted. */
  readonly signal?: AbortSignal;
}

/** An answer with its trailing metadata. */
export interface Reply<Response> {
  readonly response: Response;
  readonly trailers: Metadata;
}

/** A stream of the server that a test reads and may break off. */
export interface ServerStream<Response> extends AsyncIterable<Response> {
  cancel(): void;
}

/** An upload that the test drives message by message. */
export interface ClientStream<Request, Response> {
  /** Resolves once the message may be followed by another, or the call has ended. */
  write(request: Request): Promise<void>;
  end(): void;
  cancel(): void;
  readonly result: Promise<Response>;
}

const { OK } = statusCodes;
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

/**
 * A raw client for tests: generated codecs over grpc-js and nothing else, so that no fault of our own client hides one
 * of the server. Calls go round robin over all addresses, which shows what replicas fail to share.
 */
export class WireClient {
  readonly addresses: readonly string[];
  readonly #channels: readonly Client[];
  #next = 0;

  constructor(addresses: readonly string[], options: ChannelOptions = {}) {
    this.addresses = addresses;
    this.#channels = addresses.map(
      (address) =>
        new Client(address, credentials.createInsecure(), {
          'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
          'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
          'grpc-node.flow_control_window': 8 * 1024 * 1024,
          'grpc.use_local_subchannel_pool': 1,
          ...options,
        }),
    );
  }

  close(): void {
    for (const channel of this.#channels) channel.close();
  }

  async unary<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    options: CallOptions = {},
  ): Promise<Response> {
    return (await this.unaryWithTrailers(method, request, options)).response;
  }

  unaryWithTrailers<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    options: CallOptions = {},
  ): Promise<Reply<Response>> {
    return new Promise((resolve, reject) => {
      let response: Response | undefined;
      const call = this.#channel().makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        metadata(options),
        channelOptions(options),
        (error: ServiceError | null, value?: Response) => {
          if (error !== null) reject(error);
          else response = value;
        },
      );
      options.signal?.addEventListener('abort', () => call.cancel(), { once: true });
      call.on('status', (status) => {
        if (status.code === OK) resolve({ response: response as Response, trailers: status.metadata });
      });
    });
  }

  serverStream<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    options: CallOptions = {},
  ): ServerStream<Response> {
    const call: ClientReadableStream<Response> = this.#channel().makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      metadata(options),
      channelOptions(options),
    );
    call.on('error', () => {});
    return {
      cancel: () => call.cancel(),
      [Symbol.asyncIterator]: () => call[Symbol.asyncIterator]() as AsyncIterator<Response>,
    };
  }

  /** Reads a server's stream to its end. */
  async collect<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    options: CallOptions = {},
  ): Promise<Response[]> {
    const responses: Response[] = [];
    for await (const response of this.serverStream(method, request, options)) responses.push(response);
    return responses;
  }

  clientStream<Request, Response>(
    method: MethodDefinition<Request, Response>,
    options: CallOptions = {},
  ): ClientStream<Request, Response> {
    let settled = false;
    let call!: ClientWritableStream<Request>;
    const result = new Promise<Response>((resolve, reject) => {
      call = this.#channel().makeClientStreamRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        metadata(options),
        channelOptions(options),
        (error: ServiceError | null, value?: Response) => {
          settled = true;
          call.emit('drain');
          if (error !== null) reject(error);
          else resolve(value as Response);
        },
      );
    });
    result.catch(() => {});
    call.on('error', () => {});
    return {
      write: (request) =>
        new Promise((resolve) => {
          if (settled || call.write(request)) resolve();
          else call.once('drain', resolve);
        }),
      end: () => {
        if (!settled) call.end();
      },
      cancel: () => call.cancel(),
      result,
    };
  }

  #channel(): Client {
    const channel = this.#channels[this.#next % this.#channels.length];
    this.#next += 1;
    return channel as Client;
  }
}

/** What went wrong in a call, with its details decoded. */
export interface Failure {
  /** The code by name, such as INVALID_ARGUMENT. */
  readonly code: string;
  readonly message: string;
  /** Violations of a PreconditionFailure, as `TYPE subject`. */
  readonly violations: readonly string[];
  /** Violations of a BadRequest, as `field: description`. */
  readonly fields: readonly string[];
  /** The delay that a RetryInfo asks for in seconds, or undefined where there is none. */
  readonly retryDelaySeconds: number | undefined;
}

/** The failure of a call that must fail. @throws Error when it succeeds. */
export async function failure(call: Promise<unknown>): Promise<Failure> {
  let answer: unknown;
  try {
    answer = await call;
  } catch (thrown) {
    return describeFailure(thrown as ServiceError);
  }
  const text = JSON.stringify(answer, (_key, value) => (typeof value === 'bigint' ? `${value}` : value));
  throw new Error(`the call was expected to fail, and answered ${text?.slice(0, 500)}`);
}

/** @throws the error itself where it is none of a call. */
export function describeFailure(error: ServiceError): Failure {
  if (typeof error.code !== 'number') throw error;
  const [encoded] = error.metadata.get('grpc-status-details-bin');
  const details = encoded === undefined ? [] : Status.decode(encoded as Buffer).details;
  return { code: statusCodeName(error.code), message: error.details, ...describeDetails(details) };
}

/** A status that travels inside a message: of one blob in a batch, or of an ExecuteResponse. */
export function describeStatus(status: Status | undefined): Failure {
  return {
    code: statusCodeName(status?.code ?? 0),
    message: status?.message ?? '',
    ...describeDetails(status?.details ?? []),
  };
}

function describeDetails(details: Status['details']): Pick<Failure, 'violations' | 'fields' | 'retryDelaySeconds'> {
  const violations: string[] = [];
  const fields: string[] = [];
  let retryDelaySeconds: number | undefined;
  for (const any of details) {
    const name = any.typeUrl.slice(any.typeUrl.lastIndexOf('/') + 1);
    if (name === 'google.rpc.PreconditionFailure') {
      for (const each of PreconditionFailure.decode(any.value).violations) {
        violations.push(`${each.type} ${each.subject}`);
      }
    }
    if (name === 'google.rpc.BadRequest') {
      for (const each of BadRequest.decode(any.value).fieldViolations)
        fields.push(`${each.field}: ${each.description}`);
    }
    if (name === 'google.rpc.RetryInfo') {
      const delay = RetryInfo.decode(any.value).retryDelay;
      retryDelaySeconds = Number(delay?.seconds ?? 0) + (delay?.nanos ?? 0) / 1e9;
    }
  }
  return { violations, fields, retryDelaySeconds };
}

function metadata(options: CallOptions): Metadata {
  const result = new Metadata();
  for (const [name, value] of Object.entries(options.headers ?? {})) {
    if (Array.isArray(value)) for (const each of value) result.add(name, each);
    else result.set(name, value as string | Buffer);
  }
  return result;
}

function channelOptions(options: CallOptions): ChannelCallOptions {
  if (options.deadline === null) return {};
  return { deadline: Date.now() + (options.deadline ?? 20_000) };
}
