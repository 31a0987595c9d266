import { z } from 'zod';
import { checkRemoteServer, remoteServerShape } from '../../grpc-client/remote-server-configuration.ts';

/** Configuration of blobs on another server. */
export const remoteBlobStoreSchema = z
  .strictObject({
    kind: z.literal('remote'),
    ...remoteServerShape,
    instance: z
      .string()
      .default('')
      .describe(
        'The instance there whose storage this is; default the one with the empty name. All instances here share it.',
      ),
  })
  .check(checkRemoteServer)
  .meta({
    description:
      'Blobs in the storage of another server that speaks the Remote Execution API. It decides what is kept and for how ' +
      'long; nothing can be deleted or pinned there.',
    examples: [
      {
        kind: 'remote',
        endpoint: 'grpcs://cache.example:443',
        instance: 'main',
        tls: { authoritiesFile: '/etc/warren/authorities.pem' },
        tokenFile: '/run/secrets/cache-token',
        connections: 4,
      },
    ],
  });

export type RemoteBlobStoreConfiguration = z.output<typeof remoteBlobStoreSchema>;
