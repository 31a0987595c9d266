import { afterAll, beforeAll, expect, test } from 'vitest';
import { SelfSignedCertificate } from '../../test/support/certificates.ts';
import { checkConfiguration } from '../config/load-configuration.ts';
import { replicaSchema } from '../config/replica-configuration.ts';
import { checkServerTls } from './server-tls.ts';

let mine: SelfSignedCertificate;
let other: SelfSignedCertificate;

beforeAll(async () => {
  mine = await SelfSignedCertificate.create();
  other = await SelfSignedCertificate.create();
});
afterAll(async () => {
  await mine[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
});

function check(tls: object | undefined): Promise<void> {
  const memory = { kind: 'memory' };
  const value = { server: { tls }, blobs: memory, actionCache: memory };
  return checkServerTls('/etc/warren.yaml', checkConfiguration('/etc/warren.yaml', value, replicaSchema).server);
}

test('a server without TLS needs no files', async () => {
  await expect(check(undefined)).resolves.toBeUndefined();
});

test('files that fit each other are right', async () => {
  const { certificateFile, privateKeyFile } = mine;
  const clientAuthoritiesFile = other.certificateFile;
  await expect(check({ certificateFile, privateKeyFile, clientAuthoritiesFile })).resolves.toBeUndefined();
});

test('what is wrong with files is said with the path of each setting', async () => {
  const { certificateFile } = mine;
  const { privateKeyFile } = other;
  const thrown = await check({ certificateFile, privateKeyFile, clientAuthoritiesFile: '/nowhere/ca.pem' }).catch(
    (cause: unknown) => cause,
  );
  expect(thrown).toMatchObject({
    problems: [
      { path: 'server.tls.clientAuthoritiesFile', message: expect.stringContaining("'/nowhere/ca.pem': ENOENT") },
      { path: 'server.tls.privateKeyFile', message: expect.stringContaining('is not the key of') },
    ],
  });
});
