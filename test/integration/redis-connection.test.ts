import { setMaxListeners } from 'node:events';
import { Redis } from 'ioredis';
import { describe, expect, test } from 'vitest';
import { redisConnectionOptions, redisSchema } from '../../src/adapters/state/redis/redis-configuration.ts';
import { StatusCode } from '../../src/domain/status-code.ts';
import { type Logger, silentLogger } from '../../src/lib/log.ts';
import { submissionOf } from '../../src/ports/job-store.suite.ts';
import { SelfSignedCertificate } from '../support/certificates.ts';
import { DelayingProxy } from '../support/delaying-proxy.ts';
import { freePort } from '../support/free-port.ts';
import { connectToRedis } from '../support/redis-connection.ts';
import { createJobStore } from '../support/redis-fixtures.ts';
import { RedisServer } from '../support/redis-server.ts';

const signal = new AbortController().signal;
setMaxListeners(0, signal);

/** A farm's server, a connection to it, and a plain client that looks on. */
async function start(appendOnly = false, changes: Parameters<typeof connectToRedis>[1] = {}) {
  const server = await RedisServer.start({ appendOnly });
  const connection = await connectToRedis(server.port, changes);
  const observer = new Redis({ host: '127.0.0.1', port: server.port });
  observer.on('error', () => {});
  return {
    server,
    connection,
    observer,
    store: createJobStore(connection, { keyPrefix: 'warren:' }),
    async [Symbol.asyncDispose]() {
      observer.disconnect();
      await connection.stop();
      await server[Symbol.asyncDispose]();
    },
  };
}

