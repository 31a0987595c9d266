import { z } from 'zod';
import { checkRemoteServer, remoteServerShape } from '../adapters/grpc-client/remote-server-configuration.ts';

/** How a worker runs actions. */
export const workerShape = {
  slots: z.int().min(0).describe('How many actions run at once; 0 for no worker.'),
  prefetch: z
    .int()
    .min(0)
    .default(0)
    .describe(
      'How many more leases are taken while all slots run, so that their inputs are there when a slot falls free; ' +
        'default 0, since on a farm another worker could run them meanwhile. `warren up` takes one for each slot.',
    ),
  directory: z
    .string()
    .min(1)
    .describe('Folder of inputs kept and of actions that run; its own, and on one file system throughout.'),
  maxCacheBytes: z
    .int()
    .min(0)
    .default(5 * 1024 ** 3)
    .describe('How much of the inputs is kept for the next actions, in bytes; default 5 GiB.'),
  instance: z
    .string()
    .default('')
    .describe('The instance that it works for; default the one with the empty name, with `warren up` the first one.'),
  botId: z
    .string()
    .optional()
    .describe('Names the bot, the same after each restart; default the host name and the folder.'),
  properties: z
    .array(z.strictObject({ name: z.string().min(1), value: z.string() }))
    .default([])
    .describe('What it offers beyond the properties of its machine (OSFamily, ISA).'),
  sandbox: z
    .enum(['auto', 'bubblewrap', 'none'])
    .default('auto')
    .describe(
      '`auto`, the default: bubblewrap where it works, else plainly on the host, which is said in the log. ' +
        '`bubblewrap`: refuse to start without it. `none`: on the host.',
    ),
  hiddenFolders: z
    .array(z.string().min(1))
    .default([])
    .describe("Folders that no action may see, beside the worker's own."),
  network: z
    .boolean()
    .default(false)
    .describe('Whether actions that do not ask for or against it may reach the network; default false.'),
  defaultTimeoutSeconds: z
    .number()
    .positive()
    .default(3_600)
    .describe('How long an action may run that names no timeout, in seconds; default 3600.'),
  maxTimeoutSeconds: z
    .number()
    .positive()
    .default(86_400)
    .describe('The longest timeout that an action may ask for, in seconds; default 86400.'),
  maxLogBytes: z
    .int()
    .min(1024)
    .default(64 * 1024 * 1024)
    .describe('How much an action may print, standard output and error each, in bytes; default 64 MiB.'),
  maxOutputBytes: z
    .int()
    .min(1024)
    .default(16 * 1024 ** 3)
    .describe('Total size of the outputs of one action, in bytes; default 16 GiB.'),
  maxOutputNodes: z
    .int()
    .min(1)
    .default(1_000_000)
    .describe('Files, folders and links of the outputs of one action; default 1 000 000.'),
};

/** A worker on its own, beside the server that it works for. */
export const workerSchema = z
  .strictObject({
    ...workerShape,
    remote: remoteServerShape.endpoint,
    tls: remoteServerShape.tls,
    drainSeconds: z
      .number()
      .min(0)
      .default(30)
      .describe('How long a stop waits for running actions before it ends them, in seconds; default 30.'),
  })
  .check(({ value, issues }) => checkRemoteServer({ value: { endpoint: value.remote, tls: value.tls }, issues }));

export type WorkerConfiguration = z.output<typeof workerSchema>;
