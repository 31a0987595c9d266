import type { Job } from '../domain/job.ts';
import { invalidArgument } from '../domain/status-error.ts';
import type { Logger } from '../lib/log.ts';
import type { CallContext } from '../ports/call-context.ts';
import {
  type BotSession,
  type CreateBotSessionRequest,
  type Lease,
  LeaseState,
  type PostBotEventTempRequest,
  PostBotEventTempRequest_Type,
  type UpdateBotSessionRequest,
} from '../proto/google/devtools/remoteworkers/v1test2/bots.ts';
import type { Empty } from '../proto/google/protobuf/empty.ts';
import type { HeldLease, ReportedLease } from '../scheduling/reconciling.ts';
import type { Scheduler } from '../scheduling/scheduler.ts';
import type { BotAnswer, BotCall } from '../scheduling/serving-bots.ts';
import { packAny } from '../wire/any.ts';
import { METADATA_TRAILER } from '../wire/lease-details.ts';
import { encodeOperationMetadata } from '../wire/operation.ts';
import { timestampFromMilliseconds } from '../wire/time.ts';
import { checkBotSession } from './bot-request.ts';
import type { Instances } from './instances.ts';
import { LeaseResults } from './lease-results.ts';
import type { LogStreamNames } from './log-stream-names.ts';

export interface BotsOptions {
  readonly instances: Instances;
  readonly scheduler: Scheduler;
  readonly logger: Logger;
  /** Tells bots where to write what an action prints while it runs. Defaults to none. */
  readonly logStreamNames?: LogStreamNames | undefined;
}

/** Longer partial metadata is ignored: it is copied to every watcher. */
const MAX_PARTIAL_METADATA_BYTES = 64 * 1024;

/**
 * Bytes of trailers that tell of leases. Clients take 8 KiB in all unless told otherwise, gRPC for C++ among them, which
 * is BuildBox's: a call that brings more fails, and the next one brings the same.
 */
const MAX_TRAILERS_BYTES = 6 * 1024;

/** What HTTP/2 counts for a trailer beside its value. */
const TRAILER_OVERHEAD_BYTES = METADATA_TRAILER.length + 32;

/** Longer events of bots are cut in the log. */
const MAX_EVENT_LENGTH = 4_096;

/** The service Bots of the Remote Workers API. */
export class Bots {
  readonly #instances: Instances;
  readonly #scheduler: Scheduler;
  readonly #logger: Logger;
  readonly #results: LeaseResults;
  readonly #logStreamNames: LogStreamNames | undefined;

  constructor(options: BotsOptions) {
    this.#instances = options.instances;
    this.#scheduler = options.scheduler;
    this.#logger = options.logger;
    this.#results = new LeaseResults(options);
    this.#logStreamNames = options.logStreamNames;
  }

  /** A long poll as UpdateBotSession is: the answer may bring the first lease. @throws INVALID_ARGUMENT. */
  async createBotSession(request: CreateBotSessionRequest, context: CallContext): Promise<BotSession> {
    const { name } = this.#instances.get(request.parent, 'parent');
    const call = this.#call(request.botSession, context);
    const answer = await this.#scheduler.servingBots.create(name, call, context.signal);
    return this.#answer(answer, request.botSession, context);
  }

  /**
   * @throws INVALID_ARGUMENT when the request is malformed, or the session is unknown, replaced or another bot's;
   *   DATA_LOSS when it has expired; ABORTED when the bot calls again meanwhile; UNAVAILABLE with RetryInfo while the
   *   replica drains.
   */
  async updateBotSession(request: UpdateBotSessionRequest, context: CallContext): Promise<BotSession> {
    const call = this.#call(request.botSession, context);
    if (request.name === '') throw invalidArgument('name', 'is not set');
    if (request.botSession?.name !== request.name) {
      throw invalidArgument('bot_session.name', `differs from name, '${request.name}'`);
    }
    const answer = await this.#scheduler.servingBots.update(request.name, call, context.signal);
    return this.#answer(answer, request.botSession, context);
  }

