import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';
import { raceSignal } from '../lib/abort.ts';
import { Deferred } from '../lib/deferred.ts';
import { FakeClock } from '../lib/fake-clock.ts';
import { silentLogger } from '../lib/log.ts';
import type { LogStreamClient } from '../ports/log-stream-client.ts';
import { type LiveLog, LiveLogs } from './live-log.ts';

/** One stream of a server, whose reader comes when the test says so. */
class FakeStream implements LogStreamClient {
  readonly reader = new Deferred<void>();
  readonly failures: StatusError[] = [];
  text = '';
  finished = false;
  questions = 0;

  async committedSize(_name: string, _timeout: number, signal: AbortSignal): Promise<number> {
    this.questions += 1;
    await raceSignal(this.reader.promise, signal);
    return this.text.length;
  }

  async write(_name: string, offset: number, data: Uint8Array, finish: boolean, signal: AbortSignal): Promise<number> {
    signal.throwIfAborted();
    const failure = this.failures.shift();
    if (failure !== undefined) throw failure;
    if (offset !== this.text.length) throw failureOf(StatusCode.OUT_OF_RANGE);
    this.text += Buffer.from(data).toString();
    this.finished = finish;
    return this.text.length;
  }
}

const failureOf = (code: StatusCode) => new StatusError(code, 'for a test');

let folder: string;
let file: string;
let clock: FakeClock;
let stream: FakeStream;
let logs: LiveLogs;
let log: LiveLog;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'warren-live-log-'));
  file = join(folder, 'stdout');
  clock = new FakeClock();
  stream = new FakeStream();
  logs = new LiveLogs(stream, clock, silentLogger);
  log = logs.follow([{ name: 'the-stream', file }]);
});

afterEach(async () => {
  log.end();
  await logs.settled();
  rmSync(folder, { recursive: true, force: true });
});

/** Moves time on until what the test waits for is there: files are read in real time. */
function eventually(probe: () => unknown) {
  return expect.poll(
    async () => {
      await clock.advance(500);
      return probe();
    },
    { timeout: 10_000 },
  );
}

describe('LiveLogs', () => {
  test('what is printed is sent while the action runs, and the stream finished with it', async () => {
    stream.reader.resolve();
    writeFileSync(file, 'one ');
    await eventually(() => stream.text).toBe('one ');
    appendFileSync(file, 'two');
    await eventually(() => stream.text).toBe('one two');
    expect(stream.finished).toBe(false);
    appendFileSync(file, ' three');
    log.end();
    rmSync(file);
    await logs.settled();
    expect(stream).toMatchObject({ text: 'one two three', finished: true });
  });

  test('an action that ends soon costs no call', async () => {
    writeFileSync(file, 'printed');
    await clock.advance(200);
    log.end();
    await clock.advance(10_000);
    await logs.settled();
    expect(stream.questions).toBe(0);
  });

  test('an action that prints nothing costs no call', async () => {
    writeFileSync(file, '');
    await clock.advance(10_000);
    log.end();
    await logs.settled();
    expect(stream.questions).toBe(0);
  });

  test('nothing is sent before there is a reader, who then gets all', async () => {
    writeFileSync(file, 'early ');
    await eventually(() => stream.questions).toBe(1);
    appendFileSync(file, 'late');
    await clock.advance(10_000);
    expect(stream.text).toBe('');
    stream.reader.resolve();
    await eventually(() => stream.text).toBe('early late');
  });

  test('an action that ends unwatched leaves nothing behind', async () => {
    writeFileSync(file, 'printed');
    await eventually(() => stream.questions).toBe(1);
    log.end();
    await logs.settled();
    expect(stream).toMatchObject({ text: '', finished: false });
  });

  test('a long log goes out in pieces, the last of which finishes it', async () => {
    stream.reader.resolve();
    const text = 'x'.repeat(600_000);
    writeFileSync(file, text);
    await eventually(() => stream.text.length).toBe(600_000);
    log.end();
    await logs.settled();
    expect(stream.finished).toBe(true);
  });

  test('a failure that passes is passed over', async () => {
    stream.reader.resolve();
    stream.failures.push(failureOf(StatusCode.UNAVAILABLE), failureOf(StatusCode.UNAVAILABLE));
    writeFileSync(file, 'one');
    await eventually(() => stream.text).toBe('one');
    expect(stream.questions).toBe(3);
  });

  test('a server that does not want the stream is not asked again', async () => {
    writeFileSync(file, 'one');
    stream.committedSize = async function () {
      this.questions += 1;
      throw failureOf(StatusCode.NOT_FOUND);
    };
    await eventually(() => stream.questions).toBe(1);
    await clock.advance(60_000);
    expect(stream.questions).toBe(1);
  });

  test('a question that ran out is asked again', async () => {
    writeFileSync(file, 'one');
    stream.committedSize = async function () {
      this.questions += 1;
      if (this.questions === 1) throw failureOf(StatusCode.DEADLINE_EXCEEDED);
      return 0;
    };
    await eventually(() => stream.text).toBe('one');
    expect(stream.questions).toBe(2);
  });

  test('a stream that may not be longer is finished where it is', async () => {
    stream.reader.resolve();
    writeFileSync(file, 'one');
    await eventually(() => stream.text).toBe('one');
    stream.failures.push(failureOf(StatusCode.RESOURCE_EXHAUSTED));
    appendFileSync(file, 'two');
    await eventually(() => stream.finished).toBe(true);
    expect(stream.text).toBe('one');
  });

  test('closing gives up what is unsent at once', async () => {
    stream.reader.resolve();
    writeFileSync(file, 'one');
    await eventually(() => stream.text).toBe('one');
    stream.write = (_name, _offset, _data, _finish, signal) => raceSignal(new Promise(() => {}), signal);
    appendFileSync(file, 'two');
    log.end();
    logs.close();
    await logs.settled();
    expect(stream).toMatchObject({ text: 'one', finished: false });
  });

  test('last words that nobody takes are given up after five seconds', async () => {
    stream.reader.resolve();
    writeFileSync(file, 'one');
    await eventually(() => stream.text).toBe('one');
    stream.write = (_name, _offset, _data, _finish, signal) => raceSignal(new Promise(() => {}), signal);
    appendFileSync(file, 'two');
    log.end();
    const settled = logs.settled().then(() => true);
    await expect.poll(() => Promise.race([settled, clock.advance(1_000)])).toBe(true);
  });
});
