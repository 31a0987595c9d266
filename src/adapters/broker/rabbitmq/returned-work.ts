import type { ConsumeMessage } from 'amqplib';
import { z } from 'zod';
import type { ReturnedWork } from '../../../ports/broker.ts';
import { decodeWork } from './messages.ts';
import { WORK_EXCHANGE, workQueueName } from './names.ts';

/** What the broker says of the last queue that gave a message up. */
const deathSchema = z.object({
  queue: z.string(),
  reason: z.string(),
  exchange: z.string(),
  'routing-keys': z.array(z.string()),
});

type Death = z.output<typeof deathSchema>;

/** A message that its queue gave up, as read from the queue of returned ones. */
export interface ReturnedMessage extends ReturnedWork {
  /**
   * Whether it is a copy that an operator's binding has brought into one more queue than the job's own, which has a
   * message still. Nothing is lost with it; were it offered again, it would be copied again.
   */
  readonly isCopy: boolean;
}

/** What a message of the queue of returned ones says, or undefined where it is none of ours. */
export function readReturnedWork(message: ConsumeMessage): ReturnedMessage | undefined {
  const work = decodeWork(message.content);
  if (work === undefined) return undefined;
  const death = lastDeath(message);
  return { work, why: whyReturned(death), isCopy: death !== undefined && isCopy(death, workQueueName(work)) };
}

/** The broker's header is believed no more than a body. */
function lastDeath(message: ConsumeMessage): Death | undefined {
  const deaths: unknown = message.properties.headers?.['x-death'];
  const [last] = Array.isArray(deaths) ? (deaths as unknown[]) : [];
  return deathSchema.safeParse(last).data;
}

/** What RabbitMQ calls it when a queue gives a message up; whatever else is the replicas' own refusal. */
const REASONS = new Map<string | undefined, ReturnedWork['why']>([
  ['expired', 'expired'],
  ['maxlen', 'overflow'],
  ['delivery_limit', 'too-often'],
]);

function whyReturned(death: Death | undefined): ReturnedWork['why'] {
  return REASONS.get(death?.reason) ?? 'misplaced';
}

/** What was moved by hand or by a shovel comes by another exchange or under another key. */
function isCopy({ queue, exchange, 'routing-keys': keys }: Death, ownQueue: string): boolean {
  return exchange === WORK_EXCHANGE && keys.includes(ownQueue) && queue !== ownQueue;
}
