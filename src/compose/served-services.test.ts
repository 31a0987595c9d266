import { expect, test } from 'vitest';
import { rabbitmqSchema } from '../adapters/broker/rabbitmq/rabbitmq-configuration.ts';
import { executionPriorities } from './served-services.ts';

test('priorities are advertised where they make a difference', () => {
  const all = { lowest: -2_147_483_648, highest: 2_147_483_647 };
  const addresses = ['127.0.0.1:5672'];
  expect(executionPriorities(undefined)).toEqual(all);
  expect(executionPriorities(rabbitmqSchema.parse({ addresses }))).toEqual(all);
  const quorum = rabbitmqSchema.parse({ addresses, queueType: 'quorum' });
  expect(executionPriorities(quorum)).toEqual({ lowest: 0, highest: 0 });
});
