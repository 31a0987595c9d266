import { randomUUID } from 'node:crypto';
import { describe, expect } from 'vitest';
import { ExecuteOperationMetadata } from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import {
  CreateLogStreamRequest,
  type LogStream,
  LogStreamServiceService,
} from '../../src/proto/build/bazel/remote/logstream/v1/remote_logstream.ts';
import {
  ByteStreamService,
  QueryWriteStatusRequest,
  ReadRequest,
  type ReadResponse,
} from '../../src/proto/google/bytestream/bytestream.ts';
import { active, completed, type SimulatedBot } from '../support/simulated-bot.ts';
import { Stage } from '../support/tenant.ts';
import { failure, type ServerStream } from '../support/wire-client.ts';
import { choice, connect, expectNamed, Platform } from './target.ts';

/** Log streams are an API of their own, which a server of REAPI need not have. */

const tenant = connect();
const { client } = tenant;
const text = Buffer.from('first line\nsecond line\n');

function createLogStream(parent = tenant.instanceName): Promise<LogStream> {
  return client.unary(LogStreamServiceService.createLogStream, CreateLogStreamRequest.create({ parent }));
}

const at = (resourceName: string, offset: number, data: Buffer | string, finishWrite = false) => ({
  resourceName,
  writeOffset: BigInt(offset),
  data: Buffer.from(data),
  finishWrite,
});

/** A reader that takes what comes, and remembers it. */
class Reader {
  #received = Buffer.alloc(0);
  readonly #stream: ServerStream<ReadResponse>;
  readonly #iterator: AsyncIterator<ReadResponse>;

  constructor(resourceName: string, readOffset = 0) {
    const request = ReadRequest.create({ resourceName, readOffset: BigInt(readOffset) });
    this.#stream = client.serverStream(ByteStreamService.read, request);
    this.#iterator = this.#stream[Symbol.asyncIterator]();
  }

  get received(): string {
    return this.#received.toString();
  }

