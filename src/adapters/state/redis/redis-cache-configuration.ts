import { z } from 'zod';
import { redisServerShape } from './redis-configuration.ts';

/** What every cache in Redis is told. */
export const redisCacheShape = {
  ...redisServerShape,
  unusedSeconds: z
    .number()
    .min(0)
    .default(7 * 86_400)
    .describe(
      'What nobody has used for so long is dropped, in seconds; default 604 800, a week. 0 leaves that to the ' +
        'maxmemory-policy of Redis alone.',
    ),
};
