import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { SelfSignedCertificate } from '../../test/support/certificates.ts';
import { parseEndpoint } from '../adapters/grpc-client/endpoint.ts';
import { GrpcChannel } from '../adapters/grpc-client/grpc-channel.ts';
import { SystemClock } from '../lib/clock.ts';
import { FakeClock } from '../lib/fake-clock.ts';
import { type Logger, silentLogger } from '../lib/log.ts';
import { readTlsFiles, type TlsFiles } from '../lib/tls-files.ts';
import { HealthService } from '../proto/grpc/health/v1/health.ts';
import { Health } from './health.ts';
import { RpcServer } from './rpc-server.ts';
import { ServerCertificates, type ServerTlsFiles } from './server-certificates.ts';

const signal = new AbortController().signal;
const REREAD_MS = 1_000;
/** For files and sockets, which know nothing of a clock that stands still. */
const PATIENCE = { timeout: 10_000 };

let mine: SelfSignedCertificate;
let renewed: SelfSignedCertificate;
let authority: SelfSignedCertificate;
let folder: string;
let files: { readonly certificateFile: string; readonly privateKeyFile: string };
let logged: Array<readonly [level: string, message: string]>;
let refused: string[];
const cleanups: Array<() => Promise<void> | void> = [];

beforeAll(async () => {
  mine = await SelfSignedCertificate.create();
  renewed = await SelfSignedCertificate.create();
  authority = await SelfSignedCertificate.create();
});
afterAll(async () => {
  for (const each of [mine, renewed, authority]) await each[Symbol.asyncDispose]();
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'warren-server-tls-'));
  files = { certificateFile: join(folder, 'certificate.pem'), privateKeyFile: join(folder, 'key.pem') };
  await install(mine);
  logged = [];
  refused = [];
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  await rm(folder, { recursive: true });
});

async function install(certificate: SelfSignedCertificate): Promise<void> {
  await copyFile(certificate.certificateFile, files.certificateFile);
  await copyFile(certificate.privateKeyFile, files.privateKeyFile);
}

/** A server with these files, whose clock stands still. */
async function serve(moreFiles: Partial<ServerTlsFiles> = {}) {
  const clock = new FakeClock(Date.now());
  const note = (level: string) => (_fields: object, message: string) => void logged.push([level, message]);
  const logger: Logger = { ...silentLogger, info: note('info'), warn: note('warn'), error: note('error') };
  const certificates = await ServerCertificates.open({ ...files, ...moreFiles }, REREAD_MS, clock, logger);
  const server = new RpcServer(
    {
      address: '127.0.0.1:0',
      maxReceiveMessageBytes: 1 << 20,
      flowControl: { streamWindowBytes: 1 << 20, connectionWindowBytes: 1 << 20 },
      keepaliveTimeMilliseconds: 60_000,
      keepaliveTimeoutMilliseconds: 20_000,
      retryDelayMilliseconds: 1,
      credentials: certificates.credentials,
      privateSocket: join(folder, 'socket'),
    },
    new SystemClock(),
    { ...silentLogger, debug: (_fields, message) => void refused.push(message) },
    { callStarted: () => () => {} },
  );
  const health = new Health([]);
  health.serve();
  server.register(HealthService, health);
  await certificates.start();
  await server.start(signal);
  cleanups.push(async () => {
    await server.stop(AbortSignal.abort());
    await certificates.stop();
    expect(clock.pendingTimers).toBe(0);
  });
  return { clock, port: server.port };
}

/** What a call gets: SERVING, or why it failed. */
async function call(address: string, tls: TlsFiles = {}): Promise<unknown> {
  const channel = new GrpcChannel({
    endpoint: parseEndpoint(address),
    clock: new SystemClock(),
    tls: await readTlsFiles(tls),
  });
  try {
    return (await channel.unary(HealthService.check, { service: '' }, {}, signal)).status;
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : thrown;
  } finally {
    channel.close();
  }
}

