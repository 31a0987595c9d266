import type { Http2Server, IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import { TLSSocket } from 'node:tls';
import { Server, type ServerOptions } from '@grpc/grpc-js';
import { type Caller, namesOf } from './access-rules.ts';
import type { InterceptedCall } from './incoming-call.ts';

/** How much a client may send ahead of what has been read. */
export interface FlowControlOptions {
  /**
   * Bytes on one stream. With the 64 KiB that HTTP/2 begins with, an upload over a link of 10 ms there and back moves
   * 3 MB/s; with 4 MiB, some 90.
   */
  readonly streamWindowBytes: number;
  /** Bytes on one connection, of all its streams together. Greater, so that one slow stream does not stop the others. */
  readonly connectionWindowBytes: number;
}

/** What grpc-js keeps to itself and has no option for. A test fails when an update of it moves them. */
interface Internals {
  readonly commonServerOptions: { settings?: Record<string, number>; maxHeaderListPairs?: number };
  createHttp2Server(...args: readonly unknown[]): Http2Server;
}

/**
 * Headers of one call at most. A bot tells of each running lease in a header of its own; of the 128 that Node.js takes one
 * with so many leases would be refused for good.
 */
const MOST_HEADERS = 1_024;

/** The same of a call as interceptors get it. */
interface CallInternals {
  readonly stream?: { readonly session?: ServerHttp2Session };
}

/** The longest deadline that grpc-js understands: it counts milliseconds in 32 bits, and wraps. */
const LONGEST_DEADLINE_MS = 2 ** 31 - 1;

/**
 * A server of grpc-js whose HTTP/2 windows fit links with latency, that bears absurdly long deadlines, and that knows
 * its connections.
 */
export class TunedGrpcServer extends Server {
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #callers = new WeakMap<ServerHttp2Session, Caller>();

  /** @param onHandshakeFailure is told of connections that ended before they were encrypted. */
  constructor(
    options: ServerOptions,
    flowControl: FlowControlOptions,
    onHandshakeFailure: (peer: string | undefined, reason: Error) => void,
  ) {
    super(options);
    const internals = this as unknown as Internals;
    internals.commonServerOptions.settings = {
      ...internals.commonServerOptions.settings,
      initialWindowSize: flowControl.streamWindowBytes,
    };
    internals.commonServerOptions.maxHeaderListPairs = MOST_HEADERS;
    const createHttp2Server = internals.createHttp2Server.bind(this);
    internals.createHttp2Server = (...args) => {
      const http2Server = createHttp2Server(...args);
      http2Server.prependListener('session', (session: ServerHttp2Session) => {
        session.setLocalWindowSize(flowControl.connectionWindowBytes);
        this.#sessions.add(session);
        // Now, while the socket is certainly there.
        this.#callers.set(session, isPrivate(http2Server) ? OURSELVES : callerAt(session));
        session.once('close', () => this.#sessions.delete(session));
      });
      http2Server.on('tlsClientError', (reason: Error, socket: TLSSocket) => {
        onHandshakeFailure(socket.remoteAddress, reason);
      });
      http2Server.prependListener('stream', (_stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
        capDeadline(headers);
      });
      return http2Server;
    };
  }

  /** Who makes a call; nobody once its connection has gone. */
  callerOf(call: InterceptedCall): Caller {
    const session = (call as unknown as CallInternals).stream?.session;
    return (session === undefined ? undefined : this.#callers.get(session)) ?? NOBODY;
  }

  /** Ends every connection at once; `forceShutdown` of grpc-js finds them only where channelz is on. */
  destroyConnections(): void {
    for (const session of this.#sessions) session.destroy();
  }
}

const NOBODY: Caller = { names: [] };
const OURSELVES: Caller = { names: undefined };

/** Whether it listens on a Unix socket. */
function isPrivate(server: Http2Server): boolean {
  return typeof server.address() === 'string';
}

/** Who is at the other end of a new connection. */
function callerAt({ socket }: ServerHttp2Session): Caller {
  return socket instanceof TLSSocket && socket.authorized ? { names: namesOf(socket.getPeerCertificate()) } : NOBODY;
}

const MILLISECONDS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000 };

/** Drops a deadline that is longer than can be counted: who waits for 25 days waits forever. */
function capDeadline(headers: IncomingHttpHeaders): void {
  const timeout = headers['grpc-timeout'];
  if (typeof timeout !== 'string') return;
  const milliseconds = Number.parseInt(timeout, 10) * (MILLISECONDS[timeout.at(-1) ?? ''] ?? 0);
  if (milliseconds > LONGEST_DEADLINE_MS) delete headers['grpc-timeout'];
}
