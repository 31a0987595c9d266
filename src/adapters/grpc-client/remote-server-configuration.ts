import { z } from 'zod';
import { checkClientTls, clientTlsShape } from '../client-tls-schema.ts';
import { parseEndpoint } from './endpoint.ts';

/** What every store on another server is told: where that server is, and how it is convinced. */
export const remoteServerShape = {
  endpoint: z
    .string()
    .check((context) => {
      try {
        parseEndpoint(context.value, 'endpoint');
      } catch (cause) {
        const message = cause instanceof Error ? cause.message : String(cause);
        context.issues.push({ code: 'custom', input: context.value, message });
      }
    })
    .describe('The server: grpc://HOST:PORT, grpcs://HOST:PORT for TLS, or unix:PATH. Has no default.'),
  tls: z
    .strictObject(clientTlsShape)
    .check(checkClientTls)
    .optional()
    .describe(
      'Certificates; default what Node knows. Only with a grpcs endpoint: elsewhere they would protect nothing.',
    ),
  tokenFile: z
    .string()
    .min(1)
    .optional()
    .describe(
      'File with a bearer token that is sent with each call; default none. Read once, at the start. Without TLS whoever is ' +
        'on the way can read it.',
    ),
  connections: z
    .int()
    .min(1)
    .max(64)
    .default(1)
    .describe(
      'Connections that calls are spread over; default 1. More keep small calls from waiting behind large blobs, and ' +
        'reach more processes of the server.',
    ),
  keepaliveTimeSeconds: z
    .number()
    .positive()
    .default(60)
    .describe(
      'After how much silence a connection with calls on it is tried, in seconds; default 60. Servers that count trials ' +
        'as an attack end connections that are tried more often than they allow.',
    ),
  keepaliveTimeoutSeconds: z
    .number()
    .positive()
    .default(20)
    .describe(
      'How long the answer to that may take before the connection counts as lost and its calls go by another, in seconds; ' +
        'default 20.',
    ),
};

export interface RemoteServerConfiguration extends z.output<z.ZodObject<typeof remoteServerShape>> {}

/** What holds between the settings of a remote server. */
export function checkRemoteServer(
  context: z.core.ParsePayload<Pick<RemoteServerConfiguration, 'endpoint' | 'tls'>>,
): void {
  const { endpoint, tls } = context.value;
  if (tls === undefined || isTls(endpoint)) return;
  context.issues.push({
    code: 'custom',
    input: tls,
    path: ['tls'],
    message: `certificates are of no use with '${endpoint}'; write grpcs://`,
  });
}

function isTls(endpoint: string): boolean {
  try {
    return parseEndpoint(endpoint, 'endpoint').tls;
  } catch {
    // A broken endpoint has a message of its own.
    return true;
  }
}
