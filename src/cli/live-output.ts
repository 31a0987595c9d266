import { createHash, type Hash } from 'node:crypto';
import type { ActionStream, ActionStreamNames } from '../domain/log-stream.ts';
import { linkSignals } from '../lib/abort.ts';
import { type Clock, sleep } from '../lib/clock.ts';
import type { ExecuteOperationMetadata } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { FastByteStreamService } from '../wire/byte-stream-codec.ts';
import type { Output } from './command-context.ts';
import type { Remote } from './remote.ts';

/** The start of an action's output, as it was printed while the action ran. */
export interface PrintedStart {
  readonly bytes: number;
  /** SHA-256 of them, in hexadecimal. */
  readonly hash: string;
}

/** Where each stream of an action is printed. */
export type LiveOutputs = Readonly<Record<ActionStream, Output>>;

/** An action that ends sooner is not worth the calls: its result brings what it printed. */
const START_DELAY_MS = 150;

/** Prints what an action prints, while it runs. Whatever fails here is made up for by the result. */
export class LiveOutput {
  readonly #remote: Remote;
  readonly #outputs: LiveOutputs;
  readonly #clock: Clock;
  readonly #beforePrint: () => void;
  #run: FollowedRun | undefined;

  /** @param beforePrint clears what else is on the terminal. */
  constructor(remote: Remote, outputs: LiveOutputs, clock: Clock, beforePrint: () => void) {
    this.#remote = remote;
    this.#outputs = outputs;
    this.#clock = clock;
    this.#beforePrint = beforePrint;
  }

  /** Takes note of where the output is to be found; begins anew when the action does. */
  update(metadata: ExecuteOperationMetadata | undefined): void {
    const { stdoutStreamName: stdout = '', stderrStreamName: stderr = '' } = metadata ?? {};
    if (stdout === '' || stderr === '' || this.#run?.names.stdout === stdout) return;
    const former = this.#run;
    void former?.stop();
    if (former?.hasPrinted === true) this.#outputs.stderr.write('warren: its worker was lost; it runs again\n');
    this.#run = new FollowedRun({ stdout, stderr }, (stream, name, printed, signal) =>
      this.#follow(stream, name, printed, signal),
    );
  }

  /** Ends it; nothing is printed any more once it resolves. */
  async stop(): Promise<void> {
    await this.#run?.stop();
  }

  /** What was printed of the run that was followed last. */
  printed(stream: ActionStream): PrintedStart {
    return this.#run?.printed[stream].start ?? new PrintedBytes().start;
  }

  async #follow(stream: ActionStream, resourceName: string, printed: PrintedBytes, signal: AbortSignal) {
    await sleep(this.#clock, START_DELAY_MS, signal);
    const { channel, retrier } = this.#remote;
    const failures = retrier.countFailures();
    for (;;) {
      const before = printed.bytes;
      try {
        const request = { resourceName, readOffset: BigInt(before), readLimit: 0n };
        for await (const { data } of channel.serverStream(FastByteStreamService.read, request, {}, signal)) {
          this.#beforePrint();
          this.#outputs[stream].write(data);
          printed.add(data);
        }
        return;
      } catch (thrown) {
        await failures.waitAfter(thrown, printed.bytes > before, signal);
      }
    }
  }
}

type Follow = (stream: ActionStream, name: string, printed: PrintedBytes, signal: AbortSignal) => Promise<void>;

/** One run of an action, whose streams are followed until it is stopped. */
class FollowedRun {
  readonly names: ActionStreamNames;
  readonly printed = { stdout: new PrintedBytes(), stderr: new PrintedBytes() };
  readonly #link = linkSignals();
  readonly #following: Promise<unknown>;

  constructor(names: ActionStreamNames, follow: Follow) {
    this.names = names;
    const begin = (stream: ActionStream) =>
      // The result brings what is missing.
      follow(stream, names[stream], this.printed[stream], this.#link.signal).catch(() => {});
    this.#following = Promise.all([begin('stdout'), begin('stderr')]);
  }

  get hasPrinted(): boolean {
    return this.printed.stdout.bytes + this.printed.stderr.bytes > 0;
  }

  async stop(): Promise<void> {
    this.#link.abort();
    await this.#following;
  }
}

/** Counts and hashes what passes. */
class PrintedBytes {
  bytes = 0;
  readonly #hash: Hash = createHash('sha256');

  add(data: Uint8Array): void {
    this.bytes += data.byteLength;
    this.#hash.update(data);
  }

  get start(): PrintedStart {
    return { bytes: this.bytes, hash: this.#hash.copy().digest('hex') };
  }
}
