import { z } from 'zod';
import { checkRemoteServer, remoteServerShape } from '../../grpc-client/remote-server-configuration.ts';

/** Configuration of an action cache on another server. */
export const remoteActionCacheSchema = z
  .strictObject({
    kind: z.literal('remote'),
    ...remoteServerShape,
    instance: z
      .string()
      .optional()
      .describe(
        'The instance there; default the one with the same name as here. Once it is set, all instances here share the ' +
          'results of that one.',
      ),
  })
  .check(checkRemoteServer)
  .meta({
    description:
      "Results of actions in another server's action cache. It checks what it is given against its own storage, so the " +
      'blobs have to be there, too.',
    examples: [{ kind: 'remote', endpoint: 'grpc://10.0.0.7:50051', tokenFile: '/run/secrets/cache-token' }],
  });
