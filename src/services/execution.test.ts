import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { AT_ONCE } from '../../test/support/call-context.ts';
import { metadataOf, TestGrid } from '../../test/support/test-grid.ts';
import { digestOf } from '../domain/digest.ts';
import { StatusCode } from '../domain/status-code.ts';
import { RequestMetadata } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { LeaseState } from '../proto/google/devtools/remoteworkers/v1test2/bots.ts';

let grid: TestGrid;

beforeEach(async () => {
  grid = await new TestGrid().start();
});

afterEach(async () => {
  await grid.stop();
});

describe('Execute', () => {
  test('a stream shows queue, run and end, and the result of the bot', async () => {
    const client = grid.execute(await grid.uploadAction());
    await grid.settle();
    const bot = grid.bot('bot-1');
    await bot.create();
    await grid.settle();
    expect(bot.leases).toHaveLength(1);
    await grid.clock.advance(100);
    bot.complete(bot.leases[0]?.id ?? '', { exitCode: 0 });
    await bot.update(AT_ONCE);
    await client.done;
    expect(client.failure).toBeUndefined();
    expect(client.stageNames).toEqual(['QUEUED', 'EXECUTING', 'COMPLETED']);
    expect(client.response.status?.code).toBe(StatusCode.OK);
    expect(client.response.cachedResult).toBe(false);
    expect(client.response.result?.executionMetadata?.worker).toBe('bot-1');
    expect(new Set(client.operations.map(({ name }) => name)).size).toBe(1);
  });

  test('of an action that ends at once a client hears nothing between queue and end', async () => {
    const client = grid.execute(await grid.uploadAction());
    const bot = grid.bot('bot-1');
    await bot.create();
    await grid.clock.advance(99);
    bot.complete(bot.leases[0]?.id ?? '', { exitCode: 0 });
    await bot.update(AT_ONCE);
    await client.done;
    await grid.clock.advance(1_000);
    expect(client.stageNames).toEqual(['QUEUED', 'COMPLETED']);
  });

  test('of the outputs that a client wants inlined no more are noted than a record bears', async () => {
    const few = grid.execute(await grid.uploadAction(), { inlineOutputFiles: ['a', '', 'b'] });
    const paths = Array.from({ length: 2_000 }, (_, i) => `${i}/${'x'.repeat(1_000)}`);
    const many = grid.execute(await grid.uploadAction({ argument: 'other' }), { inlineOutputFiles: paths });
    await grid.settle();
    const noted = async (name: string) => {
      const job = await grid.jobs.getByOperation(name.slice('main/'.length), new AbortController().signal);
      return job?.operations[0]?.inline.outputFiles;
    };
    expect(await noted(few.name)).toEqual(['a', '', 'b']);
    expect(await noted(many.name)).toEqual(paths.slice(0, 64));
  });

  test('a result that was cached is answered without a bot, and marked', async () => {
    const action = await grid.uploadAction();
    const first = grid.execute(action);
    const bot = grid.bot('bot-1');
    await bot.create();
    bot.complete(bot.leases[0]?.id ?? '', { exitCode: 0 });
    await bot.update(AT_ONCE);
    await first.done;
    const second = grid.execute(action);
    await second.done;
    expect(second.response.cachedResult).toBe(true);
    expect(second.stageNames).toEqual(['COMPLETED']);
    const again = grid.wait(second.name);
    await again.done;
    expect(again.response.cachedResult).toBe(true);
  });

  test.each([
    ['a failed action', { exitCode: 1 }, {}],
    ['an action that must not be cached', { exitCode: 0 }, { doNotCache: true }],
  ])('%s is not cached', async (_what, result, wish) => {
    const action = await grid.uploadAction(wish);
    const client = grid.execute(action);
    const bot = grid.bot('bot-1');
    await bot.create();
    bot.complete(bot.leases[0]?.id ?? '', result);
    await bot.update(AT_ONCE);
    await client.done;
    expect(client.response.result?.exitCode).toBe(result.exitCode);
    expect(await grid.actionResults.get('main', action, new AbortController().signal)).toBeUndefined();
  });

  test('two clients of one action share a job, and each has an operation of its own', async () => {
    const action = await grid.uploadAction();
    const clients = [grid.execute(action), grid.execute(action)];
    await grid.settle();
    const bot = grid.bot('bot-1', { capacity: 2 });
    await bot.create();
    expect(bot.leases).toHaveLength(1);
    bot.complete(bot.leases[0]?.id ?? '', { exitCode: 0 });
    await bot.update(AT_ONCE);
    await Promise.all(clients.map((each) => each.done));
    expect(clients[0]?.name).not.toBe(clients[1]?.name);
    expect(clients.map((each) => each.response.status?.code)).toEqual([0, 0]);
  });

  test('an action that must not be cached is never shared', async () => {
    const action = await grid.uploadAction({ doNotCache: true });
    grid.execute(action);
    grid.execute(action);
    await grid.settle();
    const bot = grid.bot('bot-1', { capacity: 4 });
    await bot.create();
    expect(bot.leases).toHaveLength(2);
  });

  test('a joiner that is more urgent raises the job above others', async () => {
    const low = await grid.uploadAction({ argument: 'low' });
    const other = await grid.uploadAction({ argument: 'other' });
    grid.execute(low, { executionPolicy: { priority: 5 } });
    grid.execute(other, { executionPolicy: { priority: 1 } });
    grid.execute(low, { executionPolicy: { priority: -1 } });
    await grid.settle();
    const bot = grid.bot('bot-1', { deadline: 20_000 });
    await bot.create();
    const job = await grid.jobs.get((bot.leases[0]?.id ?? '').split('.')[0] ?? '', new AbortController().signal);
    expect(job?.actionDigest.hash).toBe(low.hash);
  });

  test('blobs that are missing are all named, as clients need to upload them', async () => {
    const missing = digestOf(Buffer.from('no such action'));
    const client = grid.execute(missing);
    await client.done;
    expect(client.failure).toMatchObject({
      code: StatusCode.FAILED_PRECONDITION,
      details: [
        {
          kind: 'precondition-failure',
          violations: [{ type: 'MISSING', subject: `blobs/${missing.hash}/${missing.sizeBytes}` }],
        },
      ],
    });
  });

  test('a timeout above the maximum is refused by the name of its field', async () => {
    const client = grid.execute(await grid.uploadAction({ timeoutSeconds: 7_201 }));
    await client.done;
    expect(client.failure).toMatchObject({ code: StatusCode.INVALID_ARGUMENT });
    expect(String(client.failure)).toContain('action.timeout');
  });

  test('an unset action digest is INVALID_ARGUMENT: BuildStream probes so', async () => {
    const client = grid.execute(digestOf(Buffer.from('x')), { actionDigest: undefined as never });
    await client.done;
    expect(client.failure).toMatchObject({ code: StatusCode.INVALID_ARGUMENT });
  });

  test('the platform of the command counts where the action has none', async () => {
    grid.execute(await grid.uploadAction({ platformInCommand: { ISA: 'arm' } }));
    await grid.settle();
    const unfit = grid.bot('unfit', { properties: [['ISA', 'x86-64']] });
    const polled = unfit.create();
    await grid.clock.advance(24_000);
    await polled;
    expect(unfit.leases).toHaveLength(0);
    const fit = grid.bot('fit', {
      properties: [
        ['ISA', 'x86-64'],
        ['ISA', 'arm'],
      ],
    });
    await fit.create();
    expect(fit.leases).toHaveLength(1);
  });

  test('without news the state is repeated', async () => {
    const client = grid.execute(await grid.uploadAction(), { skipCacheLookup: true });
    await grid.clock.advance(30_000);
    expect(client.stageNames).toEqual(['QUEUED', 'QUEUED']);
  });

  test('a draining replica sends clients away with RetryInfo, and they go on at another', async () => {
    const draining = new AbortController();
    const client = grid.execute(await grid.uploadAction(), {}, { draining: draining.signal });
    await grid.settle();
    draining.abort();
    await client.done;
    expect(client.failure).toMatchObject({ code: StatusCode.UNAVAILABLE, details: [{ kind: 'retry-info' }] });
    const other = await new TestGrid({ shared: grid, replicaId: 'replica-2' }).start();
    const again = other.wait(client.name);
    const bot = grid.bot('bot-1');
    await bot.create();
    bot.complete(bot.leases[0]?.id ?? '', { exitCode: 0 });
    await bot.update(AT_ONCE);
    await again.done;
    expect(again.response.status?.code).toBe(0);
    await other.stop();
  });

  test('a job that nobody streams any more is cancelled, and its bot stops', async () => {
    const client = grid.execute(await grid.uploadAction());
    const bot = grid.bot('bot-1');
    await bot.create();
    client.disconnect();
    await grid.clock.advance(6_000);
    await bot.update();
    expect(bot.leases).toHaveLength(0);
    const wait = grid.wait(client.name);
    await wait.done;
    expect(wait.response.status?.code).toBe(StatusCode.CANCELLED);
  });

  test('a client that comes back in time keeps its job', async () => {
    const client = grid.execute(await grid.uploadAction());
    await grid.settle();
    client.disconnect();
    await grid.clock.advance(3_000);
    const wait = grid.wait(client.name);
    await grid.clock.advance(20_000);
    expect(wait.stageNames[0]).toBe('QUEUED');
    expect(wait.ended).toBe(false);
  });

  test('when no bot covers the requirement for the whole grace, the client is told which property none has', async () => {
    await grid.bot('bot-1', { properties: [['ISA', 'x86-64']], deadline: 1_000 }).create();
    const client = grid.execute(await grid.uploadAction({ platform: { ISA: 'riscv' } }));
    const keep = async () => {
      for (let i = 0; i < 7; i++) await grid.clock.advance(9_000);
    };
    await keep();
    expect(client.response.status?.code).toBe(StatusCode.FAILED_PRECONDITION);
    expect(client.response.status?.message).toMatch(/ISA=riscv|no bot is connected/);
  });

  test('a bot that comes within the grace saves the job', async () => {
    const client = grid.execute(await grid.uploadAction());
    await grid.clock.advance(50_000);
    const bot = grid.bot('bot-1');
    await bot.create();
    expect(bot.leases).toHaveLength(1);
    expect(client.ended).toBe(false);
  });

  test('WaitExecution on a name that is not known is NOT_FOUND', async () => {
    const client = grid.wait('main/no-such-operation');
    await client.done;
    expect(client.failure).toMatchObject({ code: StatusCode.NOT_FOUND });
  });

  test('the build that a job belongs to is kept under either header name', async () => {
    const encoded = RequestMetadata.encode(RequestMetadata.fromPartial({ toolInvocationId: 'build-7' })).finish();
    const binaryHeaders = (name: string) => (name === 'requestmetadata-bin' ? [encoded] : []);
    grid.execute(await grid.uploadAction(), {}, { binaryHeaders });
    await grid.settle();
    const { callContext } = await import('../../test/support/call-context.ts');
    const list = (filter: string) =>
      grid.operations.listOperations(
        { name: 'main', filter, pageSize: 0, pageToken: '', returnPartialSuccess: false },
        callContext(),
      );
    expect((await list('invocation_id=build-7')).operations).toHaveLength(1);
    expect((await list('invocation_id=build-8')).operations).toHaveLength(0);
  });

  test('partial execution metadata that the bot sends reaches the client', async () => {
    const { ExecutedActionMetadata } = await import('../proto/build/bazel/remote/execution/v2/remote_execution.ts');
    const client = grid.execute(await grid.uploadAction());
    const bot = grid.bot('bot-1');
    await bot.create();
    bot.activate();
    const partial = ExecutedActionMetadata.encode(
      ExecutedActionMetadata.fromPartial({ inputFetchStartTimestamp: { seconds: 42n, nanos: 0 } }),
    ).finish();
    const header = `partial-execution-metadata-${bot.leases[0]?.id}-bin`;
    await bot.update({ binaryHeaders: (name) => (name === header ? [partial] : []) });
    await grid.settle();
    const last = client.operations.at(-1);
    expect(last && metadataOf(last).partialExecutionMetadata?.inputFetchStartTimestamp?.seconds).toBe(42n);
    expect(bot.leases[0]?.state).toBe(LeaseState.ACTIVE);
  });
});
