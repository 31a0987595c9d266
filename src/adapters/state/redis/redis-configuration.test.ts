import { describe, expect, test } from 'vitest';
import { SelfSignedCertificate } from '../../../../test/support/certificates.ts';
import { redisConnectionOptions, redisSchema } from './redis-configuration.ts';

describe('the configuration of Redis', () => {
  test('needs nothing for a server on the same machine', async () => {
    expect(await redisConnectionOptions(redisSchema.parse({}))).toMatchObject({
      mode: 'single',
      addresses: [{ host: '127.0.0.1', port: 6379 }],
      commandTimeout: 10_000,
      batching: 'corked',
    });
  });

  test.each([
    ['redis.example', { host: 'redis.example', port: 6379 }],
    ['redis.example:7000', { host: 'redis.example', port: 7000 }],
    ['[::1]:7000', { host: '::1', port: 7000 }],
  ])('takes the address %s', async (address, expected) => {
    const options = await redisConnectionOptions(redisSchema.parse({ addresses: [address] }));
    expect(options.addresses).toEqual([expected]);
  });

  test.each([
    [{ addresses: ['redis://host'] }, 'addresses'],
    [{ addresses: [] }, 'addresses'],
    [{ mode: 'sentinel' }, 'sentinelName'],
    [{ mode: 'cluster', database: 1 }, 'database'],
    [{ keyPrefix: 'a{b}' }, 'keyPrefix'],
    [{ tls: { certificateFile: 'a.pem' } }, 'tls'],
    [{ passwort: 'x' }, undefined],
  ])('refuses %j and names the field', (value, field) => {
    const parsed = redisSchema.safeParse(value);
    expect(parsed.error?.issues[0]?.path[0]).toBe(field);
    expect(parsed.success).toBe(false);
  });

  test('reads the files of certificates', async () => {
    await using certificate = await SelfSignedCertificate.create();
    const configuration = redisSchema.parse({ tls: { authoritiesFile: certificate.certificateFile } });
    const { tls } = await redisConnectionOptions(configuration);
    expect(String(tls?.ca)).toContain('BEGIN CERTIFICATE');
  });
});
