import { workQueueName } from '../../src/adapters/broker/rabbitmq/names.ts';
import type { RabbitmqBroker, RabbitmqBrokerOptions } from '../../src/adapters/broker/rabbitmq/rabbitmq-broker.ts';
import { RedisBotSessionStore } from '../../src/adapters/state/redis/redis-bot-session-store.ts';
import type { RedisConnection } from '../../src/adapters/state/redis/redis-connection.ts';
import { offer } from '../../src/domain/job-machine/tell.ts';
import { parseOperationName } from '../../src/domain/operation.ts';
import { createRequirement } from '../../src/domain/platform.ts';
import type { WorkMessage } from '../../src/domain/work.ts';
import type { FakeClock } from '../../src/lib/fake-clock.ts';
import type { SchedulingSettings } from '../../src/scheduling/settings.ts';
import { statusFromWire } from '../../src/wire/status.ts';
import { AT_ONCE } from './call-context.ts';
import { RabbitmqFarm } from './rabbitmq-farm.ts';
import type { RabbitmqServer } from './rabbitmq-server.ts';
import { createJobStore } from './redis-fixtures.ts';
import { type TestBot, type TestClient, TestGrid } from './test-grid.ts';

const never = new AbortController().signal;

/** For what takes as long as the broker, Redis and the machine need. */
const PATIENCE_MS = 20_000;
const LOOK_EVERY_MS = 50;
const LINUX = { OSFamily: 'linux' };

export interface OperatedFarmOptions {
  readonly server: RabbitmqServer;
  readonly instanceName: string;
  /** Where jobs and sessions are, for two replicas. Without it they are in the one process. */
  readonly redis?: RedisConnection | undefined;
  readonly queueType?: 'classic' | 'quorum';
  readonly settings?: Partial<SchedulingSettings>;
  readonly broker?: Partial<RabbitmqBrokerOptions>;
}

/**
 * Scheduling over a real broker, whose operator the test is. It runs on the test's clock, and RabbitMQ does not.
 *
 * With Redis there are two replicas, one for clients and one for bots, which share nothing else.
 */
export class OperatedFarm implements AsyncDisposable {
  readonly instanceName: string;
  readonly #farm: RabbitmqFarm;
  readonly #grids: readonly TestGrid[];

  private constructor(instanceName: string, farm: RabbitmqFarm, grids: readonly TestGrid[]) {
    this.instanceName = instanceName;
    this.#farm = farm;
    this.#grids = grids;
  }

  static async start(options: OperatedFarmOptions): Promise<OperatedFarm> {
    const { server, instanceName, redis, queueType = 'classic', settings, broker } = options;
    const farm = await RabbitmqFarm.start(server, instanceName, redis === undefined ? 1 : 2, {
      queues: { type: queueType, priorityLevels: 10, expires: 3_600_000 },
      ...broker,
    });
    const grids: TestGrid[] = [];
    for (const [i, each] of farm.replicas.entries()) {
      const grid = new TestGrid({
        broker: each,
        replicaId: `${instanceName}-replica-${i}`,
        instanceNames: [instanceName, 'other'],
        settings: { abandonAfter: 86_400_000, ...settings },
        ...(i > 0 ? { shared: grids[0] as TestGrid } : {}),
        ...(redis === undefined ? {} : { state: (clock) => stateOn(redis, instanceName, clock) }),
      });
      grids.push(await grid.start());
    }
    return new OperatedFarm(instanceName, farm, grids);
  }

  /** The replica that clients speak to. */
  get front(): TestGrid {
    return this.#grids[0] as TestGrid;
  }

  /** The replica that bots speak to. */
  get back(): TestGrid {
    return this.#grids.at(-1) as TestGrid;
  }

  /** The broker of the replica that bots speak to. */
  get broker(): RabbitmqBroker {
    return this.#farm.replicas.at(-1) as RabbitmqBroker;
  }

  get brokers(): readonly RabbitmqBroker[] {
    return this.#farm.replicas;
  }

  queueName(properties: Readonly<Record<string, string>> = LINUX): string {
    const requirement = createRequirement(Object.entries(properties).map(([name, value]) => ({ name, value })));
    return workQueueName({ instanceName: this.instanceName, requirement });
  }

  /** What a policy of this farm's work queues, and no other's, is set for. */
  get queuePattern(): string {
    return `^${this.queueName({}).replaceAll(/[.%]/g, '\\$&')}`;
  }

  /** A job that waits; its message is in the broker. */
  async execute(
    argument: string,
    priority = 0,
    platform: Readonly<Record<string, string>> = LINUX,
  ): Promise<TestClient> {
    const { front, instanceName } = this;
    const action = await front.uploadAction({ argument, platform });
    const client = front.execute(action, { instanceName, executionPolicy: { priority } });
    await eventually(() => client.name !== '', 'the job waits');
    return client;
  }

  /** What the message of a job says. */
  async workOf(client: TestClient): Promise<WorkMessage> {
    const job = await this.front.jobs.getByOperation(parseOperationName(client.name)?.id ?? '', never);
    const effect = job === undefined ? undefined : offer(job);
    if (effect?.type !== 'offer') throw new Error('there is no job');
    return effect.work;
  }

  /** A bot that fits, and that may poll on and on as long as the test's clock is moved. */
  async bot(platform: Readonly<Record<string, string>> = LINUX, botId = 'bot', grid = this.back): Promise<TestBot> {
    const wish = { parent: this.instanceName, properties: Object.entries(platform), deadline: 86_400_000 };
    const bot = grid.bot(botId, wish);
    await bot.create(AT_ONCE);
    return bot;
  }

  /** Moves the test's clock until something is so. */
  async until(what: string, check: () => boolean | Promise<boolean>): Promise<void> {
    await eventually(async () => {
      await this.front.clock.advance(1_000);
      return check();
    }, what);
  }

  /** Moves the test's clock until the client has its answer. */
  async ended(client: TestClient): Promise<{ code: number; message: string; details: readonly unknown[] }> {
    await this.until('the client has its answer', () => client.ended);
    const { status } = client.response;
    if (status === undefined) throw new Error('the answer has no status');
    const { code, message, details } = statusFromWire(status);
    return { code, message, details };
  }

  /** Moves the test's clock until the bot has so many leases. */
  async leased(bot: TestBot, count: number): Promise<void> {
    await this.until(`${bot.botId} has ${count} leases`, () => bot.leases.length === count);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const grid of [...this.#grids].reverse()) await grid.stop();
    await this.#farm[Symbol.asyncDispose]();
  }
}

function stateOn(connection: RedisConnection, instanceName: string, clock: FakeClock) {
  const keyPrefix = `${instanceName}:`;
  const now = () => clock.now();
  return {
    jobs: createJobStore(connection, { keyPrefix, now }),
    sessions: new RedisBotSessionStore({ connection, keyPrefix, maxSessions: 100, clock, now }),
  };
}

/** @throws Error where it does not become so. */
async function eventually(check: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error(`in vain it was waited until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}
