import type { Endpoint } from '../adapters/grpc-client/endpoint.ts';

/** Where a command finds the server, unless told otherwise: what `./warren up` listens on. */
export const DEFAULT_REMOTE = 'grpc://127.0.0.1:50051';

/** What gRPC, Node and OpenSSL say when the two sides don't trust each other, and what to do about it. */
const DISTRUST: ReadonlyArray<readonly [RegExp, string]> = [
  [
    /certificate required/,
    'it asks for a certificate of ours: --tls-certificate and --tls-private-key name it and its key',
  ],
  [
    /does not match certificate's altnames/,
    'its certificate is for another name: --remote must have a name that it bears',
  ],
  [/certificate has expired|certificate is not yet valid/, 'its certificate is not valid now'],
  [
    /self-signed certificate|unable to (?:get|verify)/,
    'its certificate is of an authority that is not trusted: --tls-authorities names those to trust',
  ],
];

/**
 * Says what to do about a server that can't be reached.
 *
 * @param message of the call that failed.
 * @returns undefined where the server was reached.
 */
export function explainUnreachable({ displayName, tls }: Endpoint, message: string): string | undefined {
  if (!/No connection established|Name resolution|ECONNREFUSED|Connection dropped/.test(message)) return undefined;
  const start = `cannot reach the server at ${displayName}`;
  const distrust = DISTRUST.find(([pattern]) => pattern.test(message))?.[1];
  if (distrust !== undefined) return `${start}: ${distrust}`;
  const why = /connect (E[A-Z]+|ENOENT)/.exec(message)?.[1];
  const hint = displayName === DEFAULT_REMOTE ? 'Is `./warren up` running?' : 'Is it running?';
  // Whoever listens and says nothing that we understand may speak TLS, or none.
  const scheme =
    why !== undefined ? '' : tls ? ' Does it speak TLS (grpcs://)?' : ' Does it speak TLS? Then write grpcs://.';
  return `${start}${why === undefined ? '' : ` (${why})`}. ${hint}${scheme} --remote or WARREN_REMOTE names another one.`;
}
