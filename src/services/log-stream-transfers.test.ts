import { beforeEach, describe, expect, test } from 'vitest';
import { callContext } from '../../test/support/call-context.ts';
import { testInstance } from '../../test/support/instance.ts';
import { TestGrid } from '../../test/support/test-grid.ts';
import { MemoryBlobStore } from '../adapters/blob/memory/memory-blob-store.ts';
import { InProcessLogStreamStore } from '../adapters/log-stream/in-process/in-process-log-stream-store.ts';
import type { Job } from '../domain/job.ts';
import { StatusCode } from '../domain/status-code.ts';
import type { StatusError } from '../domain/status-error.ts';
import { AsyncQueue } from '../lib/async-queue.ts';
import { SequentialIdGenerator } from '../lib/ids.ts';
import { silentLogger } from '../lib/log.ts';
import type { CallContext } from '../ports/call-context.ts';
import type { WriteRequest } from '../proto/google/bytestream/bytestream.ts';
import { ByteStream } from './byte-stream.ts';
import { Instances } from './instances.ts';
import { LogStream } from './log-stream.ts';
import { LogStreamNames } from './log-stream-names.ts';
import { LogStreamTransfers } from './log-stream-transfers.ts';

const signal = new AbortController().signal;
const limits = {
  maximumStreamBytes: 1_000_000,
  maximumTotalBytes: 10_000_000,
  maximumStreams: 10,
  retentionMilliseconds: 600_000,
};

let grid: TestGrid;
let names: LogStreamNames;
let byteStream: ByteStream;
let logStream: LogStream;
let moved: { write: number; read: number };

beforeEach(async () => {
  grid = await new TestGrid().start();
  const { clock, jobs } = grid;
  const ids = new SequentialIdGenerator();
  const store = new InProcessLogStreamStore(clock, limits);
  names = new LogStreamNames({ store, ids, clock, logger: silentLogger });
  await names.start(signal);
  const instances = new Instances([testInstance(new MemoryBlobStore(1_000))]);
  moved = { write: 0, read: 0 };
  const observer = {
    logStreamMoved(operation: 'write' | 'read', bytes: number) {
      moved[operation] += bytes;
    },
  };
  const logStreams = new LogStreamTransfers({ instances, store, names, jobs, observer });
  byteStream = new ByteStream(instances, { logStreams, blobsServed: false });
  logStream = new LogStream({ instances, store, names, ids });
});

/** A call of Read under way. */
function read(resourceName: string, context: Partial<CallContext> = {}) {
  const reader = { text: '', ended: false, failure: undefined as StatusError | undefined };
  const run = async () => {
    const request = { resourceName, readOffset: 0n, readLimit: 0n };
    for await (const { data } of byteStream.read(request, callContext(context))) reader.text += data.toString();
  };
  void run()
    .catch((thrown: unknown) => {
      reader.failure = thrown as StatusError;
    })
    .finally(() => {
      reader.ended = true;
    });
  return reader;
}

async function* messages(...all: WriteRequest[]): AsyncIterable<WriteRequest> {
  yield* all;
}

function write(resourceName: string, offset: number, text: string, finishWrite = false, context = callContext()) {
  const message = { resourceName, writeOffset: BigInt(offset), data: Buffer.from(text), finishWrite };
  return byteStream.write(messages(message), context);
}

const create = () => logStream.createLogStream({ parent: 'main' }, callContext());

/** A job that a bot runs. */
async function runningJob() {
  const client = grid.execute(await grid.uploadAction());
  await grid.settle();
  const bot = grid.bot('bot');
  await bot.create();
  const [lease] = bot.leases;
  const job = (await grid.jobs.get(lease?.id.split('.')[0] ?? '', signal)) as Job;
  const end = async () => {
    bot.complete(lease?.id ?? '', { exitCode: 0 });
    await bot.update({ remainingMilliseconds: () => 0 });
    await grid.settle();
  };
  return {
    job,
    end,
    client,
    readName: names.readNames(job)?.stdout ?? '',
    writeName: names.writeNames(job)?.stdout ?? '',
  };
}

