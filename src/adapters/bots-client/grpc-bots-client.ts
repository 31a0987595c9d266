import type { Metadata } from '@grpc/grpc-js';
import { StatusCode } from '../../domain/status-code.ts';
import { StatusError } from '../../domain/status-error.ts';
import type {
  BotLease,
  BotLeaseState,
  BotReport,
  BotSessionReply,
  BotsClient,
  PackedMessage,
} from '../../ports/bots-client.ts';
import {
  type BotSession,
  BotStatus,
  BotsService,
  type Lease,
  LeaseState,
} from '../../proto/google/devtools/remoteworkers/v1test2/bots.ts';
import type { Worker } from '../../proto/google/devtools/remoteworkers/v1test2/worker.ts';
import type { Any } from '../../proto/google/protobuf/any.ts';
import { anyMessageName, packAny } from '../../wire/any.ts';
import { leaseDetails, METADATA_TRAILER } from '../../wire/lease-details.ts';
import { OK_STATUS, statusFromWire, statusToWire } from '../../wire/status.ts';
import { timestampToMilliseconds } from '../../wire/time.ts';

/** What this adapter needs of a channel: GrpcChannel, or a fake. */
export interface UnaryChannel {
  unary<Request, Response>(
    method: {
      readonly path: string;
      requestSerialize(request: Request): Buffer;
      responseDeserialize(bytes: Buffer): Response;
    },
    request: Request,
    options: {
      readonly deadlineMilliseconds?: number;
      readonly headers?: Readonly<Record<string, string | Uint8Array>>;
      readonly onTrailers?: (trailers: Metadata) => void;
    },
    signal: AbortSignal,
  ): Promise<Response>;
}

/** The Bots service of a server that is reached by gRPC. */
export class GrpcBotsClient implements BotsClient {
  readonly #channel: UnaryChannel;
  readonly #deviceHandle: string;

  /** @param deviceHandle names the primary device; any text that stays the same for one bot. */
  constructor(channel: UnaryChannel, deviceHandle: string) {
    this.#channel = channel;
    this.#deviceHandle = deviceHandle;
  }

  async createSession(
    parent: string,
    report: BotReport,
    timeoutMilliseconds: number,
    signal: AbortSignal,
  ): Promise<BotSessionReply> {
    const request = { parent, botSession: this.#session('', report) };
    const { options, trailers } = callOptions(report, timeoutMilliseconds);
    return fromWire(await this.#channel.unary(BotsService.createBotSession, request, options, signal), trailers());
  }

  async updateSession(
    name: string,
    report: BotReport,
    timeoutMilliseconds: number,
    signal: AbortSignal,
  ): Promise<BotSessionReply> {
    const request = { name, botSession: this.#session(name, report), updateMask: undefined };
    const { options, trailers } = callOptions(report, timeoutMilliseconds);
    return fromWire(await this.#channel.unary(BotsService.updateBotSession, request, options, signal), trailers());
  }

  #session(name: string, report: BotReport): BotSession {
    return {
      name,
      botId: report.botId,
      status: STATUSES[report.status],
      worker: this.#worker(report),
      leases: report.leases.map(leaseToWire),
      version: report.version,
    };
  }

  #worker(report: BotReport): Worker {
    const properties = report.properties.map(({ name, value }) => ({ key: name, value }));
    return {
      devices: [{ handle: this.#deviceHandle, properties }],
      properties: [],
      configs: [{ key: 'capacity', value: String(report.capacity) }],
    };
  }
}

const STATUSES = {
  ok: BotStatus.OK,
  unhealthy: BotStatus.UNHEALTHY,
  'bot-terminating': BotStatus.BOT_TERMINATING,
} as const;

const STATES_TO_WIRE: Readonly<Record<BotLeaseState, LeaseState>> = {
  unspecified: LeaseState.LEASE_STATE_UNSPECIFIED,
  pending: LeaseState.PENDING,
  active: LeaseState.ACTIVE,
  completed: LeaseState.COMPLETED,
  cancelled: LeaseState.CANCELLED,
};

const STATES_FROM_WIRE = new Map<number, BotLeaseState>(
  Object.entries(STATES_TO_WIRE).map(([name, number]) => [number, name as BotLeaseState]),
);

/** Bytes of headers that tell how leases get on: servers take a few tens of KiB in all, and refuse a call with more. */
const MAX_METADATA_BYTES = 16 * 1024;

function callOptions(report: BotReport, timeoutMilliseconds: number) {
  const headers: Record<string, Uint8Array> = {};
  let bytes = 0;
  for (const [leaseId, metadata] of report.partialExecutionMetadata) {
    // It only informs: of more leases than fit, the first are told of.
    bytes += 64 + leaseId.length + metadata.byteLength;
    if (bytes > MAX_METADATA_BYTES) break;
    // A lease id that is no part of a header's name can't be spoken of; it is the server's own.
    if (/^[a-z0-9_.-]+$/.test(leaseId)) headers[`partial-execution-metadata-${leaseId}-bin`] = metadata;
  }
  let received: Metadata | undefined;
  return {
    options: {
      deadlineMilliseconds: timeoutMilliseconds,
      headers,
      onTrailers(trailers: Metadata) {
        received = trailers;
      },
    },
    trailers: () => (received?.get(METADATA_TRAILER) ?? []).filter((each) => typeof each !== 'string'),
  };
}

function leaseToWire(lease: BotLease): Lease {
  const completed = lease.state === 'completed';
  return {
    id: lease.id,
    state: STATES_TO_WIRE[lease.state],
    payload: pack(lease.payload),
    result: pack(lease.result),
    status: completed ? (lease.status === undefined ? OK_STATUS : statusToWire(lease.status)) : undefined,
    assignment: '',
  };
}

function fromWire(session: BotSession, trailers: readonly Uint8Array[]): BotSessionReply {
  if (session.name === '') throw new StatusError(StatusCode.INTERNAL, 'the server has answered without a session name');
  const detailsOf = leaseDetails(trailers);
  return {
    name: session.name,
    leases: session.leases.map((lease) => ({
      id: lease.id,
      state: STATES_FROM_WIRE.get(lease.state) ?? 'unspecified',
      payload: lease.payload && { ...unpack(lease.payload), ...detailsOf(lease.payload) },
      result: lease.result && unpack(lease.result),
      status: lease.status === undefined || lease.status.code === 0 ? undefined : statusFromWire(lease.status),
    })),
    expireTime: timestampToMilliseconds(session.expireTime),
  };
}

function pack(message: PackedMessage | undefined): Any | undefined {
  return message === undefined ? undefined : packAny(message.messageName, message.encoded);
}

function unpack(any: Any): PackedMessage {
  return { messageName: anyMessageName(any), encoded: any.value };
}
