import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ActionDescription, buildAction, store } from '../../test/support/action-builder.ts';
import { MemoryBlobStore } from '../adapters/blob/memory/memory-blob-store.ts';
import { parseEndpoint } from '../adapters/grpc-client/endpoint.ts';
import { GrpcChannel } from '../adapters/grpc-client/grpc-channel.ts';
import { digestOf } from '../domain/digest.ts';
import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';
import { AsyncQueue } from '../lib/async-queue.ts';
import { SystemClock } from '../lib/clock.ts';
import { Deferred } from '../lib/deferred.ts';
import { RandomIdGenerator } from '../lib/ids.ts';
import { silentLogger } from '../lib/log.ts';
import type { CallContext } from '../ports/call-context.ts';
import {
  Action,
  ActionResult,
  Digest,
  ExecutedActionMetadata,
} from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import {
  type BotSession,
  BotStatus,
  BotsService,
  type CreateBotSessionRequest,
  type Lease,
  Lease as LeaseMessage,
  LeaseState,
  type UpdateBotSessionRequest,
} from '../proto/google/devtools/remoteworkers/v1test2/bots.ts';
import { RpcServer } from '../server/rpc-server.ts';
import { packAny } from '../wire/any.ts';
import { digestToWire } from '../wire/digest.ts';
import type { Worker } from '../worker/worker.ts';
import { DEFAULT_EXECUTION_LIMITS } from '../worker/worker.ts';
import { composeWorker } from './worker.ts';

const clock = new SystemClock();
const never = new AbortController().signal;

interface Update {
  readonly session: BotSession;
  readonly context: CallContext;
  readonly answer: Deferred<readonly Lease[]>;
}

/** A server with nothing but the Bots service, whose every answer the test gives. */
class ScriptedBots {
  readonly updates = new AsyncQueue<Update>();

  async createBotSession({ parent, botSession }: CreateBotSessionRequest): Promise<BotSession> {
    return { ...(botSession as BotSession), name: `${parent}/session` };
  }

  async updateBotSession({ botSession }: UpdateBotSessionRequest, context: CallContext): Promise<BotSession> {
    const update = { session: botSession as BotSession, context, answer: new Deferred<readonly Lease[]>() };
    this.updates.push(update);
    context.signal.addEventListener('abort', () => update.answer.reject(context.signal.reason));
    return { ...update.session, leases: [...(await update.answer.promise)] };
  }

  async postBotEventTemp(): Promise<never> {
    throw new StatusError(StatusCode.UNIMPLEMENTED, 'unused');
  }
}

