import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SelfSignedCertificate } from '../../test/support/certificates.ts';
import { parseCertificates, readTlsFiles, type TlsFiles, TlsFilesError } from './tls-files.ts';

let folder: string;
let mine: SelfSignedCertificate;
let other: SelfSignedCertificate;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'warren-tls-files-'));
  mine = await SelfSignedCertificate.create();
  other = await SelfSignedCertificate.create();
});
afterAll(async () => {
  await mine[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

async function problemsOf(files: TlsFiles): Promise<ReadonlyArray<readonly [string, string]>> {
  const thrown = await readTlsFiles(files).catch((cause: unknown) => cause);
  expect(thrown).toBeInstanceOf(TlsFilesError);
  return (thrown as TlsFilesError).problems.map(({ setting, message }) => [setting, message] as const);
}

describe('files of certificates', () => {
  test('are read where they fit each other', async () => {
    const { certificateFile, privateKeyFile } = mine;
    const contents = await readTlsFiles({ authoritiesFile: other.certificateFile, certificateFile, privateKeyFile });
    expect(contents).toEqual({
      authorities: await readFile(other.certificateFile),
      certificate: await readFile(certificateFile),
      privateKey: await readFile(privateKeyFile),
    });
  });

  test('need not be there at all', async () => {
    expect(await readTlsFiles({})).toEqual({});
  });

  test('that are missing are named, all of them', async () => {
    const files = { authoritiesFile: '/nowhere/a', certificateFile: '/nowhere/c', privateKeyFile: '/nowhere/k' };
    expect(await problemsOf(files)).toEqual([
      ['authoritiesFile', expect.stringContaining("'/nowhere/a': ENOENT")],
      ['certificateFile', expect.stringContaining("'/nowhere/c': ENOENT")],
      ['privateKeyFile', expect.stringContaining("'/nowhere/k': ENOENT")],
    ]);
  });

  test('that were mixed up are told apart', async () => {
    const { certificateFile, privateKeyFile } = mine;
    expect(await problemsOf({ certificateFile: privateKeyFile, privateKeyFile: certificateFile })).toEqual([
      ['certificateFile', `'${privateKeyFile}': holds no certificate in PEM form`],
      ['privateKeyFile', `'${certificateFile}': holds no private key in PEM form, or one with a passphrase`],
    ]);
  });

  test('of which the key is that of another certificate are refused', async () => {
    const { certificateFile } = mine;
    const { privateKeyFile } = other;
    expect(await problemsOf({ certificateFile, privateKeyFile })).toEqual([
      ['privateKeyFile', `'${privateKeyFile}' is not the key of the first certificate in '${certificateFile}'`],
    ]);
  });

  test('that were cut short are refused', async () => {
    const file = join(folder, 'damaged.pem');
    const lines = (await readFile(mine.certificateFile, 'utf8')).split('\n');
    await writeFile(file, [...lines.slice(0, 2), ...lines.slice(3)].join('\n'));
    expect(await problemsOf({ authoritiesFile: file })).toEqual([
      ['authoritiesFile', `'${file}': holds a certificate that is damaged`],
    ]);
  });

  test('may hold several certificates, and words between them', async () => {
    const pem = `one\n${await readFile(mine.certificateFile, 'utf8')}\nanother - of ours\n${await readFile(other.certificateFile, 'utf8')}`;
    expect(parseCertificates(Buffer.from(pem)).map(({ subject }) => subject)).toEqual(['CN=localhost', 'CN=localhost']);
  });
});
