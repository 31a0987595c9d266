import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { PreconditionFailure } from '../../src/proto/google/rpc/error_details.ts';
import { completed } from '../support/simulated-bot.ts';
import { digestText, freshBlob, prepareAction, Stage } from '../support/tenant.ts';
import { describeStatus, failure } from '../support/wire-client.ts';
import { choice, connect, Platform } from './target.ts';

const tenant = connect();

describe('Execution.Execute: the stream', () => {
  it('ends with an Operation that is done and has an ExecuteResponse with the result', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const bot = platform.bot();
    const execution = tenant.execute(action.digest);
    await Promise.all([bot.serveOne({ exitCode: 7 }), execution.finish()]);
    const last = execution.updates.at(-1);
    expect(last?.operation.done).toBe(true);
    expect(last?.operation.result?.$case).toBe('response');
    expect(last?.response?.result?.exitCode).toBe(7);
    expect(last?.response?.cachedResult).toBe(false);
    expect(describeStatus(last?.response?.status).code).toBe('OK');
  });

  it('an Operation is done if and only if its stage is COMPLETED', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const bot = platform.bot();
    const execution = tenant.execute(action.digest);
    await Promise.all([bot.serveOne(), execution.finish()]);
    for (const { operation, stage } of execution.updates) expect(operation.done).toBe(stage === Stage.COMPLETED);
  });

  it('Operation.metadata is ExecuteOperationMetadata with the digest of the action', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const execution = tenant.execute(action.digest);
    const first = await execution.next();
    expect(first?.operation.metadata?.typeUrl).toMatch(
      /\/build\.bazel\.remote\.execution\.v2\.ExecuteOperationMetadata$/,
    );
    expect(first?.metadata.actionDigest).toEqual(action.digest);
    execution.cancel();
  });

  it('Operation.response is packed as ExecuteResponse', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const bot = platform.bot();
    const execution = tenant.execute(action.digest);
    await Promise.all([bot.serveOne(), execution.finish()]);
    const result = execution.updates.at(-1)?.operation.result;
    expect(result?.$case === 'response' ? result.value.typeUrl : '').toMatch(
      /\/build\.bazel\.remote\.execution\.v2\.ExecuteResponse$/,
    );
  });

  it('every update has one name, which is not empty', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const bot = platform.bot();
    const execution = tenant.execute(action.digest);
    await Promise.all([bot.serveOne(), execution.finish()]);
    const names = new Set(execution.updates.map((each) => each.operation.name));
    expect(names.size).toBe(1);
    expect(names.has('')).toBe(false);
  });

  choice('stages come in order: QUEUED, EXECUTING, COMPLETED', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const bot = platform.bot();
    const execution = tenant.execute(action.digest);
    await execution.until(Stage.QUEUED);
    const lease = await bot.nextLease();
    await execution.until(Stage.EXECUTING);
    await bot.complete(lease);
    await execution.finish();
    const stages = execution.updates.map((each) => each.stage);
    expect(stages).toEqual([...stages].sort((a, b) => a - b));
    expect(stages.at(-1)).toBe(Stage.COMPLETED);
  });

  choice('a client hears at once that its action waits', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const execution = tenant.execute(action.digest, {}, { deadline: 5_000 });
    expect((await execution.next())?.operation.done).toBe(false);
    execution.cancel();
  });

  choice('the name begins with the instance', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const execution = tenant.execute(action.digest);
    expect(await execution.name()).toMatch(new RegExp(`^${tenant.resource('')}/?[^/]+$`));
    execution.cancel();
  });

  choice('the result tells who ran it and when it was queued, beside what the bot tells', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const bot = platform.bot();
    const execution = tenant.execute(action.digest);
    const executionStartTimestamp = { seconds: 1_234n, nanos: 5 };
    await bot.serveOne({ exitCode: 0, executionMetadata: { executionStartTimestamp } });
    const metadata = (await execution.finish()).result?.executionMetadata;
    expect(metadata?.worker).toBe(bot.botId);
    expect(metadata?.executionStartTimestamp).toEqual(executionStartTimestamp);
    expect(metadata?.queuedTimestamp?.seconds).toBeGreaterThan(1_700_000_000n);
  });
});

