import { createRequirement } from '../domain/platform.ts';
import { invalidArgument, notFound } from '../domain/status-error.ts';
import type { WorkQueueName } from '../domain/work.ts';
import type { CallContext } from '../ports/call-context.ts';
import type {
  AddDrainRequest,
  AddDrainResponse,
  ListDrainsRequest,
  ListDrainsResponse,
  ListWorkQueuesRequest,
  ListWorkQueuesResponse,
  RemoveDrainRequest,
  RemoveDrainResponse,
  SetWorkQueuePausedRequest,
  SetWorkQueuePausedResponse,
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
