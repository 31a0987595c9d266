import { StatusCode } from '../../../domain/status-code.ts';
import { StatusError } from '../../../domain/status-error.ts';
import type { Logger } from '../../../lib/log.ts';

const OLDEST_MAJOR_VERSION = 6;

/**
 * `state`: jobs, bots and all that must not be lost. `cache`: blobs and results, which may go. `bounded`: what may go and
 * is kept within bounds of its own.
 */
export type RedisPurpose = 'state' | 'cache' | 'bounded';

/**
 * Whether a Redis will do for what is kept in it.
 *
 * @param info what its INFO command answers.
 * @returns its major version.
 * @throws FAILED_PRECONDITION when it is too old. What else can lose what is kept, or grow without bound, is logged as a
 *   warning, with what to set.
 */
export function checkServer(info: string, logger: Logger, purpose: RedisPurpose = 'state'): number {
  const fields = new Map(
    info.split(/\r?\n/).map((line): [string, string] => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon), line.slice(colon + 1)];
    }),
  );
  const version = fields.get('redis_version') ?? '';
  const major = Number.parseInt(version, 10);
  if (!(major >= OLDEST_MAJOR_VERSION)) {
    throw new StatusError(
      StatusCode.FAILED_PRECONDITION,
      `Redis is of version '${version}'; ${OLDEST_MAJOR_VERSION}.0 or newer is needed`,
    );
  }
  if (purpose === 'bounded') return major;
  if (purpose === 'cache') {
    if (fields.get('maxmemory') === '0') {
      logger.warn({}, 'Redis has no maxmemory: what is cached there may fill the memory of its machine');
    }
    return major;
  }
  const policy = fields.get('maxmemory_policy') ?? 'noeviction';
  if (policy !== 'noeviction') {
    logger.warn(
      { maxmemoryPolicy: policy, maxmemory: fields.get('maxmemory') },
      'Redis drops jobs and bot sessions when its memory is full; set maxmemory-policy to noeviction, so that new work ' +
        'is refused instead',
    );
  }
  if (fields.get('aof_enabled') === '0') {
    logger.warn(
      {},
      'Redis keeps no append-only file; jobs under way are lost when it restarts, and clients must execute them anew: ' +
        'set appendonly to yes',
    );
  }
  return major;
}
