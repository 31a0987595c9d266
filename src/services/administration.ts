import { createRequirement } from '../domain/platform.ts';
import { invalidArgument, notFound } from '../domain/status-error.ts';
import type { WorkMessage, WorkQueueName } from '../domain/work.ts';
import type { DeadLetter } from '../ports/broker.ts';
import type { CallContext } from '../ports/call-context.ts';
import type {
  AddDrainRequest,
  AddDrainResponse,
  DeadLetterSelection,
  DropDeadLettersRequest,
  DropDeadLettersResponse,
  ListDeadLettersRequest,
  ListDeadLettersResponse,
  ListDrainsRequest,
  ListDrainsResponse,
  ListWorkQueuesRequest,
  ListWorkQueuesResponse,
  RemoveDrainRequest,
  RemoveDrainResponse,
  ResendDeadLettersRequest,
  ResendDeadLettersResponse,
  SetWorkQueuePausedRequest,
  SetWorkQueuePausedResponse,
  DeadLetter as WireDeadLetter,
  WorkQueue,
} from '../proto/warren/v1/administration.ts';
import type { Scheduler } from '../scheduling/scheduler.ts';
import { WorkQueueOverview, type WorkQueueReport } from '../scheduling/work-queue-overview.ts';
import { timestampFromMilliseconds } from '../wire/time.ts';
import type { Instances } from './instances.ts';

export interface AdministrationOptions {
  readonly instances: Instances;
  readonly scheduler: Scheduler;
  /** Patterns of drained bots at most: each is held against every bot at every lease. Defaults to 1 000. */
  readonly maxDrains?: number;
}

const MAX_TEXT = 1_024;
const MAX_PROPERTIES = 100;

/** Letters in one answer, and letters that are gone through for a selection. */
const MOST_LISTED_LETTERS = 1_000;
const MOST_LETTERS = 10_000;

/** The service warren.v1.Administration: what an operator does with a farm. */
export class Administration {
  readonly #instances: Instances;
  readonly #scheduler: Scheduler;
  readonly #overview: WorkQueueOverview;
  readonly #maxDrains: number;

  constructor(options: AdministrationOptions) {
    this.#instances = options.instances;
    this.#scheduler = options.scheduler;
    this.#overview = new WorkQueueOverview(options.scheduler);
    this.#maxDrains = options.maxDrains ?? 1_000;
  }

