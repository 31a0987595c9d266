import { MemoryActionCacheStore } from '../../src/adapters/action-cache/memory/memory-action-cache-store.ts';
import { MemoryBlobStore } from '../../src/adapters/blob/memory/memory-blob-store.ts';
import { InProcessBroker } from '../../src/adapters/broker/in-process/in-process-broker.ts';
import { InProcessBotSessionStore } from '../../src/adapters/state/in-process/in-process-bot-session-store.ts';
import { InProcessJobStore } from '../../src/adapters/state/in-process/in-process-job-store.ts';
import { type Digest, digestOf } from '../../src/domain/digest.ts';
import { FakeClock } from '../../src/lib/fake-clock.ts';
import { SequentialIdGenerator } from '../../src/lib/ids.ts';
import { silentLogger } from '../../src/lib/log.ts';
import type { BotSessionStore } from '../../src/ports/bot-session-store.ts';
import type { Broker } from '../../src/ports/broker.ts';
import type { CallContext } from '../../src/ports/call-context.ts';
import type { JobStore } from '../../src/ports/job-store.ts';
import {
  Action,
  ActionResult,
  Command,
  Directory,
  ExecuteOperationMetadata,
  ExecuteRequest,
  ExecuteResponse,
  ExecutionStage_Value,
} from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import {
  BotSession,
  BotStatus,
  type Lease,
  LeaseState,
} from '../../src/proto/google/devtools/remoteworkers/v1test2/bots.ts';
import type { Operation as WireOperation } from '../../src/proto/google/longrunning/operations.ts';
import { createScheduler, type Scheduler } from '../../src/scheduling/scheduler.ts';
import type { SchedulingSettings } from '../../src/scheduling/settings.ts';
import { CompletenessCheckingActionResults } from '../../src/services/action-results.ts';
import { Bots } from '../../src/services/bots.ts';
import { Execution } from '../../src/services/execution.ts';
import { Instances } from '../../src/services/instances.ts';
import { Operations } from '../../src/services/operations.ts';
import { PlatformRules, type PlatformRulesOptions } from '../../src/services/platform-rules.ts';
import { packAny } from '../../src/wire/any.ts';
import { digestToWire } from '../../src/wire/digest.ts';
import { callContext } from './call-context.ts';
import { testInstance } from './instance.ts';

export interface TestGridOptions {
  readonly settings?: Partial<SchedulingSettings>;
  readonly platform?: PlatformRulesOptions;
  readonly instanceNames?: readonly string[];
  readonly maximumBlobBytes?: number;
  /** Another replica on the state of an earlier one. */
  readonly shared?: TestGrid;
  readonly replicaId?: string;
  /** Where jobs and bot sessions are kept. Defaults to this process. */
  readonly state?: (clock: FakeClock) => { readonly jobs: JobStore; readonly sessions: BotSessionStore };
  /** What carries work. Defaults to `TestGrid.broker`. */
  readonly broker?: Broker;
}

/** An action, as a test wants it. */
export interface ActionWish {
  readonly argument?: string;
  readonly platform?: Readonly<Record<string, string>>;
  readonly platformInCommand?: Readonly<Record<string, string>>;
  readonly doNotCache?: boolean;
  readonly timeoutSeconds?: number;
}

/** Execution, Operations and Bots without gRPC, upon in-process adapters unless told otherwise. The test moves the clock. */
export class TestGrid {
  readonly clock: FakeClock;
  readonly jobs: JobStore;
  readonly sessions: BotSessionStore;
  readonly broker: InProcessBroker;
  readonly blobs: MemoryBlobStore;
  readonly actionResults: CompletenessCheckingActionResults;
  readonly scheduler: Scheduler;
  readonly execution: Execution;
  readonly operations: Operations;
  readonly bots: Bots;
  readonly #ids: SequentialIdGenerator;

