import type { ConsumeMessage } from 'amqplib';
import type { ReturnedWork } from '../../../ports/broker.ts';
import { decodeWork } from './messages.ts';

/** What a message of the queue of returned ones says, or undefined where it is none of ours. */
export function readReturnedWork(message: ConsumeMessage): ReturnedWork | undefined {
  const work = decodeWork(message.content);
  return work === undefined ? undefined : { work, why: whyReturned(message) };
}

/** What the broker says of the last queue that gave the message up. Its header is believed no more than a body. */
function whyReturned(message: ConsumeMessage): ReturnedWork['why'] {
  const deaths: unknown = message.properties.headers?.['x-death'];
  const [last] = Array.isArray(deaths) ? (deaths as unknown[]) : [];
  const reason = typeof last === 'object' && last !== null ? (last as { reason?: unknown }).reason : undefined;
  if (reason === 'expired') return 'expired';
  return reason === 'maxlen' ? 'overflow' : 'misplaced';
}
