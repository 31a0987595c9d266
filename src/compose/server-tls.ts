import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigurationError } from '../config/configuration-error.ts';
import type { ServerConfiguration } from '../config/server-schema.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { findServerTlsProblems, ServerCertificates } from '../server/server-certificates.ts';

/**
 * Makes sure that a server can speak TLS with the files that its configuration names, on this machine.
 *
 * @param source the file of the configuration, for the message.
 * @throws ConfigurationError.
 */
export async function checkServerTls(source: string, { tls }: ServerConfiguration): Promise<void> {
  const problems = tls === undefined ? [] : await findServerTlsProblems(tls);
  if (problems.length === 0) return;
  throw new ConfigurationError(
    source,
    problems.map(({ setting, message }) => ({ path: `server.tls.${setting}`, message })),
  );
}

/** The certificates of a server; undefined where it speaks no TLS. @throws ConfigurationError. */
export async function openServerCertificates(
  configuration: ServerConfiguration,
  clock: Clock,
  logger: Logger,
): Promise<ServerCertificates | undefined> {
  const { tls } = configuration;
  if (tls === undefined) return undefined;
  await checkServerTls('the configuration', configuration);
  return ServerCertificates.open(tls, tls.rereadSeconds * 1_000, clock, logger.child({ component: 'tls' }));
}

/** Bytes: the path of a socket may have 107, with what stands behind its folder. */
const LONGEST_FOLDER = 80;

/**
 * A Unix socket that only processes of this user reach, for the worker of a grid that speaks TLS: the worker needs
 * neither a certificate that the server's authorities have signed nor a name that the server's own certificate bears.
 */
export class PrivateSocket {
  /** Holds the socket and nothing else. */
  readonly folder: string;

  constructor() {
    const folder = tmpdir();
    this.folder = mkdtempSync(join(folder.length > LONGEST_FOLDER ? '/tmp' : folder, 'warren-'));
  }

  get path(): string {
    return join(this.folder, 'server');
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