describe('Execution.Execute: failures before the action runs are a gRPC status', () => {
  it('an unset action_digest gives INVALID_ARGUMENT', async () => {
    expect((await failure(tenant.execute(undefined).finish())).code).toBe('INVALID_ARGUMENT');
  });

  it('an action that is not stored gives FAILED_PRECONDITION with MISSING', async () => {
    const { action } = prepareAction();
    const error = await failure(tenant.execute(action.digest).finish());
    expect(error.code).toBe('FAILED_PRECONDITION');
    expect(error.violations).toEqual([`MISSING blobs/${digestText(action.digest)}`]);
  });

  it('a command that is not stored gives FAILED_PRECONDITION with MISSING', async () => {
    const { action, inputRoot, command } = prepareAction({ command: { arguments: ['/bin/echo', randomUUID()] } });
    await tenant.upload(action, inputRoot);
    const error = await failure(tenant.execute(action.digest).finish());
    expect(error.code).toBe('FAILED_PRECONDITION');
    expect(error.violations).toContain(`MISSING blobs/${digestText(command.digest)}`);
  });

  choice('a missing command and a missing input root are named together', async () => {
    const { action, inputRoot, command } = prepareAction({
      command: { arguments: ['/bin/echo', randomUUID()] },
      inputRoot: { files: [{ name: 'f', digest: freshBlob().digest }] },
    });
    await tenant.upload(action);
    const error = await failure(tenant.execute(action.digest).finish());
    expect(error.code).toBe('FAILED_PRECONDITION');
    expect([...error.violations].sort()).toEqual(
      [command, inputRoot].map((each) => `MISSING blobs/${digestText(each.digest)}`).sort(),
    );
  });

  it('bytes that are no Action give INVALID_ARGUMENT', async () => {
    const garbage = freshBlob('\u0007\u00ff');
    await tenant.upload(garbage);
    expect((await failure(tenant.execute(garbage.digest).finish())).code).toBe('INVALID_ARGUMENT');
  });

  it('the hash of a stored action with another size is not taken for it', async () => {
    const { action } = await tenant.prepare();
    const digest = { ...action.digest, sizeBytes: action.digest.sizeBytes + 1n };
    const { code } = await failure(tenant.execute(digest).finish());
    expect(['FAILED_PRECONDITION', 'INVALID_ARGUMENT', 'NOT_FOUND']).toContain(code);
  });

  it('a node property of outputs that the server does not know gives INVALID_ARGUMENT', async () => {
    const { action } = await new Platform(tenant).prepare({ command: { outputNodeProperties: ['no-such-property'] } });
    const error = await failure(tenant.execute(action.digest, {}, { deadline: 5_000 }).finish());
    expect(error.code).toBe('INVALID_ARGUMENT');
  });

  choice('an instance that is not served gives INVALID_ARGUMENT that names the field', async () => {
    const { action } = await tenant.prepare();
    const call = tenant.execute(action.digest, { instanceName: `no-such-${randomUUID()}` }).finish();
    const error = await failure(call);
    expect(error.code).toBe('INVALID_ARGUMENT');
    expect(error.message).toContain('instance_name');
  });

  choice('a property that the server does not know is refused by name, or waits for a bot that has it', async () => {
    const { action } = await tenant.prepare({
      action: { platform: { properties: [{ name: 'no-such-property', value: 'x' }] } },
    });
    const error = await failure(tenant.execute(action.digest, {}, { deadline: 3_000 }).finish());
    expect(error.message).toMatch(/no-such-property|[Dd]eadline/);
    expect(['FAILED_PRECONDITION', 'INVALID_ARGUMENT', 'DEADLINE_EXCEEDED']).toContain(error.code);
  });

  it('a timeout above what the server allows is refused', async () => {
    const { action } = await tenant.prepare({ action: { timeout: { seconds: 10_000_000n, nanos: 0 } } });
    const error = await failure(tenant.execute(action.digest).finish());
    expect(error.code).toBe('INVALID_ARGUMENT');
  });
});