describe('a worker against a server', () => {
  let folder: string;
  let bots: ScriptedBots;
  let server: RpcServer;
  let channel: GrpcChannel;
  let blobs: MemoryBlobStore;
  let worker: Worker;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'warren-worker-'));
    chmodSync(folder, 0o755);
    bots = new ScriptedBots();
    blobs = new MemoryBlobStore(1 << 26);
    server = new RpcServer(
      {
        address: '127.0.0.1:0',
        maxReceiveMessageBytes: 4 << 20,
        flowControl: { streamWindowBytes: 1 << 20, connectionWindowBytes: 1 << 20 },
        keepaliveTimeMilliseconds: 60_000,
        keepaliveTimeoutMilliseconds: 20_000,
        retryDelayMilliseconds: 100,
      },
      clock,
      silentLogger,
      { callStarted: () => () => {} },
    );
    server.register(BotsService, bots);
    await server.start(never);
    channel = new GrpcChannel({ endpoint: parseEndpoint(`127.0.0.1:${server.port}`), clock });
    const composed = await composeWorker(
      {
        instanceName: 'main',
        botId: 'the-bot',
        slots: 2,
        prefetch: 0,
        properties: [{ name: 'pool', value: 'test' }],
        workFolder: join(folder, 'work'),
        cacheFolder: join(folder, 'cache'),
        maxCacheBytes: 1 << 26,
        limits: DEFAULT_EXECUTION_LIMITS,
        sandbox: 'auto',
        hiddenFolders: [],
      },
      {
        channel,
        blobs,
        clock,
        ids: new RandomIdGenerator(),
        random: () => 0,
        logger: silentLogger,
        machine: { platform: 'linux', architecture: process.arch, path: '/usr/bin:/bin' },
      },
      never,
    );
    worker = composed.worker;
    await worker.start(never);
  });

  afterEach(async () => {
    await worker.stop(AbortSignal.abort());
    channel.close();
    await server.stop(AbortSignal.abort());
    rmSync(folder, { recursive: true, force: true });
  });

  async function nextUpdate(): Promise<Update> {
    const { value } = (await bots.updates.next()) as { value: Update };
    return value;
  }

  function lease(id: string, typeName: string, value: Uint8Array): Lease {
    return {
      ...LeaseMessage.decode(new Uint8Array(0)),
      id,
      state: LeaseState.PENDING,
      payload: packAny(typeName, value),
    };
  }

  async function actionLease(id: string, description: ActionDescription): Promise<Lease> {
    const action = await buildAction(blobs, description);
    return lease(id, 'build.bazel.remote.execution.v2.Action', Action.encode(action).finish());
  }

  /** Gives leases, and waits until the first of them is reported as completed; echoes what runs meanwhile. */
  async function completed(...leases: Lease[]): Promise<Lease> {
    (await nextUpdate()).answer.resolve(leases);
    for (;;) {
      const update = await nextUpdate();
      const found = update.session.leases.find(({ state }) => state === LeaseState.COMPLETED);
      if (found === undefined) continue;
      update.answer.resolve([]);
      return found;
    }
  }

  it('introduces itself with what it offers', async () => {
    const { session } = await nextUpdate();
    expect(session).toMatchObject({ botId: 'the-bot', status: BotStatus.OK });
    expect(session.worker?.configs).toEqual([{ key: 'capacity', value: '2' }]);
    const offered = session.worker?.devices[0]?.properties.map(({ key, value }) => `${key}=${value}`);
    expect(offered).toEqual(expect.arrayContaining(['OSFamily=linux', 'network=on', 'network=off', 'pool=test']));
  });

  it('runs an Action, and reports its result with its metadata', async () => {
    const { result, status } = await completed(await actionLease('one', { arguments: ['echo', 'hello'] }));
    expect(status?.code).toBe(0);
    const actionResult = ActionResult.decode(result?.value ?? Buffer.alloc(0));
    expect(actionResult.stdoutRaw.toString()).toBe('hello\n');
    expect(actionResult.executionMetadata).toMatchObject({ worker: 'the-bot' });
    expect(actionResult.executionMetadata?.workerStartTimestamp).toBeDefined();
    expect(actionResult.executionMetadata?.workerCompletedTimestamp).toBeDefined();
  });

  it('runs an Action of which it is given the Digest', async () => {
    const action = Action.encode(await buildAction(blobs, { arguments: ['true'] })).finish();
    const digest = digestToWire(await store(blobs, action));
    const { status } = await completed(
      lease('one', 'build.bazel.remote.execution.v2.Digest', Digest.encode(digest).finish()),
    );
    expect(status?.code).toBe(0);
  });

  it.each([
    ['another type', 'google.protobuf.Duration', Buffer.alloc(0)],
    ['garbage in an Action', 'build.bazel.remote.execution.v2.Action', Buffer.from('ffffffff', 'hex')],
    ['garbage in a Digest', 'build.bazel.remote.execution.v2.Digest', Buffer.from('ffffffff', 'hex')],
    ['an empty Action', 'build.bazel.remote.execution.v2.Action', Buffer.alloc(0)],
  ])('completes a lease that holds %s with INVALID_ARGUMENT', async (_what, typeName, value) => {
    const { status } = await completed(lease('one', typeName, value));
    expect(status?.code).toBe(StatusCode.INVALID_ARGUMENT);
  });

  it('completes a lease whose Action is missing with FAILED_PRECONDITION', async () => {
    const digest = Digest.encode(digestToWire(digestOf(Buffer.from('nowhere')))).finish();
    const { status } = await completed(lease('one', 'build.bazel.remote.execution.v2.Digest', digest));
    expect(status?.code).toBe(StatusCode.FAILED_PRECONDITION);
    expect(status?.details).toHaveLength(1);
  });

  it('tells how far a running lease has got', async () => {
    (await nextUpdate()).answer.resolve([await actionLease('one', { arguments: ['sleep', '30'] })]);
    for (;;) {
      const { session, context } = await nextUpdate();
      expect(session.leases).toMatchObject([{ id: 'one', state: LeaseState.ACTIVE }]);
      const [encoded] = context.binaryHeaders('partial-execution-metadata-one-bin');
      if (ExecutedActionMetadata.decode(encoded as Uint8Array).executionStartTimestamp !== undefined) return;
    }
  });

  it('finishes what runs before it stops', async () => {
    (await nextUpdate()).answer.resolve([await actionLease('one', { arguments: ['sleep', '0.3'] })]);
    await nextUpdate();
    const stopped = worker.stop(never);
    for (;;) {
      const { session, answer } = await nextUpdate();
      const done = session.leases.every(({ state }) => state === LeaseState.COMPLETED);
      answer.resolve(done ? [] : session.leases);
      if (!done) continue;
      expect(session.status).toBe(BotStatus.BOT_TERMINATING);
      if (session.leases.length === 0) break;
    }
    await stopped;
  });
});
