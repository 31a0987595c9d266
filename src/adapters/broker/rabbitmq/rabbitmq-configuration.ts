import { z } from 'zod';
import { readTlsFiles } from '../../../lib/tls-files.ts';
import { checkClientTls, clientTlsShape, serverNameSchema } from '../../client-tls-schema.ts';
import type { BrokerConnectionOptions, BrokerTls } from './connection.ts';
import type { WorkQueueOptions } from './topology.ts';

const addressSchema = z
  .string()
  .regex(/^[^\s:/]+:\d{1,5}$/, 'is HOST:PORT, such as rabbitmq-1:5672')
  .transform((text) => {
    const colon = text.lastIndexOf(':');
    return { host: text.slice(0, colon), port: Number(text.slice(colon + 1)) };
  });

/**
 * Configuration of the RabbitMQ broker. Example:
 * `{ addresses: [rabbitmq-1:5672, rabbitmq-2:5672], username: warren, password: "${RABBITMQ_PASSWORD}" }`.
 */
export const rabbitmqSchema = z
  .strictObject({
    addresses: z
      .array(addressSchema)
      .min(1)
      .describe('Nodes of the broker, each as HOST:PORT. Tried in turn whenever a connection is needed.'),
    virtualHost: z.string().min(1).default('/').describe('The virtual host; default /.'),
    username: z
      .string()
      .min(1)
      .default('guest')
      .describe('Default guest, which RabbitMQ lets in from its own host alone.'),
    password: z.string().default('guest').describe('Best from the environment: ${RABBITMQ_PASSWORD}.'),
    tls: z
      .strictObject({ ...clientTlsShape, serverName: serverNameSchema })
      .check(checkClientTls)
      .optional()
      .describe(
        'Encrypts the connection (amqps); default: not encrypted. With a certificate of ours the broker takes the user ' +
          'from it (EXTERNAL).',
      ),
    heartbeatSeconds: z
      .int()
      .min(1)
      .max(600)
      .default(10)
      .describe('A broker that is silent for twice as long counts as gone; default 10.'),
    queueType: z
      .enum(['classic', 'quorum'])
      .default('classic')
      .describe(
        '`classic` queues have priority levels; `quorum` queues are replicated over the nodes of the broker, and run in ' +
          'order of arrival. Default classic: Redis can fill a lost queue again.',
      ),
    priorityLevels: z
      .int()
      .min(1)
      .max(255)
      .default(10)
      .describe('Levels of a classic queue that priorities are mapped to; each costs the broker memory; default 10.'),
    idleQueueSeconds: z
      .int()
      .min(60)
      .default(86_400)
      .describe('After so long without use a work queue is deleted; default 86400, a day.'),
    maxWorkQueues: z
      .int()
      .min(1)
      .default(1_000)
      .describe('More different requirements than this are refused with RESOURCE_EXHAUSTED; default 1000.'),
    persistentMessages: z
      .boolean()
      .default(true)
      .describe(
        'Whether messages survive a restart of the broker; default true. Without it publishing costs less, and work is ' +
          'offered again from Redis after a restart.',
      ),
    maxUnconfirmed: z
      .int()
      .min(1)
      .default(10_000)
      .describe(
        'Messages that may wait for the broker to confirm them; default 10000. More are refused with ' +
          'RESOURCE_EXHAUSTED, so that a slow broker does not become growing memory.',
      ),
    events: z
      .boolean()
      .default(true)
      .describe('Whether changes of jobs are published to the exchange warren.events; default true.'),
    refreshQueuesSeconds: z
      .number()
      .positive()
      .default(5)
      .describe('How long a new or paused queue can go unnoticed where a hint was lost; default 5.'),
  })
  .describe('RabbitMQ, which carries work to bots and hints between replicas.');

export type RabbitmqConfiguration = z.output<typeof rabbitmqSchema>;

/**
 * What a connection needs of the configuration, its certificates read.
 *
 * @throws TlsFilesError.
 */
export async function brokerConnectionOptions(
  configuration: RabbitmqConfiguration,
): Promise<Omit<BrokerConnectionOptions, 'connectionName' | 'clock' | 'random' | 'logger'>> {
  return {
    addresses: configuration.addresses,
    virtualHost: configuration.virtualHost,
    username: configuration.username,
    password: configuration.password,
    tls: await readTls(configuration.tls),
    heartbeatSeconds: configuration.heartbeatSeconds,
    connectTimeout: CONNECT_TIMEOUT_MS,
  };
}

/** How work queues are declared. */
export function workQueueOptions(configuration: RabbitmqConfiguration): WorkQueueOptions {
  return {
    type: configuration.queueType,
    priorityLevels: configuration.priorityLevels,
    expires: configuration.idleQueueSeconds * 1_000,
  };
}

const CONNECT_TIMEOUT_MS = 5_000;

async function readTls(tls: RabbitmqConfiguration['tls']): Promise<BrokerTls | undefined> {
  return tls === undefined ? undefined : { ...(await readTlsFiles(tls)), serverName: tls.serverName };
}