  constructor(options: TestGridOptions = {}) {
    const { shared } = options;
    this.clock = shared?.clock ?? new FakeClock();
    this.#ids = shared === undefined ? new SequentialIdGenerator() : shared.#ids;
    const state = shared ?? options.state?.(this.clock);
    this.jobs = state?.jobs ?? new InProcessJobStore({ clock: this.clock });
    this.sessions = state?.sessions ?? new InProcessBotSessionStore({ clock: this.clock });
    this.broker = shared?.broker ?? new InProcessBroker();
    this.blobs = shared?.blobs ?? new MemoryBlobStore(options.maximumBlobBytes ?? 64 * 1024 * 1024);
    this.actionResults =
      shared?.actionResults ??
      new CompletenessCheckingActionResults(new MemoryActionCacheStore(1024 * 1024), this.blobs, silentLogger);
    const instances = new Instances(
      (options.instanceNames ?? ['main', '']).map((name) =>
        testInstance(this.blobs, { name, pins: this.blobs, actionResults: this.actionResults }),
      ),
    );
    const logger = silentLogger;
    this.scheduler = createScheduler({
      jobs: this.jobs,
      sessions: this.sessions,
      broker: options.broker ?? this.broker,
      clock: this.clock,
      ids: this.#ids,
      logger,
      replicaId: options.replicaId ?? 'replica-1',
      settings: options.settings ?? {},
    });
    const { scheduler } = this;
    const platformRules = new PlatformRules(options.platform);
    this.execution = new Execution({ instances, scheduler, clock: this.clock, logger, platformRules });
    this.operations = new Operations({ instances, scheduler, logger });
    this.bots = new Bots({ instances, scheduler, logger });
  }

  async start(): Promise<this> {
    await this.scheduler.service.start(never());
    return this;
  }

  async stop(): Promise<void> {
    await this.scheduler.service.stop(never());
  }

  async upload(data: Uint8Array): Promise<Digest> {
    const digest = digestOf(data);
    await this.blobs.write(digest, data, never());
    return digest;
  }

  async uploadAction(wish: ActionWish = {}): Promise<Digest> {
    const command = Command.fromPartial({
      arguments: ['run', wish.argument ?? 'it'],
      ...(wish.platformInCommand === undefined ? {} : { platform: { properties: properties(wish.platformInCommand) } }),
    });
    const commandDigest = await this.upload(Command.encode(command).finish());
    const inputRootDigest = await this.upload(Directory.encode(Directory.create()).finish());
    const action = Action.fromPartial({
      commandDigest: digestToWire(commandDigest),
      inputRootDigest: digestToWire(inputRootDigest),
      doNotCache: wish.doNotCache ?? false,
      ...(wish.platform === undefined ? {} : { platform: { properties: properties(wish.platform) } }),
      ...(wish.timeoutSeconds === undefined
        ? {}
        : { timeout: { seconds: BigInt(Math.trunc(wish.timeoutSeconds)), nanos: 0 } }),
    });
    return this.upload(Action.encode(action).finish());
  }

  /** Executes; the answers come into the returned client as they are sent. */
  execute(action: Digest, parts: Partial<ExecuteRequest> = {}, context: Partial<CallContext> = {}): TestClient {
    const request = ExecuteRequest.fromPartial({ instanceName: 'main', actionDigest: digestToWire(action), ...parts });
    return new TestClient((full) => this.execution.execute(request, full), context);
  }

  wait(name: string, context: Partial<CallContext> = {}): TestClient {
    return new TestClient((full) => this.execution.waitExecution({ name }, full), context);
  }

  /** A bot that has no session yet. */
  bot(botId: string, wish: BotWish = {}): TestBot {
    return new TestBot(this, botId, wish);
  }

  /** Lets everything that can run without time passing run. */
  settle(): Promise<void> {
    return this.clock.advance(0);
  }
}

/** One stream of Execute or WaitExecution. */
export class TestClient {
  readonly operations: WireOperation[] = [];
  readonly #abort = new AbortController();
  readonly done: Promise<void>;
  /** What the stream ended with, if with an error. */
  failure: unknown;
  ended = false;

  constructor(call: (context: CallContext) => AsyncIterable<WireOperation>, context: Partial<CallContext>) {
    this.done = this.#run(call(callContext({ signal: this.#abort.signal, ...context })));
  }

  get stages(): number[] {
    return this.operations.map((each) => metadataOf(each).stage);
  }

  get stageNames(): string[] {
    return this.stages.map(
      (stage) => Object.entries(ExecutionStage_Value).find(([, value]) => value === stage)?.[0] ?? '?',
    );
  }

  get name(): string {
    return this.operations[0]?.name ?? '';
  }

