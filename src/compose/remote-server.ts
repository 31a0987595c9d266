import { parseEndpoint } from '../adapters/grpc-client/endpoint.ts';
import { GrpcChannel } from '../adapters/grpc-client/grpc-channel.ts';
import type { RemoteServerConfiguration } from '../adapters/grpc-client/remote-server-configuration.ts';
import { ConfigurationError } from '../config/configuration-error.ts';
import type { Clock } from '../lib/clock.ts';
import { readTlsFiles } from '../lib/tls-files.ts';
import { readConfiguredFile } from './read-configured-file.ts';

/**
 * A channel to the server that a configuration names; connects with the first call.
 *
 * @throws TlsFilesError; ConfigurationError when the file of the token can't be read or holds none.
 */
export async function openRemoteServer(configuration: RemoteServerConfiguration, clock: Clock): Promise<GrpcChannel> {
  const { endpoint, connections, tokenFile, keepaliveTimeSeconds, keepaliveTimeoutSeconds } = configuration;
  const bearerToken = tokenFile === undefined ? undefined : await readToken(tokenFile);
  return new GrpcChannel({
    endpoint: parseEndpoint(endpoint, 'endpoint'),
    clock,
    connections,
    keepaliveTimeMilliseconds: keepaliveTimeSeconds * 1_000,
    keepaliveTimeoutMilliseconds: keepaliveTimeoutSeconds * 1_000,
    tls: await readTlsFiles(configuration.tls ?? {}),
    ...(bearerToken === undefined ? {} : { bearerToken }),
  });
}

async function readToken(file: string): Promise<string> {
  const token = (await readConfiguredFile(file)).toString().trim();
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new ConfigurationError(file, [{ path: '', message: 'holds no token: one line of visible ASCII is needed' }]);
}
