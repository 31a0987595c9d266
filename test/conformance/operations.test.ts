import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type Digest, RequestMetadata } from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import {
  CancelOperationRequest,
  DeleteOperationRequest,
  GetOperationRequest,
  ListOperationsRequest,
  type Operation,
  OperationsService,
  WaitOperationRequest,
} from '../../src/proto/google/longrunning/operations.ts';
import { SHORT_POLL } from '../support/simulated-bot.ts';
import { digestText, type ExecutionStream, readOperation, Stage } from '../support/tenant.ts';
import { describeStatus, failure } from '../support/wire-client.ts';
import { choice, connect, Platform } from './target.ts';

const tenant = connect();
const { client } = tenant;

const get = (name: string) => client.unary(OperationsService.getOperation, GetOperationRequest.create({ name }));
const cancel = (name: string) =>
  client.unary(OperationsService.cancelOperation, CancelOperationRequest.create({ name }));
const remove = (name: string) =>
  client.unary(OperationsService.deleteOperation, DeleteOperationRequest.create({ name }));

async function list(filter: string): Promise<Operation[]> {
  const operations: Operation[] = [];
  let pageToken = '';
  do {
    const page = await client.unary(
      OperationsService.listOperations,
      ListOperationsRequest.create({ name: tenant.instanceName, filter, pageToken }),
    );
    operations.push(...page.operations);
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  return operations;
}

/** An execution that waits, of a build that nobody else is. */
async function start(invocation: string = randomUUID()): Promise<{
  platform: Platform;
  execution: ExecutionStream;
  name: string;
  invocation: string;
  actionDigest: Digest;
}> {
  const platform = new Platform(tenant);
  const { action } = await platform.prepare();
  const metadata = RequestMetadata.create({
    toolDetails: { toolName: 'conformance', toolVersion: '1.0' },
    toolInvocationId: invocation,
    correlatedInvocationsId: `all-${invocation}`,
    actionMnemonic: 'Test',
    targetId: '//some:target',
  });
  const execution = tenant.execute(
    action.digest,
    {},
    {
      deadline: 60_000,
      headers: {
        'build.bazel.remote.execution.v2.requestmetadata-bin': Buffer.from(RequestMetadata.encode(metadata).finish()),
      },
    },
  );
  await execution.until(Stage.QUEUED);
  return { platform, execution, name: await execution.name(), invocation, actionDigest: action.digest };
}

describe('Operations.GetOperation', () => {
  it('gives the present state by the name that Execute gave', async () => {
    const { name, execution } = await start();
    const { operation, stage } = readOperation(await get(name));
    expect(operation.name).toBe(name);
    expect(operation.done).toBe(false);
    expect(stage).toBe(Stage.QUEUED);
    execution.cancel();
  });

  it('gives the response once it is done', async () => {
    const { name, execution, platform } = await start();
    await Promise.all([platform.bot().serveOne({ exitCode: 4 }), execution.finish()]);
    const { operation, response } = readOperation(await get(name));
    expect(operation.done).toBe(true);
    expect(response?.result?.exitCode).toBe(4);
  });

  it('an unknown name gives NOT_FOUND', async () => {
    expect((await failure(get(`${tenant.instanceName}/${randomUUID()}`))).code).toBe('NOT_FOUND');
  });
});

describe('Operations.ListOperations', () => {
  choice('lists what waits, filtered by the build that it belongs to', async () => {
    const invocation = randomUUID();
    const [one, two] = [await start(invocation), await start(invocation)];
    const found = await list(`invocation_id=${invocation}`);
    expect(found.map((each) => each.name).sort()).toEqual([one.name, two.name].sort());
    one.execution.cancel();
    two.execution.cancel();
  });

  choice('leaves out what is completed when there is no filter, and finds it by its stage', async () => {
    const { platform, execution, name, invocation } = await start();
    expect((await list('')).map((each) => each.name)).toContain(name);
    await Promise.all([platform.bot().serveOne(), execution.finish()]);
    expect((await list('')).map((each) => each.name)).not.toContain(name);
    const found = await list(`invocation_id=${invocation} & stage=completed`);
    expect(found.map((each) => each.name)).toEqual([name]);
  });

  choice('filters by name, tool and stage', async () => {
    const { execution, name, invocation } = await start();
    for (const filter of [
      `name=${name}`,
      `invocation_id=${invocation} & tool_name=conformance & tool_version=1.0`,
      `correlated_invocations_id=all-${invocation}`,
      `invocation_id=${invocation} & stage=queued`,
      `invocation_id=${invocation} & stage!=executing`,
      `invocation_id=${invocation} & queued_time>=2020-01-01T00:00:00`,
    ]) {
      expect(
        (await list(filter)).map((each) => each.name),
        filter,
      ).toEqual([name]);
    }
    for (const filter of [
      `invocation_id=${invocation} & stage=executing`,
      `invocation_id=${invocation} & tool_name=other`,
      `invocation_id=${invocation} & queued_time<2020-01-01T00:00:00`,
    ]) {
      expect(await list(filter), filter).toEqual([]);
    }
    execution.cancel();
  });

  choice('filters by action, target, platform and times', async () => {
    const { platform, execution, name, invocation, actionDigest } = await start();
    await Promise.all([platform.bot().serveOne(), execution.finish()]);
    const [key, value] = platform.property;
    const found: ReadonlyArray<readonly [filter: string, isFound: boolean]> = [
      ['action_mnemonic=Test', true],
      ['action_mnemonic=Other', false],
      ['target_id=//some:target', true],
      ['target_id=//some:other', false],
      [`action_digest=${digestText(actionDigest)}`, true],
      [`action_digest!=${digestText(actionDigest)}`, false],
      [`platform=${key}:${value}`, true],
      [`platform!=${key}:${value}`, false],
      ['start_time>2020-01-01T00:00:00Z & completed_time>2020-01-01T00:00:00Z', true],
      ['start_time<2020-01-01T00:00:00Z', false],
      ['completed_time<=2020-01-01T00:00:00Z', false],
    ];
    for (const [filter, isFound] of found) {
      const names = (await list(`invocation_id=${invocation} & stage=completed & ${filter}`)).map((each) => each.name);
      expect(names, filter).toEqual(isFound ? [name] : []);
    }
  });

  choice('sorts as asked', async () => {
    const invocation = randomUUID();
    const one = await start(invocation);
    const two = await start(invocation);
    const ascending = await list(`invocation_id=${invocation} & sort_order=queued_time(asc)`);
    expect(ascending.map((each) => each.name)).toEqual([one.name, two.name]);
    const descending = await list(`invocation_id=${invocation} & sort_order=queued_time(desc)`);
    expect(descending.map((each) => each.name)).toEqual([two.name, one.name]);
    one.execution.cancel();
    two.execution.cancel();
  });

  it('pages have no more operations than page_size, and their tokens lead through all', async () => {
    const invocation = randomUUID();
    const started = [await start(invocation), await start(invocation), await start(invocation)];
    const names = new Set<string>();
    let pageToken = '';
    for (let pages = 0; pages < 1_000; pages++) {
      const page = await client.unary(
        OperationsService.listOperations,
        ListOperationsRequest.create({ name: tenant.instanceName, pageSize: 2, pageToken }),
      );
      expect(page.operations.length).toBeLessThanOrEqual(2);
      for (const each of page.operations) names.add(each.name);
      pageToken = page.nextPageToken;
      if (pageToken === '') break;
    }
    for (const each of started) expect(names.has(each.name)).toBe(true);
    for (const each of started) each.execution.cancel();
  });

  choice('return_partial_success is not offered, and gives UNIMPLEMENTED', async () => {
    const request = ListOperationsRequest.create({ name: tenant.instanceName, returnPartialSuccess: true });
    expect((await failure(client.unary(OperationsService.listOperations, request))).code).toBe('UNIMPLEMENTED');
  });

  choice('a filter that cannot be read gives INVALID_ARGUMENT that names the field', async () => {
    for (const filter of ['nonsense', 'stage==', 'no_such_key=1', 'stage=flying', 'queued_time>yesterday']) {
      const error = await failure(list(filter));
      expect(error.code, filter).toBe('INVALID_ARGUMENT');
      expect(error.message, filter).toContain('filter');
    }
  });

  choice('a page_size or page_token that cannot be gives INVALID_ARGUMENT that names the field', async () => {
    const base = { name: tenant.instanceName };
    for (const [field, request] of [
      ['page_size', { ...base, pageSize: -1 }],
      ['page_token', { ...base, pageToken: 'nonsense' }],
    ] as const) {
      const error = await failure(
        client.unary(OperationsService.listOperations, ListOperationsRequest.create(request)),
      );
      expect(error.code).toBe('INVALID_ARGUMENT');
      expect(error.message).toContain(field);
    }
  });
});

describe('Operations.CancelOperation', () => {
  it('of an operation that waits ends it with status CANCELLED in the response, and no bot gets it', async () => {
    const { platform, execution, name } = await start();
    await cancel(name);
    const response = await execution.finish();
    expect(describeStatus(response.status).code).toBe('CANCELLED');
    expect(execution.updates.at(-1)?.operation.result?.$case).toBe('response');
    expect((await platform.bot().create({}, SHORT_POLL)).leases).toEqual([]);
  });

  it('leaves the operation, which can be asked for with its end', async () => {
    const { execution, name } = await start();
    await cancel(name);
    await execution.finish();
    const operation = await get(name);
    expect([operation.name, operation.done]).toEqual([name, true]);
    expect(describeStatus(readOperation(operation).response?.status).code).toBe('CANCELLED');
  });

  it('of an operation that runs takes the lease from the bot', async () => {
    const { platform, execution, name } = await start();
    const bot = platform.bot();
    const lease = await bot.nextLease();
    await cancel(name);
    expect(describeStatus((await execution.finish()).status).code).toBe('CANCELLED');
    const { leases } = await bot.update([{ ...lease, state: 2 }]);
    expect(leases.every((each) => each.id !== lease.id || each.state === 5)).toBe(true);
  });

  it('of one of several operations of one action leaves the others alone', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const [one, two] = [tenant.execute(action.digest), tenant.execute(action.digest)];
    const name = await one.name();
    await two.next();
    await cancel(name);
    expect(describeStatus((await one.finish()).status).code).toBe('CANCELLED');
    await platform.bot().serveOne({ exitCode: 9 });
    expect((await two.finish()).result?.exitCode).toBe(9);
  });

  it('of an operation that is done changes nothing', async () => {
    const { platform, execution, name } = await start();
    await Promise.all([platform.bot().serveOne({ exitCode: 2 }), execution.finish()]);
    await cancel(name).catch(() => {});
    expect(readOperation(await get(name)).response?.result?.exitCode).toBe(2);
  });

  choice('twice is as once', async () => {
    const { execution, name } = await start();
    await cancel(name);
    await cancel(name);
    expect(describeStatus((await execution.finish()).status).code).toBe('CANCELLED');
  });

  it('an unknown name gives NOT_FOUND', async () => {
    expect((await failure(cancel(`${tenant.instanceName}/${randomUUID()}`))).code).toBe('NOT_FOUND');
  });

  it('an action that was cancelled can be executed again', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const first = tenant.execute(action.digest);
    await cancel(await first.name());
    await first.finish();
    const second = tenant.execute(action.digest);
    await Promise.all([platform.bot().serveOne({ exitCode: 1 }), second.finish()]);
    expect(second.updates.at(-1)?.response?.result?.exitCode).toBe(1);
  });
});