/** The fingerprint of what the server shows to a new connection. */
function shownBy(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['h2'] }, () => {
      resolve(socket.getPeerX509Certificate()?.fingerprint256 ?? 'none');
      socket.destroy();
    });
    socket.once('error', reject);
  });
}

function fingerprintOf({ certificateFile }: SelfSignedCertificate): string {
  return new X509Certificate(readFileSync(certificateFile)).fingerprint256;
}

const SERVING = 1;

describe('a server with a certificate', () => {
  test('answers those who trust it, and no one without TLS', async () => {
    const { port } = await serve();
    expect(await call(`grpcs://localhost:${port}`, { authoritiesFile: mine.certificateFile })).toBe(SERVING);
    expect(await call(`grpcs://localhost:${port}`)).toContain('self-signed certificate');
    expect(await call(`grpc://localhost:${port}`)).toContain('No connection established');
  });

  test('answers at its private socket without TLS', async () => {
    await serve({ clientAuthoritiesFile: authority.certificateFile });
    expect(await call(`unix:${join(folder, 'socket')}`)).toBe(SERVING);
  });

  test('shows one that was renewed on disk to new connections', async () => {
    const { clock, port } = await serve();
    expect(await shownBy(port)).toBe(fingerprintOf(mine));
    await install(renewed);
    await clock.advance(REREAD_MS);
    await expect.poll(() => shownBy(port), PATIENCE).toBe(fingerprintOf(renewed));
    expect(logged).toEqual([
      ['info', 'speaking TLS'],
      ['info', 'certificates were renewed'],
    ]);
  });

  test('keeps the one from before where the new one is broken, says so once, and takes up the next', async () => {
    const { clock, port } = await serve();
    await writeFile(files.certificateFile, 'nothing');
    const reread = async () => {
      await clock.advance(REREAD_MS);
      await expect.poll(() => clock.pendingTimers, PATIENCE).toBe(1);
    };
    await reread();
    await reread();
    expect(await shownBy(port)).toBe(fingerprintOf(mine));
    expect(logged.slice(1)).toEqual([['error', 'certificates can no longer be used; those from before are kept']]);
    await install(renewed);
    await reread();
    expect(await shownBy(port)).toBe(fingerprintOf(renewed));
  });
});

describe('a server that asks for certificates of clients', () => {
  test.each([
    ['answers those of its authorities', 'known', SERVING],
    ['refuses those of others', 'stranger', expect.stringContaining('No connection established')],
    ['refuses those without', 'none', expect.stringContaining('certificate required')],
  ] as const)('%s', async (_what, who, expected) => {
    const { port } = await serve({ clientAuthoritiesFile: authority.certificateFile });
    const identity =
      who === 'none' ? {} : who === 'known' ? await authority.issue('known') : await renewed.issue('stranger');
    const files = { authoritiesFile: mine.certificateFile, ...identity };
    expect(await call(`grpcs://localhost:${port}`, files)).toEqual(expected);
    const failures = who === 'known' ? [] : ['a TLS handshake failed'];
    await expect.poll(() => [...new Set(refused)], PATIENCE).toEqual(failures);
  });

  test('takes up other authorities, for new connections', async () => {
    const authorities = join(folder, 'authorities.pem');
    await copyFile(authority.certificateFile, authorities);
    const { clock, port } = await serve({ clientAuthoritiesFile: authorities });
    const known = { authoritiesFile: mine.certificateFile, ...(await authority.issue('client')) };
    const address = `grpcs://localhost:${port}`;
    expect(await call(address, known)).toBe(SERVING);
    await copyFile(renewed.certificateFile, authorities);
    await clock.advance(REREAD_MS);
    await expect.poll(() => call(address, known), PATIENCE).toContain('No connection established');
    expect(await call(address, { ...known, ...(await renewed.issue('client')) })).toBe(SERVING);
  });
});