describe('a connection to Redis', () => {
  test('runs scripts on after the server has forgotten them', async () => {
    await using farm = await start();
    const { job } = await farm.store.submit(submissionOf(), signal);
    await farm.observer.script('FLUSH');
    expect((await farm.store.get(job.id, signal))?.id).toBe(job.id);
    expect((await farm.store.apply(job.id, { type: 'tick' }, signal))?.accepted).toBe(false);
  });

  test.each(['corked', 'pipelined', 'separate'] as const)(
    'keeps every call apart when writes are %s',
    async (batching) => {
      await using farm = await start(false, { batching });
      const submissions = Array.from({ length: 200 }, () => submissionOf({ doNotCache: true }));
      const submitted = await Promise.all(submissions.map((each) => farm.store.submit(each, signal)));
      expect(submitted.map(({ job }) => job.id)).toEqual(submissions.map(({ jobId }) => jobId));
      expect(await farm.store.count(signal)).toEqual({ queued: 200, leased: 0, finished: 0 });
    },
  );

  test('comes back to a server that was killed, with all jobs of its append-only file', async () => {
    await using farm = await start(true);
    const { job } = await farm.store.submit(submissionOf(), signal);
    await farm.server.process.stop('SIGKILL');
    await expect.poll(() => farm.connection.ready).toBe(false);
    const late = farm.store.get(job.id, signal);
    late.catch(() => {});
    await farm.server.process.start();
    await expect(late).resolves.toEqual(job);
    expect(await farm.store.count(signal)).toEqual({ queued: 1, leased: 0, finished: 0 });
  });

  test('a call under way when the connection breaks is UNAVAILABLE, to be tried again', async () => {
    await using farm = await start();
    await farm.store.count(signal);
    farm.server.process.signal('SIGSTOP');
    const failed = farm.store.submit(submissionOf(), signal).catch((cause: unknown) => cause);
    // The write leaves with the end of this turn.
    await new Promise(setImmediate);
    await farm.server.process.stop('SIGKILL');
    expect(await failed).toMatchObject({ code: StatusCode.UNAVAILABLE, details: [{ kind: 'retry-info' }] });
  });

  test('a server that does not answer costs no more than the time for a call', async () => {
    await using farm = await start(false, { commandTimeout: 200 });
    farm.server.process.signal('SIGSTOP');
    await expect(farm.store.submit(submissionOf(), signal)).rejects.toMatchObject({ code: StatusCode.UNAVAILABLE });
    farm.server.process.signal('SIGCONT');
  });

  test('a connection that has died without a word is given up, and another made', async () => {
    await using server = await RedisServer.start();
    const proxy = new DelayingProxy({ targetPort: server.port, delayMilliseconds: 0 });
    const connection = await connectToRedis(await proxy.listen(), { commandTimeout: 500 });
    const store = createJobStore(connection, {});
    await store.count(signal);
    proxy.strand();
    await expect(store.count(signal)).rejects.toMatchObject({ code: StatusCode.UNAVAILABLE });
    await expect.poll(() => store.count(signal).catch(() => undefined), { timeout: 10_000 }).toBeDefined();
    await connection.stop();
    await proxy.close();
  });

  test('stops at once though the server does not come back', async () => {
    await using farm = await start();
    await farm.server.process.stop('SIGKILL');
    await expect.poll(() => farm.connection.ready).toBe(false);
    const waiting = farm.store.get(submissionOf().jobId, signal).catch((cause: unknown) => cause);
    await farm.connection.stop();
    expect(await waiting).toMatchObject({ code: StatusCode.UNAVAILABLE });
  });

  test('waits for a server that is not there yet', async () => {
    await using farm = await start();
    await farm.server.process.stop('SIGKILL');
    const connecting = connectToRedis(farm.server.port);
    await farm.server.process.start();
    const connection = await connecting;
    expect(connection.ready).toBe(true);
    await connection.stop();
  });

  test('gives up waiting for a server when it is told to', async () => {
    const port = await freePort();
    const controller = new AbortController();
    const connecting = connectToRedis(port, {}, controller.signal).catch((cause: unknown) => cause);
    controller.abort(new Error('enough'));
    expect(await connecting).toMatchObject({ message: 'enough' });
  });

  test('logs in with its password', async () => {
    await using server = await RedisServer.start({ settings: { requirepass: 'open sesame' } });
    const connection = await connectToRedis(server.port, { password: 'open sesame' });
    expect(await createJobStore(connection).count(signal)).toEqual({ queued: 0, leased: 0, finished: 0 });
    await connection.stop();
  });

  test('is encrypted, to a server whose certificate is known alone', async () => {
    await using certificate = await SelfSignedCertificate.create();
    const { certificateFile, privateKeyFile } = certificate;
    const tlsPort = await freePort();
    await using _server = await RedisServer.start({
      settings: {
        'tls-port': String(tlsPort),
        'tls-cert-file': certificateFile,
        'tls-key-file': privateKeyFile,
        'tls-auth-clients': 'no',
      },
    });
    const known = await redisConnectionOptions(redisSchema.parse({ tls: { authoritiesFile: certificateFile } }));
    const connection = await connectToRedis(tlsPort, { tls: known.tls });
    expect(await createJobStore(connection).count(signal)).toEqual({ queued: 0, leased: 0, finished: 0 });
    await connection.stop();

    const giveUp = new AbortController();
    const logger: Logger = { ...silentLogger, warn: (fields) => giveUp.abort(fields) };
    const refused = await connectToRedis(tlsPort, { tls: {}, logger }, giveUp.signal).catch((cause: unknown) => cause);
    expect(refused).toMatchObject({ err: { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' } });
  });

  test('calls beyond the bound are UNAVAILABLE at once', async () => {
    await using farm = await start(false, { maxPending: 300 });
    await farm.store.get(submissionOf().jobId, signal);
    const all = await Promise.allSettled(
      Array.from({ length: 301 }, () => farm.store.get(submissionOf().jobId, signal)),
    );
    expect(all.filter((each) => each.status === 'rejected').map(({ reason }) => reason)).toMatchObject([
      { code: StatusCode.UNAVAILABLE },
    ]);
  });

  test('a server without memory left refuses new jobs with RESOURCE_EXHAUSTED, and lets those under way end', async () => {
    await using farm = await start();
    const { job } = await farm.store.submit(submissionOf({ doNotCache: true }), signal);
    await farm.observer.config('SET', 'maxmemory', '1');
    await expect(farm.store.submit(submissionOf(), signal)).rejects.toMatchObject({
      code: StatusCode.RESOURCE_EXHAUSTED,
      details: [{ kind: 'retry-info' }],
    });
    const lease = {
      type: 'lease',
      attempt: 1,
      botId: 'bot-1',
      botSessionName: 's',
      leaseMilliseconds: 60_000,
    } as const;
    expect((await farm.store.apply(job.id, lease, signal))?.accepted).toBe(true);
    const outcome = { kind: 'response', encoded: new Uint8Array(100) } as const;
    const complete = { type: 'complete', attempt: 1, botId: 'bot-1', good: true, outcome } as const;
    expect((await farm.store.apply(job.id, complete, signal))?.job?.state).toBe('completed');
  });

  test('a primary that must have a replica and has none is UNAVAILABLE for writes, until it has one', async () => {
    await using primary = await RedisServer.start({ settings: { 'min-replicas-to-write': '1' } });
    const connection = await connectToRedis(primary.port);
    const store = createJobStore(connection);
    await expect(store.submit(submissionOf(), signal)).rejects.toMatchObject({
      code: StatusCode.UNAVAILABLE,
      details: [{ kind: 'retry-info' }],
    });
    await using replica = await RedisServer.start({ settings: { replicaof: `127.0.0.1 ${primary.port}` } });
    expect(replica.port).not.toBe(primary.port);
    const submit = () => store.submit(submissionOf(), signal).catch(() => undefined);
    await expect.poll(submit, { timeout: 20_000 }).toMatchObject({ joined: false });
    await connection.stop();
  });

  test('a call whose signal is aborted is not made', async () => {
    await using farm = await start();
    await expect(farm.store.submit(submissionOf(), AbortSignal.abort())).rejects.toThrow('aborted');
    expect((await farm.store.count(signal)).queued).toBe(0);
  });
});

describe('jobs in Redis', () => {
  test('every script keeps to one hash tag', async () => {
    await using farm = await start();
    const monitor = await farm.observer.monitor();
    monitor.on('error', () => {});
    const seen: string[][] = [];
    monitor.on('monitor', (_time: string, args: string[]) => seen.push(args));
    const submission = submissionOf();
    const { job } = await farm.store.submit(submission, signal);
    await farm.store.submit(submissionOf(), signal);
    const lease = {
      type: 'lease',
      attempt: 1,
      botId: 'bot-1',
      botSessionName: 's',
      leaseMilliseconds: 60_000,
    } as const;
    await farm.store.apply(job.id, lease, signal);
    await farm.store.apply(job.id, { type: 'give-back', attempt: 1, botId: 'bot-1', reason: 'lost' }, signal);
    await farm.store.refreshWatches([{ jobId: job.id, version: 1 }], { replicaId: 'r', milliseconds: 1 }, signal);
    await farm.store.settle([{ jobId: job.id, version: 9 }], signal);
    await farm.store.apply(job.id, { type: 'cancel', reason: 'test' }, signal);
    await farm.store.apply(job.id, { type: 'delete-operation', operationId: submission.operationId }, signal);
    await farm.observer.echo('end');
    await expect.poll(() => seen.some(([name]) => name === 'echo')).toBe(true);
    monitor.disconnect();
    const tags = new Set(
      seen
        .flat()
        .filter((each) => each.startsWith('warren:'))
        .map((each) => each.slice(0, each.indexOf('}') + 1)),
    );
    expect([...tags]).toEqual(['warren:{aa}']);
  });

  test('every key has an expiry, and none is left of jobs that are forgotten', async () => {
    await using farm = await start();
    const submissions = [submissionOf(), submissionOf({ doNotCache: true }), submissionOf()];
    for (const each of submissions) await farm.store.submit(each, signal);
    await farm.store.apply(submissions[1]?.jobId ?? '', { type: 'cancel', reason: 'test' }, signal);
    const keys = await farm.observer.keys('*');
    const lives = await Promise.all(keys.map((key) => farm.observer.pttl(key)));
    expect(keys.length).toBeGreaterThan(8);
    expect(keys.filter((_key, i) => (lives[i] ?? -1) <= 0)).toEqual([]);
    for (const { operationId } of submissions) {
      const job = await farm.store.getByOperation(operationId, signal);
      await farm.store.apply(job?.id ?? '', { type: 'delete-operation', operationId }, signal);
    }
    expect(await farm.observer.keys('*')).toEqual([]);
  });

  test('an offer that nobody settled comes up again until somebody does', async () => {
    await using farm = await start();
    let now = 1_700_000_000_000;
    const store = createJobStore(farm.connection, { now: () => now });
    const { job } = await store.submit(submissionOf(), signal);
    now += 6_000;
    expect((await store.due(10, signal)).jobIds).toEqual([job.id]);
    const applied = await store.apply(job.id, { type: 'tick' }, signal);
    expect(applied?.effects.map((each) => each.type)).toContain('offer');
    await store.settle([{ jobId: job.id, version: job.version }], signal);
    now += 6_000;
    expect((await store.due(10, signal)).jobIds).toEqual([]);
  });

  test('what a younger change owes is not settled by an older one', async () => {
    await using farm = await start();
    let now = 1_700_000_000_000;
    const store = createJobStore(farm.connection, { now: () => now });
    const { job } = await store.submit(submissionOf({ priority: 5 }), signal);
    await store.submit(submissionOf({ priority: 1 }), signal);
    await store.settle([{ jobId: job.id, version: job.version }], signal);
    now += 6_000;
    expect((await store.due(10, signal)).jobIds).toEqual([job.id]);
  });

  test('answers of finished jobs are bounded by bytes as well as by count', async () => {
    await using farm = await start();
    const store = createJobStore(farm.connection, { maxFinishedBytes: 256 * 100 });
    const cached = { kind: 'response', encoded: new Uint8Array(60) } as const;
    const [older, younger] = [submissionOf({ cached }), submissionOf({ cached })];
    await store.submit(older, signal);
    await store.submit(younger, signal);
    expect(await store.get(older.jobId, signal)).toBeUndefined();
    expect(await store.get(younger.jobId, signal)).toBeDefined();
  });

  test('more unfinished jobs than the bound are refused, to come again later', async () => {
    await using farm = await start();
    const store = createJobStore(farm.connection, { maxUnfinished: 256 * 2 });
    for (let i = 0; i < 2; i++) await store.submit(submissionOf({ doNotCache: true }), signal);
    await expect(store.submit(submissionOf({ doNotCache: true }), signal)).rejects.toMatchObject({
      code: StatusCode.RESOURCE_EXHAUSTED,
      details: [{ kind: 'retry-info' }],
    });
  });
});