describe('a replica without blobs', () => {
  test('refuses their names with UNIMPLEMENTED', async () => {
    const empty = 'blobs/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855/0';
    const reader = read(`main/${empty}`);
    await grid.settle();
    expect(reader.failure).toMatchObject({ code: StatusCode.UNIMPLEMENTED });
    const upload = `main/uploads/5a9b0f4e-7d1c-4b7e-9d9c-0d7f2b6a1e11/${empty}`;
    await expect(write(upload, 0, '')).rejects.toMatchObject({ code: StatusCode.UNIMPLEMENTED });
    await expect(byteStream.queryWriteStatus({ resourceName: upload }, callContext())).rejects.toMatchObject({
      code: StatusCode.UNIMPLEMENTED,
    });
  });
});

describe('Read', () => {
  test('a stream that is no action waits for its writer, however long that takes', async () => {
    const stream = await create();
    const reader = read(stream.name);
    await grid.clock.advance(3_600_000);
    expect(reader.ended).toBe(false);
    await write(stream.writeResourceName, 0, 'at last', true);
    await grid.settle();
    expect(reader).toMatchObject({ text: 'at last', ended: true, failure: undefined });
    expect(moved).toEqual({ write: 7, read: 7 });
  });

  test('a stream is known in its own instance alone', async () => {
    const stream = await create();
    const reader = read(stream.name.replace('main/', ''));
    await grid.settle();
    expect(reader.failure).toMatchObject({ code: StatusCode.INVALID_ARGUMENT });
  });

  test('the readers of an action that wrote nothing hear within two seconds of its end', async () => {
    const { end, readName } = await runningJob();
    const reader = read(readName);
    await grid.clock.advance(10_000);
    expect(reader.ended).toBe(false);
    await end();
    await grid.clock.advance(2_000);
    expect(reader.failure).toMatchObject({ code: StatusCode.NOT_FOUND });
  });

  test('what a worker still has to say after the end is waited for', async () => {
    const { end, readName, writeName } = await runningJob();
    const reader = read(readName);
    await write(writeName, 0, 'begun ');
    await end();
    await grid.clock.advance(3_000);
    await write(writeName, 6, 'done', true);
    await grid.settle();
    expect(reader).toMatchObject({ text: 'begun done', ended: true, failure: undefined });
  });

  test('a stream whose worker is lost ends', async () => {
    const { end, readName, writeName } = await runningJob();
    const reader = read(readName);
    await write(writeName, 0, 'begun');
    await end();
    await grid.clock.advance(6_000);
    expect(reader).toMatchObject({ text: 'begun', ended: true, failure: undefined });
  });

  test("an attempt that was never made, and another instance's action, give NOT_FOUND", async () => {
    const { readName, job } = await runningJob();
    const readers = [
      readName.replace('.1.stdout', '.2.stdout'),
      `main/logStreams/${job.id.replace(/.$/, 'f')}.1.stdout`,
    ];
    for (const reader of readers.map((each) => read(each))) {
      await grid.settle();
      expect(reader.failure).toMatchObject({ code: StatusCode.NOT_FOUND });
    }
  });
});

describe('a replica that drains', () => {
  async function drained(call: (context: Partial<CallContext>) => Promise<unknown>): Promise<StatusError> {
    const draining = new AbortController();
    const failure = call({ draining: draining.signal }).then(
      () => expect.fail('it went well'),
      (thrown: unknown) => thrown as StatusError,
    );
    await grid.settle();
    draining.abort();
    return failure;
  }
  const gone = { code: StatusCode.UNAVAILABLE, details: [{ kind: 'retry-info', retryDelayMilliseconds: 100 }] };

  test('sends readers away', async () => {
    const { name } = await create();
    const request = { resourceName: name, readOffset: 0n, readLimit: 0n };
    expect(
      await drained(async (parts) => {
        for await (const _ of byteStream.read(request, callContext(parts)));
      }),
    ).toMatchObject(gone);
  });

  test('sends writers away, who go on elsewhere from what was written', async () => {
    const { writeResourceName } = await create();
    const queue = new AsyncQueue<WriteRequest>();
    queue.push({ resourceName: writeResourceName, writeOffset: 0n, data: Buffer.from('begun'), finishWrite: false });
    expect(await drained((parts) => byteStream.write(queue, callContext(parts)))).toMatchObject(gone);
    const status = await byteStream.queryWriteStatus({ resourceName: writeResourceName }, callContext());
    expect(status).toEqual({ committedSize: 5n, complete: false });
  });

  test('sends writers away that wait for a reader', async () => {
    const { writeName } = await runningJob();
    const query = { resourceName: writeName };
    expect(await drained((parts) => byteStream.queryWriteStatus(query, callContext(parts)))).toMatchObject(gone);
  });
});