describe('Operations.WaitOperation', () => {
  const wait = (name: string, seconds?: bigint) =>
    client.unary(
      OperationsService.waitOperation,
      WaitOperationRequest.create({ name, ...(seconds === undefined ? {} : { timeout: { seconds, nanos: 0 } }) }),
    );

  it('gives the Operation once it is done', async () => {
    const { platform, execution, name } = await start();
    const waiting = wait(name, 15n);
    await platform.bot().serveOne({ exitCode: 3 });
    expect(readOperation(await waiting).response?.result?.exitCode).toBe(3);
    await execution.finish();
  });

  it('gives an Operation that is done already', async () => {
    const { platform, execution, name } = await start();
    await Promise.all([platform.bot().serveOne({ exitCode: 4 }), execution.finish()]);
    expect(readOperation(await wait(name, 3_600n)).response?.result?.exitCode).toBe(4);
  });

  choice('gives the present state before the deadline of the call, where that comes before the timeout', async () => {
    const { execution, name } = await start();
    const request = WaitOperationRequest.create({ name, timeout: { seconds: 3_600n, nanos: 0 } });
    const operation = await client.unary(OperationsService.waitOperation, request, { deadline: 2_000 });
    expect([operation.name, operation.done]).toEqual([name, false]);
    execution.cancel();
  });

  it('gives the present state when the timeout has passed', async () => {
    const { execution, name } = await start();
    expect((await wait(name, 0n)).done).toBe(false);
    execution.cancel();
  });

  it('an unknown name gives NOT_FOUND', async () => {
    expect((await failure(wait(`${tenant.instanceName}/${randomUUID()}`, 0n))).code).toBe('NOT_FOUND');
  });

  choice('a negative timeout gives INVALID_ARGUMENT that names the field', async () => {
    const { execution, name } = await start();
    const error = await failure(wait(name, -1n));
    expect(error.code).toBe('INVALID_ARGUMENT');
    expect(error.message).toContain('timeout');
    execution.cancel();
  });
});

describe('Operations.DeleteOperation', () => {
  it('either is UNIMPLEMENTED, or makes the name unknown', async () => {
    const { platform, execution, name } = await start();
    await Promise.all([platform.bot().serveOne(), execution.finish()]);
    const outcome = await remove(name).then(
      () => 'deleted',
      (error: unknown) => failure(Promise.reject(error)).then((each) => each.code),
    );
    expect(['deleted', 'UNIMPLEMENTED']).toContain(outcome);
    if (outcome === 'deleted') {
      expect((await failure(get(name))).code).toBe('NOT_FOUND');
      expect((await failure(tenant.waitExecution(name).finish())).code).toBe('NOT_FOUND');
    }
  });
});
