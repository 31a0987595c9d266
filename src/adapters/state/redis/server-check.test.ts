import { describe, expect, test } from 'vitest';
import { StatusCode } from '../../../domain/status-code.ts';
import { type Logger, silentLogger } from '../../../lib/log.ts';
import { checkServer, type RedisPurpose } from './server-check.ts';

function infoOf(changes: Record<string, string> = {}): string {
  const fields = { redis_version: '7.0.15', maxmemory_policy: 'noeviction', aof_enabled: '1', ...changes };
  return `# Server\r\n${Object.entries(fields)
    .map(([name, value]) => `${name}:${value}\r\n`)
    .join('')}`;
}

function warningsFor(info: string, purpose?: RedisPurpose): string[] {
  const warnings: string[] = [];
  const logger: Logger = { ...silentLogger, warn: (_fields, message) => warnings.push(message) };
  checkServer(info, logger, purpose);
  return warnings;
}

describe('the check of a server', () => {
  test('lets pass in silence what is fit', () => {
    expect(warningsFor(infoOf())).toEqual([]);
  });

  test.each(['5.0.14', ''])('refuses version %j', (version) => {
    expect(() => warningsFor(infoOf({ redis_version: version }))).toThrow(
      expect.objectContaining({ code: StatusCode.FAILED_PRECONDITION }),
    );
  });

  test('warns of an eviction policy that drops jobs, and says what to set', () => {
    expect(warningsFor(infoOf({ maxmemory_policy: 'allkeys-lru' }))).toEqual([
      expect.stringContaining('set maxmemory-policy to noeviction'),
    ]);
  });

  test('warns where a restart forgets everything, and says what to set', () => {
    expect(warningsFor(infoOf({ aof_enabled: '0' }))).toEqual([expect.stringContaining('set appendonly to yes')]);
  });

  test('warns of nothing but boundless growth where it is a cache', () => {
    const cache = infoOf({ maxmemory_policy: 'allkeys-lru', aof_enabled: '0', maxmemory: '1000000' });
    expect(warningsFor(cache, 'cache')).toEqual([]);
    expect(warningsFor(infoOf({ maxmemory: '0' }), 'cache')).toEqual([expect.stringContaining('maxmemory')]);
    expect(warningsFor(infoOf({ maxmemory: '0', aof_enabled: '0' }), 'bounded')).toEqual([]);
  });
});
