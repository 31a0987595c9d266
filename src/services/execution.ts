import { digestKey } from '../domain/digest.ts';
import { digestFromPlain, isFinished, type Job, outcomeOf } from '../domain/job.ts';
import { parseOperationName } from '../domain/operation.ts';
import type { Outcome } from '../domain/outcome.ts';
import { invalidArgument, notFound, unavailable } from '../domain/status-error.ts';
import { linkSignals } from '../lib/abort.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { CallContext } from '../ports/call-context.ts';
import {
  Action,
  type ExecuteRequest,
  ExecuteResponse,
  type WaitExecutionRequest,
} from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import type { Operation as WireOperation } from '../proto/google/longrunning/operations.ts';
import type { Scheduler } from '../scheduling/scheduler.ts';
import type { JobWatch } from '../scheduling/watch-hub.ts';
import { readRequestMetadata } from '../wire/request-metadata.ts';
import { OK_STATUS } from '../wire/status.ts';
import { type CheckedExecution, checkExecution } from './execution-request.ts';
import { InputPins } from './input-pins.ts';
import type { Instances } from './instances.ts';
import type { LogStreamNames } from './log-stream-names.ts';
import { OperationPresenter } from './operation-presenter.ts';
import { PlatformRules } from './platform-rules.ts';

export interface ExecutionOptions {
  readonly instances: Instances;
  readonly scheduler: Scheduler;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Which platform properties bots are matched by. Defaults to all but those that only workers read. */
  readonly platformRules?: PlatformRules;
  /**
   * How often a stream without news repeats the state, in milliseconds. Defaults to 30 000: less than what proxies and
   * clients take for a dead connection.
   */
  readonly keepAliveInterval?: number;
  /** Tells clients where to read what an action prints while it runs. Defaults to none. */
  readonly logStreamNames?: LogStreamNames | undefined;
}

/** When a client that is sent away should come again, in milliseconds. */
const DRAINING_RETRY_DELAY = 100;

/**
 * Characters of paths that a client wants inlined. They are a hint, and kept with the job: of more, the first count.
 */
const MAX_INLINE_PATHS_LENGTH = 64 * 1024;

/** What a path weighs beside its characters: an empty one is kept, too. */
const PATH_WEIGHT = 8;

/** The service Execution. */
export class Execution {
  readonly #instances: Instances;
  readonly #scheduler: Scheduler;
  readonly #logger: Logger;
  readonly #rules: PlatformRules;
  readonly #keepAliveInterval: number;
  readonly #presenter: OperationPresenter;
  readonly #pins: InputPins;

  constructor(options: ExecutionOptions) {
    this.#instances = options.instances;
    this.#scheduler = options.scheduler;
    this.#logger = options.logger;
    this.#rules = options.platformRules ?? new PlatformRules();
    this.#keepAliveInterval = options.keepAliveInterval ?? 30_000;
    this.#presenter = new OperationPresenter(options.instances, options.logger, options.logStreamNames);
    this.#pins = new InputPins(options);
  }

