import { setMaxListeners } from 'node:events';
import { statSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { StatusCode } from '../domain/status-code.ts';
import { isInfrastructureCode, StatusError } from '../domain/status-error.ts';
import { linkSignals } from '../lib/abort.ts';
import { type Clock, sleep } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { LogStreamClient } from '../ports/log-stream-client.ts';

/** Most actions are over by then, and cost their log no call at all. */
const FIRST_LOOK_MILLISECONDS = 250;

/** How often it is looked whether the action has printed more. */
const LOOK_INTERVAL_MILLISECONDS = 100;

/** How long one question waits for a reader. */
const READER_WAIT_MILLISECONDS = 300_000;

/** How long the last bytes may take once the action is over; its lease does not wait for them. */
const LAST_WORDS_MILLISECONDS = 5_000;

/** After so many failures in a row the rest stays unsent. */
const MOST_FAILURES = 5;
const FAILURE_PAUSE_MILLISECONDS = 1_000;

const CHUNK_BYTES = 256 * 1024;

/** What one file of an action is streamed with. */
interface Source {
  /** The name of the stream to write. */
  readonly name: string;
  readonly file: string;
}

/** The live log of one run. */
export interface LiveLog {
  /** The run is over. What is still unsent goes out meanwhile, from files that may be removed already. */
  end(): void;
}

/**
 * Sends what actions print while they run, so that clients see it at once.
 *
 * An action that ends soon, prints nothing or is watched by nobody costs no byte: a stream is asked for only once there is
 * something to send, and servers answer when somebody reads it. Whatever goes wrong here is no concern of the action's,
 * whose result has all that it printed.
 */
export class LiveLogs {
  readonly #client: LogStreamClient;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #unsettled = new Set<Promise<void>>();
  readonly #closed = new AbortController();

  constructor(client: LogStreamClient, clock: Clock, logger: Logger) {
    this.#client = client;
    this.#clock = clock;
    this.#logger = logger;
    // One for each run until its last words are over: many in a busy hour, and no leak to warn of.
    setMaxListeners(0, this.#closed.signal);
  }

  /** Follows files that are about to be written. */
  follow(sources: readonly Source[]): LiveLog {
    const over = new AbortController();
    const patience = linkSignals(this.#closed.signal);
    const timer = this.#clock.setTimer(FIRST_LOOK_MILLISECONDS, () => {
      for (const source of sources) this.#begin(source, over.signal, patience.signal);
    });
    return {
      end: () => {
        timer.cancel();
        over.abort();
        this.#clock.setTimer(LAST_WORDS_MILLISECONDS, () => patience.abort());
      },
    };
  }

  /** What is still unsent stays so. */
  close(): void {
    this.#closed.abort();
  }

  /** Resolves once nothing more is sent. */
  async settled(): Promise<void> {
    await Promise.all(this.#unsettled);
  }

  #begin(source: Source, over: AbortSignal, patience: AbortSignal): void {
    const sending = this.#send(source, over, patience)
      .catch((err: unknown) => {
        // Aborted is what waits for a reader when the run ends.
        if (!over.aborted) this.#logger.debug({ err, stream: source.name }, 'the rest of a live log is not sent');
      })
      .finally(() => this.#unsettled.delete(sending));
    this.#unsettled.add(sending);
  }

  async #send({ name, file }: Source, over: AbortSignal, patience: AbortSignal): Promise<void> {
    while ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) === 0) {
      await sleep(this.#clock, LOOK_INTERVAL_MILLISECONDS, over);
    }
    const handle = await open(file, 'r');
    try {
      const copy = { handle, name, offset: 0 };
      for (let failures = 0; ; ) {
        const before = copy.offset;
        try {
          copy.offset = await this.#awaitReader(name, over);
          await this.#copy(copy, over, patience);
          return;
        } catch (thrown) {
          failures = copy.offset > before ? 1 : failures + 1;
          if (over.aborted || failures >= MOST_FAILURES || !isPassing(thrown)) {
            await this.#leave(copy, thrown, patience);
            throw thrown;
          }
          await sleep(this.#clock, FAILURE_PAUSE_MILLISECONDS, over);
        }
      }
    } finally {
      await handle.close();
    }
  }

  /** @returns how far the stream was written before. */
  async #awaitReader(name: string, over: AbortSignal): Promise<number> {
    for (;;) {
      try {
        return await this.#client.committedSize(name, READER_WAIT_MILLISECONDS, over);
      } catch (thrown) {
        if (!(thrown instanceof StatusError) || thrown.code !== StatusCode.DEADLINE_EXCEEDED) throw thrown;
      }
    }
  }

  /** Sends what comes until the run is over and all is sent. */
  async #copy(copy: Copy, over: AbortSignal, patience: AbortSignal): Promise<void> {
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    for (;;) {
      // Asked before the file is read, so that nothing is printed in between.
      const isOver = over.aborted;
      const { bytesRead } = await copy.handle.read(buffer, 0, CHUNK_BYTES, copy.offset);
      if (bytesRead === 0 && !isOver) {
        await sleep(this.#clock, LOOK_INTERVAL_MILLISECONDS, over).catch(() => {});
        continue;
      }
      const isLast = isOver && bytesRead < CHUNK_BYTES;
      const data = buffer.subarray(0, bytesRead);
      copy.offset = await this.#client.write(copy.name, copy.offset, data, isLast, patience);
      if (isLast) return;
    }
  }

  /** A stream that may not be longer is finished, so that its readers don't wait for more. */
  async #leave({ name, offset }: Copy, thrown: unknown, patience: AbortSignal): Promise<void> {
    if (!(thrown instanceof StatusError) || thrown.code !== StatusCode.RESOURCE_EXHAUSTED) return;
    await this.#client.write(name, offset, new Uint8Array(0), true, patience).catch(() => {});
  }
}

/** A file on its way into a stream. */
interface Copy {
  readonly handle: FileHandle;
  readonly name: string;
  /** Bytes that the stream has. */
  offset: number;
}

function isPassing(thrown: unknown): boolean {
  if (!(thrown instanceof StatusError)) return false;
  return isInfrastructureCode(thrown.code) || thrown.code === StatusCode.DEADLINE_EXCEEDED;
}
