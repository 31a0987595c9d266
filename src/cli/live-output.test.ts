import { createHash } from 'node:crypto';
import { beforeEach, describe, expect, test } from 'vitest';
import { Retrier } from '../adapters/grpc-client/retrier.ts';
import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';
import { AsyncQueue } from '../lib/async-queue.ts';
import { FakeClock } from '../lib/fake-clock.ts';
import { ExecuteOperationMetadata } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import type { ReadRequest, ReadResponse } from '../proto/google/bytestream/bytestream.ts';
import { LiveOutput } from './live-output.ts';
import type { Remote } from './remote.ts';

/** A server whose streams the test writes. Each call of Read takes the next queue of its stream. */
class FakeServer {
  readonly requests: ReadRequest[] = [];
  readonly #queues = new Map<string, Array<AsyncQueue<ReadResponse>>>();

  /** The answer to the next Read of a stream. */
  answer(name: string): AsyncQueue<ReadResponse> {
    const queue = new AsyncQueue<ReadResponse>();
    this.#queues.set(name, [...(this.#queues.get(name) ?? []), queue]);
    return queue;
  }

  async *serverStream(_method: unknown, request: ReadRequest, _options: unknown, signal: AbortSignal) {
    this.requests.push(request);
    const queue = this.#queues.get(request.resourceName)?.shift() ?? new AsyncQueue<ReadResponse>();
    signal.addEventListener('abort', () => queue.fail(signal.reason));
    yield* queue;
  }
}

const unavailable = new StatusError(StatusCode.UNAVAILABLE, 'for a test');
const metadataOf = (name: string) =>
  ExecuteOperationMetadata.create({ stdoutStreamName: `${name}.stdout`, stderrStreamName: `${name}.stderr` });
const chunk = (text: string): ReadResponse => ({ data: Buffer.from(text) });

let clock: FakeClock;
let server: FakeServer;
let printed: { stdout: string; stderr: string };
let cleared: number;
let live: LiveOutput;

beforeEach(() => {
  clock = new FakeClock();
  server = new FakeServer();
  printed = { stdout: '', stderr: '' };
  cleared = 0;
  const output = (name: 'stdout' | 'stderr') => ({
    write: (text: string | Uint8Array) => {
      printed[name] += Buffer.from(text as string).toString();
    },
  });
  const retrier = new Retrier({ clock, random: () => 0.5 });
  const outputs = { stdout: output('stdout'), stderr: output('stderr') };
  live = new LiveOutput({ channel: server, retrier } as unknown as Remote, outputs, clock, () => {
    cleared += 1;
  });
});

describe('LiveOutput', () => {
  test('prints each stream where it belongs, as it comes', async () => {
    const [stdout, stderr] = [server.answer('a.stdout'), server.answer('a.stderr')];
    live.update(metadataOf('a'));
    await clock.advance(150);
    stdout.push(chunk('out'));
    stderr.push(chunk('err'));
    await clock.advance(0);
    expect(printed).toEqual({ stdout: 'out', stderr: 'err' });
    expect(cleared).toBe(2);
    await live.stop();
    expect(live.printed('stdout')).toEqual({ bytes: 3, hash: createHash('sha256').update('out').digest('hex') });
  });

  test('an action that ends soon costs no call', async () => {
    live.update(metadataOf('a'));
    await clock.advance(100);
    await live.stop();
    await clock.advance(1_000);
    expect(server.requests).toEqual([]);
    expect(live.printed('stdout').bytes).toBe(0);
  });

  test('repeated news of one run change nothing', async () => {
    live.update(metadataOf('a'));
    await clock.advance(150);
    live.update(metadataOf('a'));
    live.update(undefined);
    live.update(ExecuteOperationMetadata.create());
    await clock.advance(150);
    expect(server.requests.map((each) => each.resourceName)).toEqual(['a.stdout', 'a.stderr']);
    await live.stop();
  });

  test('a stream that breaks is read on from where it was', async () => {
    const [first, second] = [server.answer('a.stdout'), server.answer('a.stdout')];
    live.update(metadataOf('a'));
    await clock.advance(150);
    first.push(chunk('one '));
    first.fail(unavailable);
    second.push(chunk('two'));
    await clock.advance(10_000);
    const offsets = server.requests.filter((each) => each.resourceName === 'a.stdout').map((each) => each.readOffset);
    expect(offsets).toEqual([0n, 4n]);
    expect(printed.stdout).toBe('one two');
    await live.stop();
  });

  test('a stream that is not there is left to the result', async () => {
    server.answer('a.stdout').fail(new StatusError(StatusCode.NOT_FOUND, 'for a test'));
    live.update(metadataOf('a'));
    await clock.advance(60_000);
    expect(server.requests.filter((each) => each.resourceName === 'a.stdout')).toHaveLength(1);
    await live.stop();
  });

  test('the next run is printed from its start, and said to be one', async () => {
    const [before, after] = [server.answer('a.stdout'), server.answer('b.stdout')];
    live.update(metadataOf('a'));
    await clock.advance(150);
    before.push(chunk('lost'));
    await clock.advance(0);
    live.update(metadataOf('b'));
    await clock.advance(150);
    before.push(chunk(' and gone'));
    after.push(chunk('again'));
    await clock.advance(0);
    expect(printed).toEqual({ stdout: 'lostagain', stderr: 'warren: its worker was lost; it runs again\n' });
    await live.stop();
    expect(live.printed('stdout').bytes).toBe(5);
  });

  test('nothing is printed once it is stopped', async () => {
    const stdout = server.answer('a.stdout');
    live.update(metadataOf('a'));
    await clock.advance(150);
    await live.stop();
    stdout.push(chunk('late'));
    await clock.advance(1_000);
    expect(printed.stdout).toBe('');
  });
});