  /** Reads until so many bytes have come. */
  async bytes(count: number): Promise<string> {
    while (this.#received.length < count) {
      if (!(await this.#next())) throw new Error(`the stream ended after ${this.#received.length} bytes`);
    }
    return this.received;
  }

  /** Reads to the end of the stream. */
  async rest(): Promise<string> {
    while (await this.#next());
    return this.received;
  }

  async #next(): Promise<boolean> {
    const next = await this.#iterator.next();
    if (next.done === true) return false;
    this.#received = Buffer.concat([this.#received, next.value.data]);
    return true;
  }

  cancel(): void {
    this.#stream.cancel();
  }
}

describe('LogStreamService.CreateLogStream', () => {
  choice('gives a name to read below the parent, and one to write that adds a secret', async () => {
    const { name, writeResourceName } = await createLogStream();
    expect(name.startsWith(tenant.resource('logStreams/'))).toBe(true);
    expect(writeResourceName.startsWith(`${name}/`)).toBe(true);
    expect(writeResourceName.length - name.length).toBeGreaterThan(16);
  });

  choice('gives each stream names of its own', async () => {
    const streams = await Promise.all(Array.from({ length: 20 }, () => createLogStream()));
    expect(new Set(streams.map((each) => each.name)).size).toBe(20);
    expect(new Set(streams.map((each) => each.writeResourceName.split('/').at(-1))).size).toBe(20);
  });

  choice('a parent that is not served gives INVALID_ARGUMENT that names it', async () => {
    expectNamed(await failure(createLogStream(`no-such-${randomUUID()}`)), 'parent');
  });
});

describe('ByteStream.Write of a log stream', () => {
  choice('appends, message by message and call by call', async () => {
    const { name, writeResourceName } = await createLogStream();
    const { committedSize } = await tenant.write(
      at(writeResourceName, 0, 'one '),
      at('', 4, 'two '),
      at(writeResourceName, 8, 'three '),
    );
    expect(committedSize).toBe(14n);
    expect((await tenant.write(at(writeResourceName, 14, 'four', true))).committedSize).toBe(18n);
    expect((await tenant.read(name)).toString()).toBe('one two three four');
  });

  choice('QueryWriteStatus tells how far it has come, and when it is finished', async () => {
    const { writeResourceName } = await createLogStream();
    expect(await tenant.queryWriteStatus(writeResourceName)).toMatchObject({ committedSize: 0n, complete: false });
    await tenant.write(at(writeResourceName, 0, text));
    expect(await tenant.queryWriteStatus(writeResourceName)).toMatchObject({ committedSize: 23n, complete: false });
    await tenant.write(at(writeResourceName, 23, '', true));
    expect(await tenant.queryWriteStatus(writeResourceName)).toMatchObject({ committedSize: 23n, complete: true });
  });

  choice('what was written before is passed over when it is sent again', async () => {
    const { name, writeResourceName } = await createLogStream();
    await tenant.write(at(writeResourceName, 0, text.subarray(0, 15)));
    expect((await tenant.write(at(writeResourceName, 6, text.subarray(6), true))).committedSize).toBe(23n);
    expect((await tenant.write(at(writeResourceName, 0, text, true))).committedSize).toBe(23n);
    expect((await tenant.read(name)).equals(text)).toBe(true);
  });

  choice('an offset behind the end gives OUT_OF_RANGE', async () => {
    const { name, writeResourceName } = await createLogStream();
    await tenant.write(at(writeResourceName, 0, text));
    expect((await failure(tenant.write(at(writeResourceName, 24, text)))).code).toBe('OUT_OF_RANGE');
    await tenant.write(at(writeResourceName, 23, '', true));
    expect((await tenant.read(name)).equals(text)).toBe(true);
  });

  choice('more behind the end of a finished stream gives FAILED_PRECONDITION', async () => {
    const { writeResourceName } = await createLogStream();
    await tenant.write(at(writeResourceName, 0, text, true));
    expect((await failure(tenant.write(at(writeResourceName, 23, text)))).code).toBe('FAILED_PRECONDITION');
  });

  choice('a stream that would be too long gives RESOURCE_EXHAUSTED and keeps what it has', async () => {
    const { name, writeResourceName } = await createLogStream();
    const mebibyte = Buffer.alloc(1024 * 1024, 'x');
    const fill = async () => {
      for (let offset = 0; ; offset += mebibyte.length) await tenant.write(at(writeResourceName, offset, mebibyte));
    };
    expect((await failure(fill())).code).toBe('RESOURCE_EXHAUSTED');
    const { committedSize } = await tenant.queryWriteStatus(writeResourceName);
    expect(committedSize).toBeGreaterThan(0n);
    await tenant.write(at(writeResourceName, Number(committedSize), '', true));
    expect((await tenant.read(name)).length).toBe(Number(committedSize));
  });

  choice('a name without the token, or for reading, is not written', async () => {
    const { name, writeResourceName } = await createLogStream();
    const guessed = `${name}/${'0'.repeat(32)}`;
    expect((await failure(tenant.write(at(guessed, 0, text)))).code).toBe('NOT_FOUND');
    expect((await failure(tenant.queryWriteStatus(guessed))).code).toBe('NOT_FOUND');
    expectNamed(await failure(tenant.write(at(name, 0, text))), 'resource_name');
    expect(await tenant.queryWriteStatus(writeResourceName)).toMatchObject({ committedSize: 0n });
  });

  choice('the token of one stream is of no use for another', async () => {
    const [one, other] = [await createLogStream(), await createLogStream()];
    const token = one.writeResourceName.slice(one.name.length);
    expect((await failure(tenant.write(at(`${other.name}${token}`, 0, text)))).code).toBe('NOT_FOUND');
  });

  choice('messages with a gap give INVALID_ARGUMENT', async () => {
    const { writeResourceName } = await createLogStream();
    const messages = [at(writeResourceName, 0, text), at(writeResourceName, 24, text)];
    expectNamed(await failure(tenant.write(...messages)), 'write_offset');
  });
});

describe('ByteStream.Read of a log stream', () => {
  choice('follows the stream while it grows, and ends when it is finished', async () => {
    const { name, writeResourceName } = await createLogStream();
    const reader = new Reader(name);
    await tenant.write(at(writeResourceName, 0, 'one\n'));
    expect(await reader.bytes(4)).toBe('one\n');
    await tenant.write(at(writeResourceName, 4, 'two\n'));
    expect(await reader.bytes(8)).toBe('one\ntwo\n');
    await tenant.write(at(writeResourceName, 8, 'three\n', true));
    expect(await reader.rest()).toBe('one\ntwo\nthree\n');
  });

  choice('several readers each get all of it, whenever they come', async () => {
    const { name, writeResourceName } = await createLogStream();
    const early = new Reader(name);
    await tenant.write(at(writeResourceName, 0, text.subarray(0, 10)));
    await early.bytes(10);
    const late = new Reader(name);
    await tenant.write(at(writeResourceName, 10, text.subarray(10), true));
    const last = new Reader(name);
    const all = await Promise.all([early, late, last].map((each) => each.rest()));
    expect(all).toEqual([text, text, text].map(String));
  });

  choice('read_offset leaves out what comes before, and read_limit ends it', async () => {
    const { name, writeResourceName } = await createLogStream();
    await tenant.write(at(writeResourceName, 0, text));
    expect((await tenant.read(name, 6n, 4n)).toString()).toBe('line');
    const reader = new Reader(name, 23);
    await tenant.write(at(writeResourceName, 23, 'more', true));
    expect(await reader.rest()).toBe('more');
  });

  choice('a reader that goes away harms no other', async () => {
    const { name, writeResourceName } = await createLogStream();
    const [leaving, staying] = [new Reader(name), new Reader(name)];
    await tenant.write(at(writeResourceName, 0, text));
    await leaving.bytes(1);
    leaving.cancel();
    await tenant.write(at(writeResourceName, 23, 'more', true));
    expect(await staying.rest()).toBe(`${text.toString()}more`);
  });

  choice('a reader that takes nothing keeps neither the writer nor other readers', async () => {
    const { name, writeResourceName } = await createLogStream();
    const idle = new Reader(name);
    const chunk = Buffer.alloc(512 * 1024, 'x');
    for (let i = 0; i < 16; i++) await tenant.write(at(writeResourceName, i * chunk.length, chunk, i === 15));
    expect((await tenant.read(name)).length).toBe(16 * chunk.length);
    expect((await idle.rest()).length).toBe(16 * chunk.length);
  });

  choice(
    'an offset that is negative or behind the end gives OUT_OF_RANGE, a negative limit INVALID_ARGUMENT',
    async () => {
      const { name, writeResourceName } = await createLogStream();
      await tenant.write(at(writeResourceName, 0, text));
      expect((await failure(tenant.read(name, -1n))).code).toBe('OUT_OF_RANGE');
      expect((await failure(tenant.read(name, 24n))).code).toBe('OUT_OF_RANGE');
      expectNamed(await failure(tenant.read(name, 0n, -1n)), 'read_limit');
    },
  );

  choice('a stream that nobody made gives NOT_FOUND, a name for writing INVALID_ARGUMENT', async () => {
    const { writeResourceName } = await createLogStream();
    expect((await failure(tenant.read(tenant.resource(`logStreams/${randomUUID()}`)))).code).toBe('NOT_FOUND');
    expectNamed(await failure(tenant.read(writeResourceName)), 'resource_name');
  });
});

/** The names of streams in the trailer of the answer that brings a lease. */
async function writeNames(bot: SimulatedBot, lease: Parameters<typeof active>[0]) {
  const { trailers } = await bot.updateWithTrailers([active(lease)]);
  const [encoded] = trailers.get('executeoperationmetadata-bin') as Buffer[];
  const { stdoutStreamName, stderrStreamName } = ExecuteOperationMetadata.decode(encoded ?? Buffer.alloc(0));
  return { stdout: stdoutStreamName, stderr: stderrStreamName };
}

async function runningAction() {
  const platform = new Platform(tenant);
  const { action } = await platform.prepare();
  const execution = tenant.execute(action.digest);
  const bot = platform.bot();
  const lease = await bot.nextLease();
  const { metadata } = await execution.until(Stage.EXECUTING);
  return { execution, bot, lease, stdout: metadata.stdoutStreamName, stderr: metadata.stderrStreamName };
}

describe('The log streams of an action', () => {
  choice('are named to the client for reading, and to the bot in the trailer for writing', async () => {
    const { execution, bot, lease, stdout, stderr } = await runningAction();
    const names = await writeNames(bot, lease);
    expect(stdout).toContain('logStreams/');
    expect(new Set([stdout, stderr, names.stdout, names.stderr]).size).toBe(4);
    expect(names.stdout.startsWith(`${stdout}/`)).toBe(true);
    expect(names.stderr.startsWith(`${stderr}/`)).toBe(true);
    await bot.complete(lease);
    await execution.finish();
  });

  choice('bring what the bot writes to every client while the action runs', async () => {
    const { execution, bot, lease, stdout } = await runningAction();
    const names = await writeNames(bot, lease);
    const readers = [new Reader(stdout), new Reader(stdout)];
    await tenant.write(at(names.stdout, 0, 'begun\n'));
    for (const each of readers) expect(await each.bytes(6)).toBe('begun\n');
    await tenant.write(at(names.stdout, 6, 'done\n', true));
    for (const each of readers) expect(await each.rest()).toBe('begun\ndone\n');
    await bot.complete(lease);
    await execution.finish();
  });

  choice('QueryWriteStatus is answered when somebody reads, so that nothing is sent that nobody wants', async () => {
    const { execution, bot, lease, stderr } = await runningAction();
    const names = await writeNames(bot, lease);
    const request = QueryWriteStatusRequest.create({ resourceName: names.stderr });
    const unread = client.unary(ByteStreamService.queryWriteStatus, request, { deadline: 1_000 });
    expect((await failure(unread)).code).toBe('DEADLINE_EXCEEDED');
    const query = tenant.queryWriteStatus(names.stderr);
    const reader = new Reader(stderr);
    const first = reader.bytes(1);
    expect(await query).toMatchObject({ committedSize: 0n, complete: false });
    await tenant.write(at(names.stderr, 0, 'x', true));
    expect(await first).toBe('x');
    await bot.complete(lease);
    await execution.finish();
  });

  choice('are others for the next attempt', async () => {
    const { execution, bot, lease, stdout } = await runningAction();
    const names = await writeNames(bot, lease);
    await bot.update([completed(lease, {}, { code: 14, message: 'out of order' })]);
    const again = await bot.nextLease();
    const { metadata } = await execution.until(Stage.EXECUTING);
    expect(metadata.stdoutStreamName).not.toBe(stdout);
    expect(names.stdout.startsWith(metadata.stdoutStreamName)).toBe(false);
    await bot.complete(again);
    await execution.finish();
  });

  choice('end for their readers when the action ends without having written', async () => {
    const { execution, bot, lease, stdout } = await runningAction();
    const read = failure(new Reader(stdout).rest());
    await bot.complete(lease);
    await execution.finish();
    expect((await read).code).toBe('NOT_FOUND');
    expect((await failure(new Reader(stdout).rest())).code).toBe('NOT_FOUND');
  });

  choice('end for their readers when the bot has written and does not finish', async () => {
    const { execution, bot, lease, stdout } = await runningAction();
    const names = await writeNames(bot, lease);
    await tenant.write(at(names.stdout, 0, text));
    const reader = new Reader(stdout);
    await bot.complete(lease);
    await execution.finish();
    expect(await reader.rest()).toBe(text.toString());
  });
});