  /** The ExecuteResponse of the last message. */
  get response(): ExecuteResponse {
    const last = this.operations.at(-1);
    if (last?.result?.$case !== 'response') throw new Error('the operation has no response yet');
    return ExecuteResponse.decode(last.result.value.value);
  }

  disconnect(): void {
    this.#abort.abort();
  }

  async #run(stream: AsyncIterable<WireOperation>): Promise<void> {
    try {
      for await (const operation of stream) this.operations.push(operation);
    } catch (cause) {
      this.failure = cause;
    }
    this.ended = true;
  }
}

export interface BotWish {
  readonly parent?: string;
  readonly capacity?: number;
  readonly properties?: ReadonlyArray<readonly [string, string]>;
  /** Milliseconds that each call waits. Defaults to 30 000. */
  readonly deadline?: number;
}

/** A bot as the wire knows it. It does only what the test tells it. */
export class TestBot {
  readonly #grid: TestGrid;
  readonly botId: string;
  readonly #wish: BotWish;
  session: BotSession;
  status: BotStatus = BotStatus.OK;
  leases: Lease[] = [];
  trailers: Array<readonly [string, string | Uint8Array]> = [];

  constructor(grid: TestGrid, botId: string, wish: BotWish) {
    this.#grid = grid;
    this.botId = botId;
    this.#wish = wish;
    this.session = BotSession.create();
  }

  /** The same bot, speaking to another replica from now on. */
  at(grid: TestGrid): TestBot {
    const moved = new TestBot(grid, this.botId, this.#wish);
    moved.session = this.session;
    moved.leases = this.leases;
    return moved;
  }

  async create(context: Partial<CallContext> = {}): Promise<BotSession> {
    const parent = this.#wish.parent ?? 'main';
    return this.#take(
      await this.#grid.bots.createBotSession({ parent, botSession: this.message() }, this.#context(context)),
    );
  }

  async update(context: Partial<CallContext> = {}): Promise<BotSession> {
    const request = { name: this.session.name, botSession: this.message() };
    return this.#take(await this.#grid.bots.updateBotSession(request, this.#context(context)));
  }

  /** Says that a lease is finished, in the next call. */
  complete(
    id: string,
    result: Partial<ActionResult> | undefined,
    status: { code: number; message: string } = OK,
  ): void {
    this.leases = this.leases.map((lease) =>
      lease.id === id
        ? {
            ...lease,
            state: LeaseState.COMPLETED,
            status: { ...status, details: [] },
            result: result === undefined ? undefined : packResult(result),
          }
        : lease,
    );
  }

  activate(): void {
    this.leases = this.leases.map((lease) => ({ ...lease, state: LeaseState.ACTIVE }));
  }

  message(): BotSession {
    return BotSession.fromPartial({
      name: this.session.name,
      botId: this.botId,
      status: this.status,
      worker: {
        devices: [
          { handle: 'device', properties: (this.#wish.properties ?? []).map(([key, value]) => ({ key, value })) },
        ],
        configs: this.#wish.capacity === undefined ? [] : [{ key: 'capacity', value: String(this.#wish.capacity) }],
      },
      leases: this.leases,
    });
  }

  #context(parts: Partial<CallContext>): CallContext {
    this.trailers = [];
    return callContext({
      remainingMilliseconds: () => this.#wish.deadline ?? 30_000,
      addTrailer: (name, value) => this.trailers.push([name, value]),
      ...parts,
    });
  }

  #take(session: BotSession): BotSession {
    this.session = session;
    this.leases = session.leases;
    return session;
  }
}

const OK = { code: 0, message: '' };

export function packResult(result: Partial<ActionResult>): Lease['result'] {
  return packAny(
    'build.bazel.remote.execution.v2.ActionResult',
    ActionResult.encode(ActionResult.fromPartial(result)).finish(),
  );
}

export function metadataOf(operation: WireOperation): ExecuteOperationMetadata {
  return ExecuteOperationMetadata.decode(operation.metadata?.value ?? new Uint8Array(0));
}

function properties(from: Readonly<Record<string, string>>): Array<{ name: string; value: string }> {
  return Object.entries(from).map(([name, value]) => ({ name, value }));
}

function never(): AbortSignal {
  return new AbortController().signal;
}
