import {
  CreateLogStreamRequest,
  LogStreamServiceService,
} from '../../../src/proto/build/bazel/remote/logstream/v1/remote_logstream.ts';
import { ByteStreamService, ReadRequest } from '../../../src/proto/google/bytestream/bytestream.ts';
import { Tenant } from '../tenant.ts';
import { pause } from './fault.ts';
import { ReplicaLoad } from './side-load.ts';

const LINES = 4;

/** Between two lines, in milliseconds: as an action prints. */
const LINE_EVERY_MS = 100;

/** Beyond every bound: a reader follows for as long as is written. */
const CALL_MS = 300_000;

/**
 * Log streams that are written line by line, and followed meanwhile, each call at another replica.
 *
 * When its replica dies a writer writes its line again, and a reader reads on from where it is, at the other: nothing is
 * lost, and nothing is there twice.
 */
export class LogLoad extends ReplicaLoad {
  readonly kind = 'logs';
  /** Names to read, with what is there. */
  readonly #written = new Map<string, string>();

  override async broken(): Promise<string[]> {
    const found: string[] = [];
    for (const [name, right] of this.#written) {
      const read = await this.#read(name).catch(String);
      if (read !== right) found.push(`the log ${name} reads '${read}', not '${right}'`);
    }
    return found;
  }

  protected async one(): Promise<void> {
    const number = this.anyNumber();
    const lines = Array.from({ length: LINES }, (_, line) => `line ${line} of log ${number}\n`);
    const { name, writeResourceName } = await this.attempt(`log ${number}`, (attempts) =>
      attempts.call('CreateLogStream', () =>
        this.replica().unary(LogStreamServiceService.createLogStream, CreateLogStreamRequest.create()),
      ),
    );
    const right = lines.join('');
    const [read] = await Promise.all([this.#read(name), this.#write(writeResourceName, lines)]);
    if (read !== right) throw new Error(`a reader of the log ${name} got '${read}', not '${right}'`);
    this.#written.set(name, right);
  }

  async #write(resourceName: string, lines: readonly string[]): Promise<void> {
    let offset = 0;
    for (const [index, line] of lines.entries()) {
      const data = Buffer.from(line);
      const message = { resourceName, writeOffset: BigInt(offset), data, finishWrite: index === lines.length - 1 };
      await this.attempt(`line ${index} of ${resourceName}`, (attempts) =>
        attempts.call('Write', () => new Tenant(this.replica(), '').write(message)),
      );
      offset += data.byteLength;
      await pause(LINE_EVERY_MS);
    }
  }

  /** What a reader has when the stream ends. */
  #read(resourceName: string): Promise<string> {
    let received = Buffer.alloc(0);
    return this.attempt(`reader of ${resourceName}`, (attempts) =>
      attempts.call('Read', async () => {
        const request = ReadRequest.create({ resourceName, readOffset: BigInt(received.byteLength) });
        const pieces = this.replica().serverStream(ByteStreamService.read, request, { deadline: CALL_MS });
        for await (const { data } of pieces) received = Buffer.concat([received, data]);
        return received.toString();
      }),
    );
  }
}
