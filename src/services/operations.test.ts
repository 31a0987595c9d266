import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { callContext } from '../../test/support/call-context.ts';
import { metadataOf, TestGrid } from '../../test/support/test-grid.ts';
import { StatusCode } from '../domain/status-code.ts';
import { submissionOf } from '../ports/job-store.suite.ts';
import { ExecuteResponse } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import {
  type ListOperationsRequest,
  type Operation,
  Operation as WireOperation,
} from '../proto/google/longrunning/operations.ts';

let grid: TestGrid;

beforeEach(async () => {
  grid = await new TestGrid().start();
});

afterEach(async () => {
  await grid.stop();
});

async function executed(argument = 'it') {
  const client = grid.execute(await grid.uploadAction({ argument }));
  await grid.settle();
  return client;
}

function list(parts: Partial<ListOperationsRequest> = {}) {
  return grid.operations.listOperations(
    { name: 'main', filter: '', pageSize: 0, pageToken: '', returnPartialSuccess: false, ...parts },
    callContext(),
  );
}

function statusOf(operation: Operation): number | undefined {
  if (operation.result?.$case !== 'response') return undefined;
  return ExecuteResponse.decode(operation.result.value.value).status?.code;
}

describe('GetOperation', () => {
  test('gives the present state, under the name as Execute gave it', async () => {
    const client = await executed();
    const operation = await grid.operations.getOperation({ name: client.name }, callContext());
    expect(operation.name).toBe(client.name);
    expect(metadataOf(operation).stage).toBe(2);
    expect(operation.done).toBe(false);
  });

  test.each(['', 'main/', 'main/x', 'other/aa-00000000-0000-4000-8000-000000000001'])('%s is refused', async (name) => {
    const code = name === '' ? StatusCode.INVALID_ARGUMENT : StatusCode.NOT_FOUND;
    await expect(grid.operations.getOperation({ name }, callContext())).rejects.toMatchObject({ code });
  });

  test('the name of another instance does not lead to the operation', async () => {
    const client = await executed();
    const id = client.name.slice('main/'.length);
    await expect(grid.operations.getOperation({ name: id }, callContext())).rejects.toMatchObject({
      code: StatusCode.NOT_FOUND,
    });
  });

  test('an operation of the instance with the empty name is found with and without leading slash', async () => {
    const client = grid.execute(await grid.uploadAction(), { instanceName: '' });
    await grid.settle();
    for (const name of [client.name, `/${client.name}`]) {
      expect((await grid.operations.getOperation({ name }, callContext())).name).toBe(client.name);
    }
  });
});

describe('CancelOperation', () => {
  test('ends one client of a shared job, and the job with the last', async () => {
    const [first, second] = [await executed(), await executed()];
    await grid.operations.cancelOperation({ name: first.name }, callContext());
    await first.done;
    expect(first.response.status?.code).toBe(StatusCode.CANCELLED);
    expect(first.operations.at(-1)?.result?.$case).toBe('response');
    expect(second.ended).toBe(false);
    await grid.operations.cancelOperation({ name: second.name }, callContext());
    await second.done;
    expect(second.response.status?.code).toBe(StatusCode.CANCELLED);
    expect(await grid.broker.queues(callContext().signal)).toMatchObject([{ waiting: 0 }]);
  });

  test('one that has ended stays as it is, and is no error', async () => {
    const client = await executed();
    await grid.operations.cancelOperation({ name: client.name }, callContext());
    await expect(grid.operations.cancelOperation({ name: client.name }, callContext())).resolves.toEqual({});
  });
});

describe('DeleteOperation', () => {
  test('of an unfinished operation ends the interest and the record', async () => {
    const [first, second] = [await executed(), await executed()];
    await grid.operations.deleteOperation({ name: first.name }, callContext());
    await grid.settle();
    expect(first.failure).toMatchObject({ code: StatusCode.NOT_FOUND });
    expect(second.ended).toBe(false);
    expect((await list()).operations.map((each) => each.name)).toEqual([second.name]);
  });

  test('of the last operation withdraws the job, and its client is told', async () => {
    const client = await executed();
    await grid.operations.deleteOperation({ name: client.name }, callContext());
    expect(await grid.broker.queues(callContext().signal)).toMatchObject([{ waiting: 0 }]);
    await expect(grid.operations.getOperation({ name: client.name }, callContext())).rejects.toMatchObject({
      code: StatusCode.NOT_FOUND,
    });
    await client.done;
    expect(client.failure).toMatchObject({ code: StatusCode.NOT_FOUND });
  });
});