  /** @throws INVALID_ARGUMENT when the instance is not served; UNAVAILABLE when store or broker can't be reached. */
  async listWorkQueues(request: ListWorkQueuesRequest, { signal }: CallContext): Promise<ListWorkQueuesResponse> {
    const instanceName = request.allInstances ? undefined : this.#instances.get(request.instanceName).name;
    return { workQueues: (await this.#overview.list(instanceName, signal)).map(workQueueToWire) };
  }

  /** @throws INVALID_ARGUMENT when the instance is not served, or the properties can be no requirement. */
  async setWorkQueuePaused(
    request: SetWorkQueuePausedRequest,
    { signal }: CallContext,
  ): Promise<SetWorkQueuePausedResponse> {
    await this.#scheduler.broker.setPaused(this.#queueOf(request), request.paused, signal);
    return {};
  }

  async listDrains(_request: ListDrainsRequest, { signal }: CallContext): Promise<ListDrainsResponse> {
    return { drains: [...(await this.#scheduler.sessions.drains(signal))] };
  }

  /** @throws INVALID_ARGUMENT when the pattern is empty or too long, or there are too many. */
  async addDrain({ drain }: AddDrainRequest, { signal }: CallContext): Promise<AddDrainResponse> {
    const { sessions } = this.#scheduler;
    const { pattern = '', comment = '' } = drain ?? {};
    if (pattern === '') throw invalidArgument('drain.pattern', 'is not set');
    for (const [field, text] of [
      ['drain.pattern', pattern],
      ['drain.comment', comment],
    ] as const) {
      if (text.length > MAX_TEXT) throw invalidArgument(field, `is longer than ${MAX_TEXT} characters`);
    }
    const known = await sessions.drains(signal);
    if (known.length >= this.#maxDrains && !known.some((each) => each.pattern === pattern)) {
      throw invalidArgument('drain', `there are ${this.#maxDrains} already; one pattern can stand for many bots`);
    }
    await sessions.addDrain({ pattern, comment }, signal);
    return {};
  }

  /** @throws NOT_FOUND where there is no such pattern. */
  async removeDrain({ pattern }: RemoveDrainRequest, { signal }: CallContext): Promise<RemoveDrainResponse> {
    if (await this.#scheduler.sessions.removeDrain(pattern, signal)) return {};
    throw notFound(`no drain has the pattern '${pattern}'`);
  }

  /** @throws INVALID_ARGUMENT when the limit is negative. */
  async listDeadLetters({ limit }: ListDeadLettersRequest, { signal }: CallContext): Promise<ListDeadLettersResponse> {
    if (limit < 0) throw invalidArgument('limit', `is ${limit}, which is negative`);
    const deadLetters: WireDeadLetter[] = [];
    const visit = async (letter: DeadLetter) => {
      deadLetters.push(deadLetterToWire(letter));
      return 'keep' as const;
    };
    const most = limit === 0 ? MOST_LISTED_LETTERS : Math.min(limit, MOST_LISTED_LETTERS);
    await this.#scheduler.broker.visitDeadLetters(visit, most, signal);
    return { deadLetters };
  }

  /** @throws INVALID_ARGUMENT when the selection names none and not all; UNAVAILABLE when nobody can take them. */
  async resendDeadLetters(
    { selection }: ResendDeadLettersRequest,
    { signal }: CallContext,
  ): Promise<ResendDeadLettersResponse> {
    const { broker } = this.#scheduler;
    return { jobIds: await this.#takeLetters(selection, signal, (work) => broker.redeliver(work, signal)) };
  }

  /** @throws INVALID_ARGUMENT when the selection names none and not all. */
  async dropDeadLetters(
    { selection }: DropDeadLettersRequest,
    { signal }: CallContext,
  ): Promise<DropDeadLettersResponse> {
    return { jobIds: await this.#takeLetters(selection, signal, async () => {}) };
  }

  async #takeLetters(
    selection: DeadLetterSelection | undefined,
    signal: AbortSignal,
    take: (work: WorkMessage) => Promise<void>,
  ): Promise<string[]> {
    const wanted = new Set(selection?.jobIds);
    const all = selection?.all ?? false;
    if (!all && wanted.size === 0) throw invalidArgument('selection', 'names no job, and is not all');
    const taken: string[] = [];
    const visit = async ({ work }: DeadLetter) => {
      if (!all && !wanted.has(work.jobId)) return 'keep';
      await take(work);
      taken.push(work.jobId);
      return 'remove';
    };
    await this.#scheduler.broker.visitDeadLetters(visit, MOST_LETTERS, signal);
    return taken;
  }

  #queueOf({ instanceName, properties }: SetWorkQueuePausedRequest): WorkQueueName {
    if (properties.length > MAX_PROPERTIES) throw invalidArgument('properties', `are more than ${MAX_PROPERTIES}`);
    for (const { name, value } of properties) {
      if (name === '') throw invalidArgument('properties.name', 'is not set');
      if (name.length > MAX_TEXT || value.length > MAX_TEXT) {
        throw invalidArgument('properties', `has a name or value longer than ${MAX_TEXT} characters`);
      }
    }
    return {
      instanceName: this.#instances.get(instanceName).name,
      requirement: createRequirement(properties.map(({ name, value }) => ({ name, value }))),
    };
  }
}

function workQueueToWire(report: WorkQueueReport): WorkQueue {
  const { oldestQueuedAt } = report;
  return {
    instanceName: report.instanceName,
    properties: [...report.requirement.properties],
    requirement: report.requirement.key,
    paused: report.paused,
    waitingJobs: BigInt(report.waitingJobs),
    oldestQueued: oldestQueuedAt === undefined ? undefined : timestampFromMilliseconds(oldestQueuedAt),
    waitingMessages: BigInt(report.waitingMessages),
    fittingBots: BigInt(report.fittingBots),
    idleSlots: BigInt(report.idleSlots),
    reason: report.reason,
  };
}

function deadLetterToWire({ work, reason, at }: DeadLetter): WireDeadLetter {
  return {
    jobId: work.jobId,
    instanceName: work.instanceName,
    requirement: work.requirement.key,
    actionHash: work.actionDigest.hash,
    actionSizeBytes: BigInt(work.actionDigest.sizeBytes),
    digestFunction: work.actionDigest.digestFunction,
    reason,
    died: timestampFromMilliseconds(at),
    tool: work.tool,
    target: work.target,
    mnemonic: work.mnemonic,
    invocation: work.invocation,
  };
}