  /**
   * The stream starts once the job is stored: whoever holds a name may follow or cancel it at any replica at once, also
   * when this one is lost.
   *
   * @throws as `checkExecution`; RESOURCE_EXHAUSTED with RetryInfo when no more work is taken; UNAVAILABLE with
   *   RetryInfo while the replica drains.
   */
  async *execute(request: ExecuteRequest, context: CallContext): AsyncIterable<WireOperation> {
    if (context.draining.aborted) throw draining();
    const { settings, submitting } = this.#scheduler;
    const { signal } = context;
    const checked = await checkExecution(request, this.#instances, this.#rules, settings.maxExecutionTimeout, signal);
    const { action, instance, plainDigest } = checked;
    const operationId = submitting.newOperationId(plainDigest.hash);

    let cached: Outcome | undefined;
    if (!request.skipCacheLookup && !action.doNotCache) {
      cached = await this.#lookUp(checked, signal);
    }
    const { watch } = await submitting.submit(
      {
        operationId,
        instanceName: instance.name,
        actionDigest: plainDigest,
        action: checked.encodedAction,
        requirement: checked.requirement,
        priority: checked.priority,
        doNotCache: action.doNotCache,
        timeout: checked.timeout,
        requestMetadata: readRequestMetadata((name) => context.binaryHeaders(name)),
        inline: {
          stdout: request.inlineStdout,
          stderr: request.inlineStderr,
          outputFiles: inlinePaths(request.inlineOutputFiles),
        },
        cached,
      },
      signal,
    );
    yield* this.#stream(watch, operationId, context);
  }

  /** @throws NOT_FOUND when the operation is not known any more: the client executes anew. */
  async *waitExecution(request: WaitExecutionRequest, context: CallContext): AsyncIterable<WireOperation> {
    if (request.name === '') throw invalidArgument('name', 'is not set');
    if (context.draining.aborted) throw draining();
    const name = parseOperationName(request.name);
    const watch = name === undefined ? undefined : await this.#scheduler.submitting.follow(name.id, context.signal);
    if (name === undefined || watch === undefined) throw unknownOperation(request.name);
    if (watch.latest?.instanceName !== name.instanceName) {
      watch[Symbol.dispose]();
      throw unknownOperation(request.name);
    }
    yield* this.#stream(watch, name.id, context);
  }

  /** Pins what a job needs that goes on. One that nobody streams ends soon, while what it used is still protected. */
  #hold(job: Job | undefined): Disposable | undefined {
    if (job === undefined || isFinished(job)) return undefined;
    return this.#pins.hold(
      this.#instances.get(job.instanceName),
      digestFromPlain(job.actionDigest),
      Action.decode(job.action),
    );
  }

  async *#stream(watch: JobWatch, operationId: string, context: CallContext): AsyncIterable<WireOperation> {
    using _watch = watch;
    using _pins = this.#hold(watch.latest);
    using either = linkSignals(context.signal, context.draining);
    for (;;) {
      let news: Awaited<ReturnType<JobWatch['next']>>;
      try {
        news = await watch.next(this.#keepAliveInterval, either.signal);
      } catch (cause) {
        if (context.draining.aborted && !context.signal.aborted) throw draining();
        throw cause;
      }
      const job = watch.latest;
      const operation = job?.operations.find((each) => each.id === operationId);
      if (news === 'gone' || job === undefined || operation === undefined) throw unknownOperation(operationId);
      yield await this.#presenter.present(job, operation, context.signal);
      if (outcomeOf(job, operation) !== undefined) return;
    }
  }

  /** What the action cache holds. A cache that fails is no reason not to execute. */
  async #lookUp(checked: CheckedExecution, signal: AbortSignal): Promise<Outcome | undefined> {
    const { instance, digest } = checked;
    try {
      const result = await instance.actionResults.get(instance.name, digest, signal);
      if (result === undefined) return undefined;
      const encoded = ExecuteResponse.encode({
        result,
        cachedResult: true,
        status: OK_STATUS,
        serverLogs: {},
        message: '',
      }).finish();
      return { kind: 'response', encoded };
    } catch (cause) {
      signal.throwIfAborted();
      this.#logger.warn({ action: digestKey(digest), err: cause }, 'the action cache failed; the action is executed');
      return undefined;
    }
  }
}

function inlinePaths(paths: readonly string[]): readonly string[] {
  let length = 0;
  const tooMany = paths.findIndex((path) => (length += path.length + PATH_WEIGHT) > MAX_INLINE_PATHS_LENGTH);
  return tooMany < 0 ? paths : paths.slice(0, tooMany);
}

function draining(): Error {
  return unavailable('this replica is shutting down; another has the operation', DRAINING_RETRY_DELAY);
}

function unknownOperation(name: string): Error {
  return notFound(`operation '${name}' is not known; execute again`);
}
