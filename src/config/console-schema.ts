import { z } from 'zod';

/** Health, metrics and the web console of a replica. */
export const consoleSchema = z
  .strictObject({
    listen: z
      .string()
      .regex(/^(\[[0-9a-fA-F:]+\]|[^\s:]+):\d{1,5}$/, 'must be HOST:PORT, such as 127.0.0.1:50052 or [::]:50052')
      .default('127.0.0.1:50052')
      .describe('Host and port to listen on; default 127.0.0.1:50052. Port 0 takes a free one, which is logged.'),
    allowChanges: z
      .boolean()
      .default(false)
      .describe(
        'Whether queues may be paused and bots drained in the web console; default false. It asks nobody who he is: let ' +
          'only those reach it who may.',
      ),
    hostNames: z
      .array(z.string().min(1))
      .default([])
      .describe(
        'Names under which browsers may come for the web console, beside addresses and localhost; default none. Pages of ' +
          'others that make a name of their own point here are kept out by it.',
      ),
  })
  .describe('`/healthz`, `/readyz`, `/metrics`, and with the role `console` the web console; default none of them.');

export type ConsoleConfiguration = z.output<typeof consoleSchema>;
