import type { ChannelModel } from 'amqplib';
import { RabbitmqBroker, type RabbitmqBrokerOptions } from '../../src/adapters/broker/rabbitmq/rabbitmq-broker.ts';
import { InProcessWorkQueueRegistry } from '../../src/adapters/queue-registry/in-process/in-process-work-queue-registry.ts';
import { createCapability, createRequirement } from '../../src/domain/platform.ts';
import type { WorkMessage } from '../../src/domain/work.ts';
import { SystemClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/log.ts';
import type { WorkInterest } from '../../src/ports/broker.ts';

const never = new AbortController().signal;

/** Brokers of replicas that share a registry, as they would share Redis. */
export class RabbitmqFarm implements AsyncDisposable {
  readonly replicas: readonly RabbitmqBroker[];

  private constructor(replicas: readonly RabbitmqBroker[]) {
    this.replicas = replicas;
  }

  /** The only replica, or the first. */
  get replica(): RabbitmqBroker {
    const [first] = this.replicas;
    if (first === undefined) throw new Error('the farm has no replica');
    return first;
  }

  /** @param name begins the ids of the replicas. */
  static async start(
    { port }: { readonly port: number },
    name: string,
    count: number,
    changes: Partial<RabbitmqBrokerOptions> = {},
  ): Promise<RabbitmqFarm> {
    const clock = new SystemClock();
    const registry = new InProcessWorkQueueRegistry({ clock, maxQueues: 100, idleTimeout: 3_600_000 });
    const replicas = Array.from({ length: count }, (_, i) => {
      const replicaId = `${name}-replica-${i}`;
      return new RabbitmqBroker({
        connection: {
          addresses: [{ host: '127.0.0.1', port }],
          virtualHost: '/',
          username: 'guest',
          password: 'guest',
          heartbeatSeconds: 10,
          connectTimeout: 5_000,
          connectionName: replicaId,
          backoff: { initial: 50, maximum: 500 },
          clock,
          random: () => 0.5,
          logger: silentLogger,
        },
        queues: { type: 'classic', priorityLevels: 10, expires: 3_600_000 },
        registry,
        replicaId,
        persistentMessages: true,
        maxUnconfirmed: 10_000,
        events: true,
        refreshQueuesEvery: 60_000,
        clock,
        logger: silentLogger,
        ...changes,
      });
    });
    for (const replica of replicas) await replica.start(never);
    return new RabbitmqFarm(replicas);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const replica of this.replicas) await replica.stop();
  }
}

/** A work message that needs no more than what a test cares for. */
export function workMessage(
  instanceName: string,
  jobId: string,
  properties: Readonly<Record<string, string>> = {},
  changes: Partial<WorkMessage> = {},
): WorkMessage {
  return {
    jobId,
    attempt: 1,
    instanceName,
    requirement: createRequirement(Object.entries(properties).map(([name, value]) => ({ name, value }))),
    priority: 0,
    queuedAt: 1_000,
    offeredAt: 1_000,
    actionDigest: { digestFunction: 1, hash: 'ab'.repeat(32), sizeBytes: 3 },
    tool: 'bazel',
    target: '//a:b',
    mnemonic: 'CppCompile',
    invocation: 'i',
    ...changes,
  };
}

/** What a bot with these properties can run. */
export function interestOf(instanceName: string, properties: Readonly<Record<string, string>> = {}): WorkInterest {
  return {
    instanceName,
    capability: createCapability(Object.entries(properties).map(([name, value]) => ({ name, value }))),
  };
}

/** Consumers of a queue; undefined where it does not exist. */
export async function consumersOf(operator: ChannelModel, queue: string): Promise<number | undefined> {
  const looking = await operator.createChannel();
  looking.on('error', () => {});
  try {
    const { consumerCount } = await looking.checkQueue(queue);
    await looking.close();
    return consumerCount;
  } catch {
    return undefined;
  }
}

/** Waits until the broker says so: its counters lag behind. */
export async function eventually(check: () => Promise<boolean>): Promise<boolean> {
  for (let tries = 0; tries < 200; tries++) {
    if (await check().catch(() => false)) return true;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return check();
}
