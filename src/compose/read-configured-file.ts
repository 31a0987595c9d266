import { readFile } from 'node:fs/promises';
import { ConfigurationError } from '../config/configuration-error.ts';

/** A file that a configuration names. @throws ConfigurationError when it can't be read. */
export async function readConfiguredFile(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw new ConfigurationError(file, [{ path: '', message: cause instanceof Error ? cause.message : String(cause) }]);
  }
}
