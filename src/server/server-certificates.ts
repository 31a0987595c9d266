import type { SecureContextOptions } from 'node:tls';
import { ServerCredentials } from '@grpc/grpc-js';
import type { Clock, Timer } from '../lib/clock.ts';
import type { Service } from '../lib/lifecycle.ts';
import type { Logger } from '../lib/log.ts';
import { parseCertificates, readTlsFiles, type TlsContents, TlsFilesError } from '../lib/tls-files.ts';

/** The files of a server that speaks TLS. */
export interface ServerTlsFiles {
  readonly certificateFile: string;
  readonly privateKeyFile: string;
  /** Undefined where clients need no certificate. */
  readonly clientAuthoritiesFile?: string | undefined;
}

/** One thing that is wrong with one of them. */
export interface ServerTlsProblem {
  readonly setting: keyof ServerTlsFiles;
  readonly message: string;
}

/** What is wrong with the files of a server; none when TLS can be spoken with them. */
export async function findServerTlsProblems(files: ServerTlsFiles): Promise<readonly ServerTlsProblem[]> {
  try {
    await readServerTls(files);
    return [];
  } catch (thrown) {
    return problemsOf(thrown);
  }
}

/**
 * The certificates of a server, read again from time to time: those that are renewed on disk are shown from the next
 * connection on, with no restart. Connections that stand are left as they are.
 *
 * Read, and not watched: orchestrators replace folders and links, which watchers of files lose.
 */
export class ServerCertificates implements Service {
  readonly name = 'certificates';
  readonly #files: ServerTlsFiles;
  readonly #rereadMilliseconds: number;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #credentials: RenewableCredentials;
  #contents: TlsContents;
  #failure: string | undefined;
  #timer: Timer | undefined;
  #stopped = false;

  private constructor(
    files: ServerTlsFiles,
    contents: TlsContents,
    rereadMilliseconds: number,
    clock: Clock,
    logger: Logger,
  ) {
    this.#files = files;
    this.#contents = contents;
    this.#rereadMilliseconds = rereadMilliseconds;
    this.#clock = clock;
    this.#logger = logger;
    this.#credentials = new RenewableCredentials(contents, files.clientAuthoritiesFile !== undefined);
  }

  /** @throws TlsFilesError. */
  static async open(
    files: ServerTlsFiles,
    rereadMilliseconds: number,
    clock: Clock,
    logger: Logger,
  ): Promise<ServerCertificates> {
    return new ServerCertificates(files, await readServerTls(files), rereadMilliseconds, clock, logger);
  }

  /** For the server; they follow what is on disk. */
  get credentials(): ServerCredentials {
    return this.#credentials;
  }

  async start(): Promise<void> {
    this.#tell('speaking TLS');
    this.#schedule();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #schedule(): void {
    if (this.#stopped) return;
    this.#timer = this.#clock.setTimer(this.#rereadMilliseconds, () => {
      void this.#reread().finally(() => this.#schedule());
    });
  }

  async #reread(): Promise<void> {
    let contents: TlsContents;
    try {
      contents = await readServerTls(this.#files);
    } catch (thrown) {
      const problems = problemsOf(thrown).map(({ setting, message }) => `${setting}: ${message}`);
      this.#fail(problems.join('; '));
      return;
    }
    this.#failure = undefined;
    if (this.#stopped || isSame(contents, this.#contents)) return;
    this.#contents = contents;
    this.#credentials.renew(contents);
    this.#tell('certificates were renewed');
  }

  /** Told once, and not at each reading: whoever is to mend it has been told. */
  #fail(failure: string): void {
    if (failure === this.#failure) return;
    this.#failure = failure;
    this.#logger.error({ problems: failure }, 'certificates can no longer be used; those from before are kept');
  }

  #tell(message: string): void {
    const [own] = parseCertificates(this.#contents.certificate ?? Buffer.alloc(0));
    if (own === undefined) return;
    const { subjectAltName: names, validFrom, validTo } = own;
    this.#logger.info({ names, validTo, asksClients: this.#files.clientAuthoritiesFile !== undefined }, message);
    const now = this.#clock.now();
    if (now >= Date.parse(validFrom) && now < Date.parse(validTo)) return;
    this.#logger.warn({ validFrom, validTo }, "the server's certificate is not valid now: clients will refuse it");
  }
}

/** What grpc-js takes, and asks for changes of. */
class RenewableCredentials extends ServerCredentials {
  constructor(contents: TlsContents, asksClients: boolean) {
    super({ requestCert: asksClients, rejectUnauthorized: asksClients }, secureContextOf(contents));
  }

  renew(contents: TlsContents): void {
    this.updateSecureContextOptions(secureContextOf(contents));
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

function secureContextOf({ authorities, certificate, privateKey }: TlsContents): SecureContextOptions {
  return { ca: authorities, cert: certificate, key: privateKey };
}

function readServerTls({ certificateFile, privateKeyFile, clientAuthoritiesFile }: ServerTlsFiles) {
  return readTlsFiles({ certificateFile, privateKeyFile, authoritiesFile: clientAuthoritiesFile });
}

/** @throws `thrown` when it is nothing about the files. */
function problemsOf(thrown: unknown): ServerTlsProblem[] {
  if (!(thrown instanceof TlsFilesError)) throw thrown;
  return thrown.problems.map(({ setting, message }) => ({
    setting: setting === 'authoritiesFile' ? 'clientAuthoritiesFile' : setting,
    message,
  }));
}

function isSame(one: TlsContents, other: TlsContents): boolean {
  return (['authorities', 'certificate', 'privateKey'] as const).every((part) => {
    const [mine, theirs] = [one[part], other[part]];
    return mine === undefined || theirs === undefined ? mine === theirs : mine.equals(theirs);
  });
}