describe('Execution.Execute: failures while the action runs travel in ExecuteResponse.status', () => {
  it('the status of a lease that could not be run is the status of the response, and Operation.error is unset', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const bot = platform.bot();
    const execution = tenant.execute(action.digest);
    const lease = await bot.nextLease();
    await bot.complete(lease, {}, { code: 9, message: 'no such interpreter' });
    const response = await execution.finish();
    expect(execution.updates.at(-1)?.operation.result?.$case).toBe('response');
    expect(describeStatus(response.status)).toMatchObject({ code: 'FAILED_PRECONDITION' });
    expect(response.status?.message).toContain('no such interpreter');
  });

  it('what a bot finds missing among the inputs is told to the client blob by blob, as the bot tells it', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const bot = platform.bot();
    const execution = tenant.execute(action.digest);
    const lease = await bot.nextLease();
    const subjects = [freshBlob(), freshBlob()].map((each) => `blobs/${digestText(each.digest)}`);
    const violations = subjects.map((subject) => ({ type: 'MISSING', subject }));
    const value = PreconditionFailure.encode(PreconditionFailure.create({ violations })).finish();
    const details = [{ typeUrl: 'type.googleapis.com/google.rpc.PreconditionFailure', value: Buffer.from(value) }];
    await bot.update([{ ...completed(lease), status: { code: 9, message: 'inputs are missing', details } }]);
    expect(describeStatus((await execution.finish()).status)).toMatchObject({
      code: 'FAILED_PRECONDITION',
      violations: subjects.map((subject) => `MISSING ${subject}`),
    });
  });

  it('an action that timed out gives DEADLINE_EXCEEDED, with what the bot knows of its output', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const bot = platform.bot();
    const execution = tenant.execute(action.digest);
    const lease = await bot.nextLease();
    const stdout = freshBlob();
    await tenant.upload(stdout);
    await bot.complete(lease, { stdoutDigest: stdout.digest }, { code: 4, message: 'timed out' });
    const response = await execution.finish();
    expect(describeStatus(response.status).code).toBe('DEADLINE_EXCEEDED');
    expect(response.result?.stdoutDigest).toEqual(stdout.digest);
  });

  it('a response whose status is not OK is not cached', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const bot = platform.bot();
    const execution = tenant.execute(action.digest);
    const lease = await bot.nextLease();
    await bot.complete(lease, { exitCode: 0 }, { code: 9, message: 'no' });
    await execution.finish();
    expect((await failure(tenant.getActionResult(action.digest))).code).toBe('NOT_FOUND');
  });
});

describe('Execution.Execute: the cache', () => {
  it('a result is entered into the action cache before the client hears of it', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const bot = platform.bot();
    const execution = tenant.execute(action.digest);
    await Promise.all([bot.serveOne({ stdoutRaw: Buffer.from('x'), exitCode: 0 }), execution.finish()]);
    expect((await tenant.getActionResult(action.digest)).exitCode).toBe(0);
  });

  it('an action with a result is answered from it, with cached_result', async () => {
    const { action } = await tenant.prepare();
    const output = freshBlob();
    await tenant.upload(output);
    await tenant.updateActionResult(action.digest, { outputFiles: [{ path: 'out', digest: output.digest }] });
    const response = await tenant.execute(action.digest).finish();
    expect(response.cachedResult).toBe(true);
    expect(response.result?.outputFiles[0]?.digest).toEqual(output.digest);
  });

  it('skip_cache_lookup runs an action that has a result, and replaces it', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const [old, young] = [freshBlob(), freshBlob()];
    await tenant.upload(old, young);
    await tenant.updateActionResult(action.digest, { stdoutDigest: old.digest });
    const bot = platform.bot();
    const execution = tenant.execute(action.digest, { skipCacheLookup: true });
    await Promise.all([bot.serveOne({ stdoutDigest: young.digest }), execution.finish()]);
    const response = execution.updates.at(-1)?.response;
    expect(response?.cachedResult).toBe(false);
    expect(response?.result?.stdoutDigest).toEqual(young.digest);
    expect((await tenant.getActionResult(action.digest)).stdoutDigest).toEqual(young.digest);
  });

  it('do_not_cache: the result is not entered into the action cache', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare({ action: { doNotCache: true } });
    const bot = platform.bot();
    const execution = tenant.execute(action.digest);
    await Promise.all([bot.serveOne({ exitCode: 0 }), execution.finish()]);
    expect((await failure(tenant.getActionResult(action.digest))).code).toBe('NOT_FOUND');
  });

  it('do_not_cache: a result that is in the cache is not answered', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare({ action: { doNotCache: true } });
    await tenant.updateActionResult(action.digest, { exitCode: 0, stdoutRaw: Buffer.from('old') }).catch(() => {});
    const bot = platform.bot();
    const execution = tenant.execute(action.digest);
    await Promise.all([bot.serveOne({ exitCode: 3 }), execution.finish()]);
    const response = execution.updates.at(-1)?.response;
    expect([response?.cachedResult, response?.result?.exitCode]).toEqual([false, 3]);
  });

  choice('the result of a command that failed is not answered to the next who asks', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const bot = platform.bot();
    const execution = tenant.execute(action.digest);
    await Promise.all([bot.serveOne({ exitCode: 1 }), execution.finish()]);
    expect((await failure(tenant.getActionResult(action.digest))).code).toBe('NOT_FOUND');
  });

  choice('inline_stdout, inline_stderr and inline_output_files are honoured for small results', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const [stdout, stderr, output] = [freshBlob(), freshBlob(), freshBlob()];
    await tenant.upload(stdout, stderr, output);
    const bot = platform.bot();
    const execution = tenant.execute(action.digest, {
      inlineStdout: true,
      inlineStderr: true,
      inlineOutputFiles: ['out'],
    });
    await Promise.all([
      bot.serveOne({
        stdoutDigest: stdout.digest,
        stderrDigest: stderr.digest,
        outputFiles: [{ path: 'out', digest: output.digest }],
      }),
      execution.finish(),
    ]);
    const result = execution.updates.at(-1)?.response?.result;
    expect(result?.stdoutRaw).toEqual(stdout.data);
    expect(result?.stderrRaw).toEqual(stderr.data);
    expect(result?.outputFiles[0]?.contents).toEqual(output.data);
  });
});

