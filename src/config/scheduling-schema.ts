import { z } from 'zod';

/** How jobs wait, run and end. */
export const schedulingSchema = z
  .strictObject({
    maxAttempts: z
      .int()
      .min(1)
      .default(5)
      .describe(
        'How often a job is given to a bot before it ends with ABORTED; default 5. Every lease that came to nothing ' +
          'counts, so that an action that kills its workers does not go round for ever.',
      ),
    queueTimeoutSeconds: z
      .number()
      .positive()
      .optional()
      .describe('Longest wait for a bot, in seconds, after which the job ends with UNAVAILABLE; default none.'),
    maxExecutionSeconds: z
      .number()
      .positive()
      .default(7_200)
      .describe(
        'The greatest timeout that an action may ask for, and that of those that ask for none, in seconds; default ' +
          '7200. More is refused with INVALID_ARGUMENT.',
      ),
    executionMarginSeconds: z
      .number()
      .positive()
      .default(300)
      .describe(
        "How long a lease may last beyond the action's timeout, for fetching inputs and storing outputs, in seconds; " +
          'default 300. After it the job ends with DEADLINE_EXCEEDED.',
      ),
    abandonSeconds: z
      .number()
      .positive()
      .default(5)
      .describe(
        'How long a job goes on that no client waits for, in seconds; default 5. Longer lets a client that lost its ' +
          'connection find its job still running; shorter leaves less running after an interrupted build.',
      ),
    unservedSeconds: z
      .number()
      .min(0)
      .default(60)
      .describe(
        'How long a job waits that no live bot could run, in seconds, before it ends with FAILED_PRECONDITION naming ' +
          'what no bot offers; default 60.',
      ),
    lostWork: z
      .enum(['resend', 'fail'])
      .default('resend')
      .describe(
        'What becomes of a job whose message is gone from its queue, which was purged or deleted, or whose messages ' +
          'were moved: `resend` offers it again, `fail` ends it with ABORTED; default resend.',
      ),
    retentionSeconds: z
      .number()
      .positive()
      .default(900)
      .describe('How long finished operations can be asked for, in seconds; default 900.'),
    leaseSeconds: z
      .number()
      .positive()
      .default(60)
      .describe(
        'How long leases and bot sessions last without a word from the bot, in seconds; default 60. The action of a ' +
          'lost worker runs again after that.',
      ),
  })
  .prefault({});

export type SchedulingConfiguration = z.output<typeof schedulingSchema>;

/** Which platform properties decide where an action runs. */
export const platformSchema = z
  .strictObject({
    matchedKeys: z
      .array(z.string().min(1))
      .optional()
      .describe(
        'Keys that bots are matched by; an action that asks for another is refused, by name. Default: every key is ' +
          'matched, and what no bot offers shows after scheduling.unservedSeconds.',
      ),
    ignoredKeys: z
      .array(z.string().min(1))
      .optional()
      .describe(
        'Keys that are neither matched nor refused: only the worker reads them. Default: those of this kind that Bazel ' +
          'and BuildStream send, such as container-image and network.',
      ),
  })
  .prefault({});
