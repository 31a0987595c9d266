import { setMaxListeners } from 'node:events';
import { ServerCredentials, ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import { StatusCode } from '../domain/status-code.ts';
import { StatusError, unavailable } from '../domain/status-error.ts';
import { AddressInUseError } from '../lib/address-in-use-error.ts';
import type { Clock } from '../lib/clock.ts';
import { Deferred } from '../lib/deferred.ts';
import type { Service } from '../lib/lifecycle.ts';
import type { Logger } from '../lib/log.ts';
import type { AccessRules } from './access-rules.ts';
import type { CallObserver } from './call-observer.ts';
import { GrpcCallContext } from './grpc-call-context.ts';
import { IncomingCall, type InterceptedCall } from './incoming-call.ts';
import {
  methodsOf,
  type RegisteredMethod,
  type ServiceDefinition,
  type ServiceImplementation,
} from './method-table.ts';
import { statusOfError } from './status-of-error.ts';
import { type FlowControlOptions, TunedGrpcServer } from './tuned-grpc-server.ts';

/** What a server needs to know. */
export interface RpcServerOptions {
  /** Host and port to listen on, such as `127.0.0.1:50051`; port 0 takes a free one. */
  readonly address: string;
  /** The longest message that is taken; must exceed the longest batch. More is answered RESOURCE_EXHAUSTED. */
  readonly maxReceiveMessageBytes: number;
  readonly flowControl: FlowControlOptions;
  /**
   * How long a connection may be silent before the server asks whether the client is still there. Load balancers and
   * NATs drop silent connections after some minutes without telling either side.
   */
  readonly keepaliveTimeMilliseconds: number;
  /** How long the answer to that may take. */
  readonly keepaliveTimeoutMilliseconds: number;
  /**
   * After how long a connection is closed in good order, so that clients spread over replicas that came later.
   * Undefined for never.
   */
  readonly maxConnectionAgeMilliseconds?: number | undefined;
  /** How connections to `address` are encrypted. Defaults to not at all. */
  readonly credentials?: ServerCredentials | undefined;
  /**
   * Path of a Unix socket to listen on, too, without encryption. Its folder decides who may connect. Defaults to none.
   */
  readonly privateSocket?: string | undefined;
  /** Who may call what; goes with credentials that ask clients for certificates. Defaults to everyone, everything. */
  readonly access?: AccessRules | undefined;
  /** How soon a caller that was turned away by the drain should come again, in milliseconds. */
  readonly retryDelayMilliseconds: number;
}

/**
 * Serves our services over gRPC.
 *
 * `stop` drains: it aborts `context.draining`, takes no new connection, lets running calls end, and when `force` is
 * aborted ends them with UNAVAILABLE.
 */
export class RpcServer implements Service {
  readonly name = 'gRPC server';
  readonly #options: RpcServerOptions;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #observer: CallObserver;
  readonly #server: TunedGrpcServer;
  readonly #methods = new Map<string, RegisteredMethod>();
  readonly #draining = new AbortController();
  readonly #calls = new Set<IncomingCall<unknown, unknown>>();
  #port = 0;

  constructor(options: RpcServerOptions, clock: Clock, logger: Logger, observer: CallObserver) {
    this.#options = options;
    this.#clock = clock;
    this.#logger = logger;
    this.#observer = observer;
    // Every call that waits listens to it.
    setMaxListeners(0, this.#draining.signal);
    this.#server = new TunedGrpcServer(
      {
        'grpc.max_receive_message_length': options.maxReceiveMessageBytes,
        'grpc.max_send_message_length': -1,
        'grpc.keepalive_time_ms': options.keepaliveTimeMilliseconds,
        'grpc.keepalive_timeout_ms': options.keepaliveTimeoutMilliseconds,
        ...(options.maxConnectionAgeMilliseconds === undefined
          ? {}
          : { 'grpc.max_connection_age_ms': options.maxConnectionAgeMilliseconds }),
        'grpc.enable_channelz': 0,
        interceptors: [this.#takeOver],
      },
      options.flowControl,
      // Nothing louder: scanners and probes of ports do it all day.
      (peer, reason) => logger.debug({ peer, reason: reason.message }, 'a TLS handshake failed'),
    );
  }

  /** For services that come as a library and register themselves, such as reflection. */
  get grpcServer(): Pick<TunedGrpcServer, 'addService'> {
    return this.#server;
  }

  /** The port, once started. */
  get port(): number {
    return this.#port;
  }

  /** How many calls are being answered. */
  get activeCalls(): number {
    return this.#calls.size;
  }

  /**
   * Serves a service of the generated code.
   *
   * @param implementation has a method for each call, named as in the protocol in camel case.
   */
  register<Definition extends ServiceDefinition>(
    definition: Definition,
    implementation: ServiceImplementation<Definition>,
  ): void {
    for (const method of methodsOf(definition, implementation)) {
      this.#methods.set(method.path, method);
      this.#server.register(method.path, neverCalled, method.serialize, method.deserialize, method.type);
    }
  }

  /** @throws AddressInUseError. */
  async start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const plain = ServerCredentials.createInsecure();
    const { address, credentials = plain, privateSocket } = this.#options;
    // First: who waits for the port finds the socket, too.
    if (privateSocket !== undefined) await this.#listen(`unix:${privateSocket}`, plain);
    this.#port = await this.#listen(address, credentials);
  }

  #listen(address: string, credentials: ServerCredentials): Promise<number> {
    const bound = new Deferred<number>();
    this.#server.bindAsync(address, credentials, (error, port) => {
      if (error === null) bound.resolve(port);
      else bound.reject(new AddressInUseError(address, error));
    });
    return bound.promise;
  }

  async stop(force: AbortSignal): Promise<void> {
    const reason = unavailable('this replica is stopping', this.#options.retryDelayMilliseconds);
    this.#draining.abort(reason);
    const closed = new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve()));
    const forced = new Deferred<void>();
    const onForce = () => {
      for (const call of this.#calls) call.abort(reason);
      // The statuses of those calls still have to reach the socket.
      this.#clock.setTimer(FORCED_STATUS_MS, () => {
        this.#server.forceShutdown();
        this.#server.destroyConnections();
        forced.resolve();
      });
    };
    if (force.aborted) onForce();
    else force.addEventListener('abort', onForce, { once: true });
    await Promise.race([closed, forced.promise]);
    force.removeEventListener('abort', onForce);
  }

  /** Leads calls of our methods past the surface of grpc-js, whose streams buffer sixteen messages each way. */
  readonly #takeOver: ServerInterceptor = (definition, call) => {
    const method = this.#methods.get(definition.path);
    if (method === undefined) return new ServerInterceptingCall(call);
    return new TakenCall(call, () => {
      IncomingCall.accept<unknown, unknown>(call, (incoming) => void this.#serve(method, incoming, call));
    });
  };

  async #serve(
    method: RegisteredMethod,
    call: IncomingCall<unknown, unknown>,
    intercepted: InterceptedCall,
  ): Promise<void> {
    const start = this.#clock.monotonic();
    const ended = this.#observer.callStarted(method.path, call.peer);
    let code: StatusCode = StatusCode.OK;
    this.#calls.add(call);
    try {
      this.#options.access?.check(method.path, this.#server.callerOf(intercepted));
      const context = new GrpcCallContext(call, this.#draining.signal, this.#clock);
      await method.serve(call, context);
      call.finish({ code, details: '' });
    } catch (thrown) {
      const error = this.#errorOf(thrown, call);
      code = error.code;
      if (code === StatusCode.INTERNAL) this.#logDefect(method.path, call, error);
      call.finish(statusOfError(error));
    } finally {
      this.#calls.delete(call);
      ended({ code, milliseconds: this.#clock.monotonic() - start });
    }
  }

  /** Whatever a method throws once its client has gone is of the client's going. */
  #errorOf(thrown: unknown, call: IncomingCall<unknown, unknown>): StatusError {
    if (thrown instanceof StatusError || !call.signal.aborted) return StatusError.from(thrown);
    if (call.deadline <= this.#clock.now()) {
      return new StatusError(StatusCode.DEADLINE_EXCEEDED, 'the deadline passed', { cause: thrown });
    }
    return StatusError.from(call.signal.reason);
  }

  #logDefect(path: string, call: IncomingCall<unknown, unknown>, error: StatusError): void {
    this.#logger.error(
      { err: error.cause ?? error, call: path, peer: call.peer },
      'a call failed for a reason of ours',
    );
  }
}

const FORCED_STATUS_MS = 50;

/** A call that `start` takes away from grpc-js' own handlers. */
class TakenCall extends ServerInterceptingCall {
  readonly #take: () => void;

  constructor(call: ConstructorParameters<typeof ServerInterceptingCall>[0], take: () => void) {
    super(call);
    this.#take = take;
  }

  override start(): void {
    this.#take();
  }
}

/** Calls of our methods never get as far as a handler of grpc-js. */
function neverCalled(): never {
  throw new Error('the call was not taken over');
}
