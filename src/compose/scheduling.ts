import { InProcessBroker } from '../adapters/broker/in-process/in-process-broker.ts';
import { type BrokerObserver, ObservedBroker } from '../adapters/broker/observed-broker.ts';
import { RabbitmqBroker } from '../adapters/broker/rabbitmq/rabbitmq-broker.ts';
import { brokerConnectionOptions, workQueueOptions } from '../adapters/broker/rabbitmq/rabbitmq-configuration.ts';
import { InProcessLogStreamStore } from '../adapters/log-stream/in-process/in-process-log-stream-store.ts';
import { logStreamLimits } from '../adapters/log-stream/log-streams-configuration.ts';
import { InProcessBotSessionStore } from '../adapters/state/in-process/in-process-bot-session-store.ts';
import { InProcessJobStore } from '../adapters/state/in-process/in-process-job-store.ts';
import { RedisBotSessionStore } from '../adapters/state/redis/redis-bot-session-store.ts';
import { redisConnectionOptions } from '../adapters/state/redis/redis-configuration.ts';
import { RedisConnection } from '../adapters/state/redis/redis-connection.ts';
import { RedisJobStore } from '../adapters/state/redis/redis-job-store.ts';
import { RedisLogStreamStore } from '../adapters/state/redis/redis-log-stream-store.ts';
import { RedisWorkQueueRegistry } from '../adapters/state/redis/redis-work-queue-registry.ts';
import type { ReplicaConfiguration } from '../config/replica-configuration.ts';
import type { SchedulingConfiguration } from '../config/scheduling-schema.ts';
import { type Clock, SteadyClock } from '../lib/clock.ts';
import type { IdGenerator, Random } from '../lib/ids.ts';
import type { Service } from '../lib/lifecycle.ts';
import type { Logger } from '../lib/log.ts';
import type { BotSessionStore } from '../ports/bot-session-store.ts';
import type { Broker } from '../ports/broker.ts';
import type { JobStore } from '../ports/job-store.ts';
import type { LogStreamStore } from '../ports/log-stream-store.ts';
import { createScheduler, type Scheduler } from '../scheduling/scheduler.ts';
import type { SchedulingSettings } from '../scheduling/settings.ts';

export interface SchedulingDependencies {
  readonly clock: Clock;
  readonly ids: IdGenerator;
  readonly random: Random;
  readonly logger: Logger;
}

/** Scheduling, and what it stands on. */
export interface SchedulingBackend {
  readonly scheduler: Scheduler;
  /** Kept where jobs are. */
  readonly logStreams: LogStreamStore;
  /** In the order in which they start. */
  readonly services: readonly Service[];
  /** To what is outside of this process, by name. */
  readonly connections: readonly Connection[];
}

/** A connection to a service that replicas share. */
export interface Connection {
  readonly name: 'redis' | 'rabbitmq';
  /** Whether it can be used now. */
  ready(): boolean;
}

/** What jobs, bots and work are kept in. */
interface Foundation {
  readonly jobs: JobStore;
  readonly sessions: BotSessionStore;
  readonly broker: Broker;
  readonly logStreams: LogStreamStore;
  readonly services: readonly Service[];
  readonly connections: readonly Connection[];
}

/**
 * Puts scheduling together: on Redis and RabbitMQ, which replicas share, or on what this one process holds, where jobs
 * and queues live as long as it does.
 *
 * @param observer hears of every change of a job that this replica makes; of the whole farm, where it is all of it.
 */
export async function composeScheduling(
  configuration: ReplicaConfiguration,
  dependencies: SchedulingDependencies,
  observer: BrokerObserver,
): Promise<SchedulingBackend> {
  const { clock, ids, logger } = dependencies;
  const replicaId = ids.uuid();
  const { services, connections, broker, logStreams, ...stores } = await layFoundation(
    configuration,
    dependencies,
    replicaId,
  );
  const settings = schedulingSettings(configuration.scheduling);
  const observed = new ObservedBroker(broker, observer);
  const scheduler = createScheduler({ ...stores, broker: observed, clock, ids, logger, replicaId, settings });
  return { scheduler, logStreams, services: [...services, scheduler.service], connections };
}

async function layFoundation(
  configuration: ReplicaConfiguration,
  dependencies: SchedulingDependencies,
  replicaId: string,
): Promise<Foundation> {
  const { redis, rabbitmq } = configuration;
  const { clock, random, logger } = dependencies;
  const limits = logStreamLimits(configuration.logStreams);
  if (redis === undefined || rabbitmq === undefined) {
    const steady = new SteadyClock(clock);
    return {
      jobs: new InProcessJobStore({ clock: steady }),
      sessions: new InProcessBotSessionStore({ clock: steady }),
      broker: new InProcessBroker(),
      logStreams: new InProcessLogStreamStore(clock, limits),
      services: [],
      connections: [],
    };
  }
  const connectionName = `warren ${replicaId}`;
  const connection = new RedisConnection({
    ...(await redisConnectionOptions(redis)),
    connectionName,
    random,
    logger: logger.child({ component: 'redis' }),
  });
  const { keyPrefix } = redis;
  const brokerLogger = logger.child({ component: 'rabbitmq' });
  const broker = new RabbitmqBroker({
    connection: { ...(await brokerConnectionOptions(rabbitmq)), connectionName, clock, random, logger: brokerLogger },
    queues: workQueueOptions(rabbitmq),
    registry: new RedisWorkQueueRegistry({
      connection,
      keyPrefix,
      clock,
      maxQueues: rabbitmq.maxWorkQueues,
      idleTimeout: rabbitmq.idleQueueSeconds * 1_000,
    }),
    replicaId,
    persistentMessages: rabbitmq.persistentMessages,
    maxUnconfirmed: rabbitmq.maxUnconfirmed,
    events: rabbitmq.events,
    refreshQueuesEvery: rabbitmq.refreshQueuesSeconds * 1_000,
    clock,
    logger: brokerLogger,
  });
  const logStreams = new RedisLogStreamStore({ connection, keyPrefix, limits, clock, logger });
  return {
    jobs: new RedisJobStore({
      connection,
      keyPrefix,
      maxUnfinished: redis.maxUnfinishedJobs,
      maxFinished: redis.maxFinishedJobs,
      maxFinishedBytes: redis.maxFinishedBytes,
    }),
    sessions: new RedisBotSessionStore({ connection, keyPrefix, clock, maxSessions: redis.maxBotSessions }),
    broker,
    logStreams,
    services: [connection, broker, logStreams],
    connections: [
      { name: 'redis', ready: () => connection.ready },
      { name: 'rabbitmq', ready: () => broker.ready },
    ],
  };
}

function schedulingSettings(configuration: SchedulingConfiguration): Partial<SchedulingSettings> {
  return {
    maxAttempts: configuration.maxAttempts,
    queueTimeout:
      configuration.queueTimeoutSeconds === undefined ? undefined : configuration.queueTimeoutSeconds * 1_000,
    maxExecutionTimeout: configuration.maxExecutionSeconds * 1_000,
    executionTimeoutMargin: configuration.executionMarginSeconds * 1_000,
    abandonAfter: configuration.abandonSeconds * 1_000,
    unservedGrace: configuration.unservedSeconds * 1_000,
    lostWork: configuration.lostWork,
    retention: configuration.retentionSeconds * 1_000,
    leaseTime: configuration.leaseSeconds * 1_000,
  };
}
