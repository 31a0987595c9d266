import type { Command } from 'commander';
import { readTlsFiles, type TlsContents, type TlsFiles, TlsFilesError } from '../lib/tls-files.ts';
import type { CommandContext } from './command-context.ts';
import { CommandFailure, ExitCode } from './exit-codes.ts';

/** Whom a command trusts that talks to a server over TLS, and who it is itself. */
export interface TlsFlags {
  readonly tlsAuthorities?: string;
  readonly tlsCertificate?: string;
  readonly tlsPrivateKey?: string;
}

/** Each setting with its flag and its variable. */
const NAMES: Readonly<Record<keyof TlsFiles, { readonly flag: string; readonly variable: string }>> = {
  authoritiesFile: { flag: '--tls-authorities', variable: 'WARREN_TLS_AUTHORITIES' },
  certificateFile: { flag: '--tls-certificate', variable: 'WARREN_TLS_CERTIFICATE' },
  privateKeyFile: { flag: '--tls-private-key', variable: 'WARREN_TLS_PRIVATE_KEY' },
};

/** @param otherwise where else the command finds them, for its help. */
export function addTlsFlags(command: Command, otherwise: 'environment' | 'configuration'): void {
  const add = (setting: keyof TlsFiles, what: string) => {
    const { flag, variable } = NAMES[setting];
    command.option(`${flag} <file>`, otherwise === 'environment' ? `${what} (default: $${variable})` : what);
  };
  add('authoritiesFile', 'PEM file with the authorities to trust, for grpcs');
  add('certificateFile', 'PEM file with the certificate to show to the server');
  add('privateKeyFile', 'PEM file with the private key of that certificate');
}

/** What the flags say, as a configuration would. */
export function tlsSettingsOfFlags({ tlsAuthorities, tlsCertificate, tlsPrivateKey }: TlsFlags): TlsFiles {
  return {
    ...(tlsAuthorities === undefined ? {} : { authoritiesFile: tlsAuthorities }),
    ...(tlsCertificate === undefined ? {} : { certificateFile: tlsCertificate }),
    ...(tlsPrivateKey === undefined ? {} : { privateKeyFile: tlsPrivateKey }),
  };
}

/** Reads the files that flags or environment name. @throws CommandFailure. */
export async function readTlsFlags(flags: TlsFlags, { environment }: CommandContext): Promise<TlsContents> {
  const given = tlsSettingsOfFlags(flags);
  const files: Partial<Record<keyof TlsFiles, string>> = {};
  const sources: Partial<Record<keyof TlsFiles, string>> = {};
  for (const setting of ['authoritiesFile', 'certificateFile', 'privateKeyFile'] as const) {
    const { flag, variable } = NAMES[setting];
    const file = given[setting] ?? environment[variable];
    if (file === undefined || file === '') continue;
    files[setting] = file;
    sources[setting] = given[setting] === undefined ? variable : flag;
  }
  if ((files.certificateFile === undefined) !== (files.privateKeyFile === undefined)) {
    throw new CommandFailure(ExitCode.USAGE, '--tls-certificate and --tls-private-key go together');
  }
  try {
    return await readTlsFiles(files);
  } catch (thrown) {
    if (!(thrown instanceof TlsFilesError)) throw thrown;
    const lines = thrown.problems.map(({ setting, message }) => `${sources[setting]}: ${message}`);
    throw new CommandFailure(ExitCode.USAGE, lines.join('\n'), { cause: thrown });
  }
}