describe('WaitOperation', () => {
  test('gives the end as soon as it is there', async () => {
    const client = await executed();
    const waiting = grid.operations.waitOperation({ name: client.name, timeout: undefined }, callContext());
    await grid.settle();
    await grid.operations.cancelOperation({ name: client.name }, callContext());
    expect(statusOf(await waiting)).toBe(StatusCode.CANCELLED);
  });

  test('gives the state as it stands when its timeout is over', async () => {
    const client = await executed();
    const timeout = { seconds: 3n, nanos: 0 };
    const waiting = grid.operations.waitOperation({ name: client.name, timeout }, callContext());
    await grid.clock.advance(3_001);
    expect((await waiting).done).toBe(false);
  });
});

describe('ListOperations', () => {
  test('without a filter lists what goes on, the longest waiting first', async () => {
    const names = [];
    for (const argument of ['a', 'b', 'c']) {
      names.push((await executed(argument)).name);
      await grid.clock.advance(10);
    }
    await grid.operations.cancelOperation({ name: names[1] ?? '' }, callContext());
    expect((await list()).operations.map((each) => each.name)).toEqual([names[0], names[2]]);
    expect((await list({ filter: 'stage=COMPLETED' })).operations.map((each) => each.name)).toEqual([names[1]]);
  });

  test('return_partial_success is UNIMPLEMENTED', async () => {
    await expect(list({ returnPartialSuccess: true })).rejects.toMatchObject({ code: StatusCode.UNIMPLEMENTED });
  });

  test('sorts and pages as asked', async () => {
    const names = [];
    for (const argument of ['a', 'b', 'c']) {
      names.push((await executed(argument)).name);
      await grid.clock.advance(10);
    }
    const filter = 'sort_order=queued_time(desc)';
    const first = await list({ filter, pageSize: 2 });
    expect(first.operations.map((each) => each.name)).toEqual([names[2], names[1]]);
    const second = await list({ filter, pageSize: 2, pageToken: first.nextPageToken });
    expect(second.operations.map((each) => each.name)).toEqual([names[0]]);
    expect(second.nextPageToken).toBe('');
  });

  test('a page holds no more than fits into one message, and the rest is on the next', async () => {
    const megabyte = ExecuteResponse.encode(ExecuteResponse.fromPartial({ message: 'x'.repeat(2 ** 20) })).finish();
    const cached = { kind: 'response', encoded: megabyte } as const;
    for (let i = 0; i < 10; i++) await grid.jobs.submit(submissionOf({ cached }), new AbortController().signal);
    const names = new Set<string>();
    let pageToken = '';
    do {
      const page = await list({ filter: 'stage = COMPLETED', pageToken });
      const sizes = page.operations.map((each) => WireOperation.encode(each).finish().byteLength);
      expect(sizes.reduce((sum, each) => sum + each, 0)).toBeLessThan(4 * 2 ** 20);
      expect(sizes.length).toBeGreaterThan(0);
      for (const { name } of page.operations) names.add(name);
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    expect(names.size).toBe(10);
  });

  test('filters by platform, time and several terms at once', async () => {
    grid.execute(await grid.uploadAction({ platform: { ISA: 'arm' } }));
    await executed('plain');
    expect((await list({ filter: 'platform=ISA:arm' })).operations).toHaveLength(1);
    expect((await list({ filter: 'platform!=ISA:arm' })).operations).toHaveLength(0);
    expect((await list({ filter: 'queued_time>=2026-01-01T00:00:00 & stage=queued' })).operations).toHaveLength(2);
    expect((await list({ filter: 'queued_time<2026-01-01' })).operations).toHaveLength(0);
  });

  test.each([
    [{ filter: 'stage' }, 'filter'],
    [{ filter: 'colour=red' }, 'filter'],
    [{ filter: 'stage=9' }, 'filter'],
    [{ filter: 'queued_time>yesterday' }, 'filter'],
    [{ filter: 'platform=ISA' }, 'filter'],
    [{ filter: 'sort_order=colour(asc)' }, 'filter'],
    [{ pageSize: 1_001 }, 'page_size'],
    [{ pageSize: -1 }, 'page_size'],
    [{ pageToken: '###' }, 'page_token'],
    [{ name: 'nowhere' }, 'name'],
  ])('%o is INVALID_ARGUMENT that names %s', async (parts, field) => {
    await expect(list(parts)).rejects.toMatchObject({ code: StatusCode.INVALID_ARGUMENT });
    await expect(list(parts)).rejects.toThrow(field);
  });
});