describe('Execution.WaitExecution', () => {
  it('gives the present state at once, and the completed Operation at the end', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const bot = platform.bot();
    const execution = tenant.execute(action.digest);
    const name = await execution.name();
    const waiter = tenant.waitExecution(name);
    const first = await waiter.next();
    expect(first?.operation.done).toBe(false);
    expect(first?.operation.name).toBe(name);
    await bot.serveOne({ exitCode: 5 });
    expect((await waiter.finish()).result?.exitCode).toBe(5);
    expect((await execution.finish()).result?.exitCode).toBe(5);
  });

  it('several clients may wait for one operation', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const name = await tenant.execute(action.digest).name();
    const waiters = [tenant.waitExecution(name), tenant.waitExecution(name), tenant.waitExecution(name)];
    for (const each of waiters) expect((await each.next())?.operation.name).toBe(name);
    await platform.bot().serveOne({ exitCode: 7 });
    for (const each of waiters) expect((await each.finish()).result?.exitCode).toBe(7);
  });

  it('a client that lost its stream gets the result by the name alone', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const bot = platform.bot();
    const execution = tenant.execute(action.digest);
    const name = await execution.name();
    execution.cancel();
    const waiter = tenant.waitExecution(name);
    await waiter.next();
    await bot.serveOne({ exitCode: 6 });
    expect((await waiter.finish()).result?.exitCode).toBe(6);
  });

  it('an operation that is done already is answered with its response', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const bot = platform.bot();
    const execution = tenant.execute(action.digest);
    await Promise.all([bot.serveOne({ exitCode: 8 }), execution.finish()]);
    expect((await tenant.waitExecution(await execution.name()).finish()).result?.exitCode).toBe(8);
  });

  it('an unknown operation gives NOT_FOUND', async () => {
    for (const name of [tenant.resource(randomUUID()), randomUUID(), `${tenant.instanceName}/${randomUUID()}`]) {
      expect((await failure(tenant.waitExecution(name).finish())).code).toBe('NOT_FOUND');
    }
  });

  choice('an empty or absurd name gives NOT_FOUND or INVALID_ARGUMENT', async () => {
    for (const name of ['', '/', '../..', 'x'.repeat(5_000), '\u0000', `no-such-${randomUUID()}/${randomUUID()}`]) {
      const { code } = await failure(tenant.waitExecution(name).finish());
      expect(['NOT_FOUND', 'INVALID_ARGUMENT']).toContain(code);
    }
  });
});
