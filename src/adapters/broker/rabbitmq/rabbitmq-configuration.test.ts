import { describe, expect, test } from 'vitest';
import { brokerConnectionOptions, rabbitmqSchema, workQueueOptions } from './rabbitmq-configuration.ts';

describe('rabbitmqSchema', () => {
  test('needs no more than an address', async () => {
    const configuration = rabbitmqSchema.parse({ addresses: ['rabbitmq-1:5672'] });
    expect(await brokerConnectionOptions(configuration)).toMatchObject({
      addresses: [{ host: 'rabbitmq-1', port: 5672 }],
      virtualHost: '/',
      tls: undefined,
    });
    expect(workQueueOptions(configuration)).toEqual({ type: 'classic', priorityLevels: 10, expires: 86_400_000 });
  });

  test.each([
    ['no address', { addresses: [] }],
    ['an address without a port', { addresses: ['rabbitmq-1'] }],
    ['a setting that does not exist', { addresses: ['a:1'], prefetch: 3 }],
    ['more levels than a queue can have', { addresses: ['a:1'], priorityLevels: 256 }],
    ['a certificate without its key', { addresses: ['a:1'], tls: { certificateFile: 'x.pem' } }],
  ])('refuses %s', (_what, value) => {
    expect(rabbitmqSchema.safeParse(value).success).toBe(false);
  });
});