  /** Goes to the log. @throws INVALID_ARGUMENT when there is no such session. */
  async postBotEventTemp(request: PostBotEventTempRequest, context: CallContext): Promise<Empty> {
    const session = await this.#scheduler.sessions.get(request.name, context.signal);
    if (session === undefined) throw invalidArgument('name', `there is no bot session '${request.name}'`);
    const fields = { botId: session.botId, session: session.name, event: request.msg.slice(0, MAX_EVENT_LENGTH) };
    if (request.type === PostBotEventTempRequest_Type.ERROR) this.#logger.warn(fields, 'a bot reports an error');
    else this.#logger.info(fields, 'a bot reports an event');
    return {};
  }

  #call(session: BotSession | undefined, context: CallContext): BotCall {
    const { leases, ...rest } = checkBotSession(session);
    return {
      ...rest,
      leases: leases.map(
        ({ lease, state }): ReportedLease => ({
          id: lease.id,
          state,
          partialMetadata: partialMetadataOf(lease, context),
          judge: (job, signal) => this.#results.judge(job, lease, rest.botId, signal),
        }),
      ),
      remainingMilliseconds: context.remainingMilliseconds(),
      draining: context.draining,
    };
  }

  #answer(answer: BotAnswer, asked: BotSession | undefined, context: CallContext): BotSession {
    const { session, leases } = answer;
    this.#tellOf(leases, asked, context);
    return {
      name: session.name,
      botId: session.botId,
      status: asked?.status ?? 0,
      worker: asked?.worker,
      leases: leases.map(leaseToWire),
      expireTime: timestampFromMilliseconds(session.expiresAt),
      version: String(session.version),
    };
  }

  /** Of all leases, or of those alone that are new to the bot where that would be too much. */
  #tellOf(leases: readonly HeldLease[], asked: BotSession | undefined, context: CallContext): void {
    const told = leases.map(({ id, job }) => ({
      id,
      encoded: encodeOperationMetadata(job, this.#logStreamNames?.writeNames(job)),
    }));
    const bytes = told.reduce((sum, { encoded }) => sum + trailerBytes(encoded), 0);
    const known = new Set(bytes <= MAX_TRAILERS_BYTES ? [] : asked?.leases.map(({ id }) => id));
    for (const { id, encoded } of told) if (!known.has(id)) context.addTrailer(METADATA_TRAILER, encoded);
  }
}

/** The size of a trailer on the wire, where it is in base64. */
function trailerBytes(value: Uint8Array): number {
  return Math.ceil(value.byteLength / 3) * 4 + TRAILER_OVERHEAD_BYTES;
}

function leaseToWire({ id, job, state }: HeldLease): Lease {
  return {
    id,
    payload: packAny('build.bazel.remote.execution.v2.Action', job.action),
    result: undefined,
    state: state === 'active' ? LeaseState.ACTIVE : LeaseState.PENDING,
    status: undefined,
    requirements: requirementsOf(job),
    expireTime: job.lease === undefined ? undefined : timestampFromMilliseconds(job.lease.expiresAt),
    assignment: '',
    inlineAssignment: undefined,
  };
}

function requirementsOf(job: Job): Lease['requirements'] {
  const properties = job.requirement.properties.map(({ name, value }) => ({ key: name, value }));
  return { devices: [{ handle: '', properties }], properties: [], configs: [] };
}

function partialMetadataOf(lease: Lease, context: CallContext): Uint8Array | undefined {
  if (!/^[a-z0-9.-]{1,100}$/.test(lease.id)) return undefined;
  const encoded = context.binaryHeaders(`partial-execution-metadata-${lease.id}-bin`)[0];
  return encoded === undefined || encoded.byteLength > MAX_PARTIAL_METADATA_BYTES ? undefined : encoded;
}
