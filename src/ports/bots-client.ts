import type { DigestFunction } from '../domain/digest-function.ts';
import type { ActionStreamNames } from '../domain/log-stream.ts';
import type { StatusError } from '../domain/status-error.ts';

/** A message of any type, encoded: google.protobuf.Any, with the type's full name in place of its URL. */
export interface PackedMessage {
  readonly messageName: string;
  readonly encoded: Uint8Array;
}

/** What a server tells of a lease beside the lease. */
export interface LeaseDetails {
  /** The function of the action's digests; undefined where their length tells it. */
  readonly digestFunction?: DigestFunction | undefined;
  /** Where to write what the action prints while it runs; undefined where nobody wants it. */
  readonly logStreams?: ActionStreamNames | undefined;
}

/** What a lease is about. */
export interface LeasePayload extends PackedMessage, LeaseDetails {}

/** LeaseState, in lower case. Numbers that the protocol does not have come as `unspecified`. */
export type BotLeaseState = 'unspecified' | 'pending' | 'active' | 'completed' | 'cancelled';

/** BotStatus, as far as a bot has use for it. */
export type BotStatus = 'ok' | 'unhealthy' | 'bot-terminating';

/** A lease as it goes to and fro between bot and server. */
export interface BotLease {
  readonly id: string;
  readonly state: BotLeaseState;
  readonly payload?: LeasePayload | undefined;
  readonly result?: PackedMessage | undefined;
  /** Whether the lease could be run; undefined is OK. Set only with `completed`. */
  readonly status?: StatusError | undefined;
}

/** What a bot tells of itself with every call. */
export interface BotReport {
  readonly botId: string;
  readonly status: BotStatus;
  /** Properties of the primary device, by which the server matches; a key may come several times. */
  readonly properties: ReadonlyArray<{ readonly name: string; readonly value: string }>;
  /** How many leases it takes at once: the worker's `capacity` configuration. */
  readonly capacity: number;
  readonly version: string;
  readonly leases: readonly BotLease[];
  /** Encoded ExecutedActionMetadata of running leases by lease id, for headers `partial-execution-metadata-<id>-bin`. */
  readonly partialExecutionMetadata: ReadonlyMap<string, Uint8Array>;
}

/** What the server answers. */
export interface BotSessionReply {
  /** The session's name, for the calls that follow. */
  readonly name: string;
  readonly leases: readonly BotLease[];
  /** Milliseconds since the epoch on the server's clock, or undefined where it has no limit. */
  readonly expireTime: number | undefined;
}

/**
 * The Bots service of RWAPI as a bot calls it.
 *
 * Errors are StatusErrors with the server's code; an aborted call throws the signal's reason.
 */
export interface BotsClient {
  /**
   * Opens a session; older ones of the same bot id end.
   *
   * @param parent the instance.
   * @param timeoutMilliseconds the call's deadline, of which the server uses a part to wait for work.
   */
  createSession(
    parent: string,
    report: BotReport,
    timeoutMilliseconds: number,
    signal: AbortSignal,
  ): Promise<BotSessionReply>;

  /** Reports on leases, and waits for news for a part of the timeout. */
  updateSession(
    name: string,
    report: BotReport,
    timeoutMilliseconds: number,
    signal: AbortSignal,
  ): Promise<BotSessionReply>;
}
