import { z } from 'zod';
import { originSchema } from '../origin/origin-configuration.ts';

/** What assets have to be told wherever they are kept. */
export const assetsShape = {
  pushes: z
    .boolean()
    .default(true)
    .describe(
      'Whether clients may say themselves what a URI stands for (PushBlob, PushDirectory); default true. Whoever may ' +
        'push decides what others get for a URI that they fetch without a checksum.',
    ),
  fetch: originSchema,
};
