import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';

/** The files of whoever speaks TLS: whom to trust, and who it is itself. */
export interface TlsFiles {
  readonly authoritiesFile?: string | undefined;
  readonly certificateFile?: string | undefined;
  readonly privateKeyFile?: string | undefined;
}

/** What they hold, PEM encoded. */
export interface TlsContents {
  /** The authorities that may have signed the other side's certificate. Undefined for those that Node knows. */
  readonly authorities?: Buffer | undefined;
  /** Our own certificate, and those between it and the authority that signed it. */
  readonly certificate?: Buffer | undefined;
  readonly privateKey?: Buffer | undefined;
}

/** One thing that is wrong with one of the files. */
export interface TlsFileProblem {
  readonly setting: keyof TlsFiles;
  readonly message: string;
}

/** Files that TLS can't be spoken with: all that is wrong with them. */
export class TlsFilesError extends Error {
  readonly problems: readonly TlsFileProblem[];

  constructor(problems: readonly TlsFileProblem[]) {
    super(problems.map(({ setting, message }) => `${setting}: ${message}`).join('; '));
    this.name = 'TlsFilesError';
    this.problems = problems;
  }
}

/**
 * Reads the files and makes sure that they hold what they should and fit each other, so that a mix-up shows at the start
 * and not as a handshake that fails.
 *
 * @throws TlsFilesError.
 */
export async function readTlsFiles(files: TlsFiles): Promise<TlsContents> {
  const problems: TlsFileProblem[] = [];
  const read = async <T>(setting: keyof TlsFiles, parse: (pem: Buffer) => T) => {
    const file = files[setting];
    if (file === undefined) return undefined;
    try {
      const pem = await readFile(file);
      return { pem, parsed: parse(pem) };
    } catch (thrown) {
      problems.push({ setting, message: `'${file}': ${messageOf(thrown)}` });
      return undefined;
    }
  };
  const authorities = await read('authoritiesFile', parseCertificates);
  const certificate = await read('certificateFile', parseCertificates);
  const privateKey = await read('privateKeyFile', parsePrivateKey);
  if (certificate !== undefined && privateKey !== undefined) {
    const own = certificate.parsed[0];
    if (own?.checkPrivateKey(privateKey.parsed) === false) {
      const message = `'${files.privateKeyFile}' is not the key of the first certificate in '${files.certificateFile}'`;
      problems.push({ setting: 'privateKeyFile', message });
    }
  }
  const contents = { authorities: authorities?.pem, certificate: certificate?.pem, privateKey: privateKey?.pem };
  if (problems.length === 0) problems.push(...refusals(contents));
  if (problems.length > 0) throw new TlsFilesError(problems);
  return contents;
}

/** The certificates in a PEM text, in their order. @throws Error when there are none, or one is damaged. */
export function parseCertificates(pem: Buffer): X509Certificate[] {
  const blocks = pem.toString('latin1').match(CERTIFICATE);
  if (blocks === null) throw new Error('holds no certificate in PEM form');
  return blocks.map((block) => {
    try {
      return new X509Certificate(block);
    } catch (cause) {
      throw new Error('holds a certificate that is damaged', { cause });
    }
  });
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

function parsePrivateKey(pem: Buffer): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    throw new Error('holds no private key in PEM form, or one with a passphrase', { cause });
  }
}

/** What OpenSSL has against contents that are well formed, such as keys that are too short. */
function refusals({ authorities, certificate, privateKey }: TlsContents): TlsFileProblem[] {
  try {
    createSecureContext({ ca: authorities, cert: certificate, key: privateKey });
    return [];
  } catch (thrown) {
    return [{ setting: 'certificateFile', message: `can't be used: ${messageOf(thrown)}` }];
  }
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
