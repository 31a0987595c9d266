import { createHash, randomUUID } from 'node:crypto';
import {
  Action,
  ActionCacheService,
  ActionResult,
  BatchReadBlobsRequest,
  type BatchReadBlobsResponse_Response,
  BatchUpdateBlobsRequest,
  Command,
  ContentAddressableStorageService,
  type Digest,
  Directory,
  ExecuteOperationMetadata,
  ExecuteRequest,
  ExecuteResponse,
  ExecutionService,
  ExecutionStage_Value,
  FindMissingBlobsRequest,
  GetActionResultRequest,
  UpdateActionResultRequest,
  WaitExecutionRequest,
} from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import {
  ByteStreamService,
  QueryWriteStatusRequest,
  type QueryWriteStatusResponse,
  ReadRequest,
  WriteRequest,
  type WriteResponse,
} from '../../src/proto/google/bytestream/bytestream.ts';
import type { Operation } from '../../src/proto/google/longrunning/operations.ts';
import type { CallOptions, ServerStream, WireClient } from './wire-client.ts';

/** A blob with its digest. */
export interface Blob {
  readonly data: Buffer;
  readonly digest: Digest;
}

/** SHA-256 of these bytes, computed here and not by the code under test. */
export function digestOf(data: Uint8Array): Digest {
  return { hash: createHash('sha256').update(data).digest('hex'), sizeBytes: BigInt(data.byteLength) };
}

export function blobOf(data: Uint8Array | string): Blob {
  const bytes = Buffer.from(data as string);
  return { data: bytes, digest: digestOf(bytes) };
}

/** A blob that no earlier run can have stored. */
export function freshBlob(text = ''): Blob {
  return blobOf(`${text}${randomUUID()}`);
}

/** A blob of random bytes. */
export function randomBlob(size: number): Blob {
  const seed = createHash('sha256').update(randomUUID()).digest();
  const data = Buffer.alloc(size);
  for (let i = 0; i < size; i += 4)
    data.writeInt32LE((i * 2_654_435_761) ^ seed.readInt32LE(i % 28), Math.min(i, size - 4));
  seed.copy(data, 0, 0, Math.min(size, 32));
  return { data, digest: digestOf(data) };
}

export const EMPTY_BLOB: Blob = blobOf('');

/** `<hash>/<size>`. */
export function digestText(digest: Digest): string {
  return `${digest.hash}/${digest.sizeBytes}`;
}

/** An Action with everything that it stands on. */
export interface PreparedAction {
  readonly action: Blob;
  readonly command: Blob;
  readonly inputRoot: Blob;
  /** All blobs to upload. */
  readonly blobs: readonly Blob[];
}

export interface ActionOptions {
  readonly command?: Parameters<typeof Command.create>[0];
  readonly action?: Parameters<typeof Action.create>[0];
  readonly inputRoot?: Parameters<typeof Directory.create>[0];
  /** Files and subdirectories of the input root. */
  readonly blobs?: readonly Blob[];
}

/** An Action that no earlier run can have executed. */
export function prepareAction(options: ActionOptions = {}): PreparedAction {
  const command = blobOf(Command.encode(Command.create({ arguments: ['/bin/true'], ...options.command })).finish());
  const inputRoot = blobOf(Directory.encode(Directory.create(options.inputRoot)).finish());
  const action = blobOf(
    Action.encode(
      Action.create({
        commandDigest: command.digest,
        inputRootDigest: inputRoot.digest,
        salt: Buffer.from(randomUUID()),
        timeout: { seconds: 60n, nanos: 0 },
        ...options.action,
      }),
    ).finish(),
  );
  return { action, command, inputRoot, blobs: [command, inputRoot, action, ...(options.blobs ?? [])] };
}

/** An Operation with what is packed into it. */
export interface Update {
  readonly operation: Operation;
  readonly stage: ExecutionStage_Value;
  readonly metadata: ExecuteOperationMetadata;
  /** Once done. */
  readonly response: ExecuteResponse | undefined;
}

export function readOperation(operation: Operation): Update {
  const metadata = ExecuteOperationMetadata.decode(operation.metadata?.value ?? Buffer.alloc(0));
  const response =
    operation.result?.$case === 'response' ? ExecuteResponse.decode(operation.result.value.value) : undefined;
  return { operation, stage: metadata.stage, metadata, response };
}

/** One client's stream of an execution, remembering all that came. */
export class ExecutionStream {
  readonly updates: Update[] = [];
  readonly #stream: ServerStream<Operation>;
  readonly #iterator: AsyncIterator<Operation>;

  constructor(stream: ServerStream<Operation>) {
    this.#stream = stream;
    this.#iterator = stream[Symbol.asyncIterator]();
  }

  /** The next update, or undefined at the end of the stream. @throws what the call fails with. */
  async next(): Promise<Update | undefined> {
    const next = await this.#iterator.next();
    if (next.done === true) return undefined;
    const update = readOperation(next.value);
    this.updates.push(update);
    return update;
  }

  /** Reads until an update has the stage. */
  async until(stage: ExecutionStage_Value): Promise<Update> {
    for (;;) {
      const update = await this.next();
      if (update === undefined) throw new Error(`the stream ended before stage ${stage}`);
      if (update.stage === stage) return update;
    }
  }

  /** The name, which the first update tells. */
  async name(): Promise<string> {
    const first = this.updates[0] ?? (await this.next());
    if (first === undefined) throw new Error('the stream ended without an update');
    return first.operation.name;
  }

  /** Reads to the end of the stream, and gives the last response. */
  async finish(): Promise<ExecuteResponse> {
    for (;;) if ((await this.next()) === undefined) break;
    const last = this.updates.at(-1);
    if (last?.response === undefined) throw new Error('the stream ended without a response');
    return last.response;
  }

  cancel(): void {
    this.#stream.cancel();
  }
}

/** The calls that tests of every service make, on one instance of one server. */
export class Tenant {
  readonly client: WireClient;
  readonly instanceName: string;

  constructor(client: WireClient, instanceName: string) {
    this.client = client;
    this.instanceName = instanceName;
  }

  /** A resource name of this instance. */
  resource(rest: string): string {
    return this.instanceName === '' ? rest : `${this.instanceName}/${rest}`;
  }

  readName(digest: Digest): string {
    return this.resource(`blobs/${digestText(digest)}`);
  }

  writeName(digest: Digest, uuid: string = randomUUID()): string {
    return this.resource(`uploads/${uuid}/blobs/${digestText(digest)}`);
  }

  async findMissing(...digests: Digest[]): Promise<Digest[]> {
    const request = FindMissingBlobsRequest.create({ instanceName: this.instanceName, blobDigests: digests });
    return (await this.client.unary(ContentAddressableStorageService.findMissingBlobs, request)).missingBlobDigests;
  }

  /** Whether the blob is stored. */
  async has(digest: Digest): Promise<boolean> {
    return (await this.findMissing(digest)).length === 0;
  }

  /** Stores small blobs. @throws Error when one is refused. */
  async upload(...blobs: readonly Blob[]): Promise<void> {
    const request = BatchUpdateBlobsRequest.create({
      instanceName: this.instanceName,
      requests: blobs.map(({ digest, data }) => ({ digest, data })),
    });
    const { responses } = await this.client.unary(ContentAddressableStorageService.batchUpdateBlobs, request);
    for (const { digest, status } of responses) {
      if ((status?.code ?? 0) !== 0) throw new Error(`upload of ${digest?.hash} failed: ${status?.message}`);
    }
  }

  async batchRead(...digests: Digest[]): Promise<BatchReadBlobsResponse_Response[]> {
    const request = BatchReadBlobsRequest.create({ instanceName: this.instanceName, digests });
    return (await this.client.unary(ContentAddressableStorageService.batchReadBlobs, request)).responses;
  }

  async read(resourceName: string, readOffset = 0n, readLimit = 0n): Promise<Buffer> {
    const request = ReadRequest.create({ resourceName, readOffset, readLimit });
    const responses = await this.client.collect(ByteStreamService.read, request);
    return Buffer.concat(responses.map((each) => each.data));
  }

  /** Sends these messages and closes the stream. */
  async write(...messages: ReadonlyArray<Parameters<typeof WriteRequest.create>[0]>): Promise<WriteResponse> {
    const stream = this.client.clientStream(ByteStreamService.write);
    for (const message of messages) await stream.write(WriteRequest.create(message));
    stream.end();
    return stream.result;
  }

  /** Writes a whole blob by ByteStream in chunks. */
  writeBlob(blob: Blob, resourceName = this.writeName(blob.digest), chunkSize = 64 * 1024): Promise<WriteResponse> {
    const messages: Array<Parameters<typeof WriteRequest.create>[0]> = [];
    for (let offset = 0; offset < blob.data.length || messages.length === 0; offset += chunkSize) {
      messages.push({
        resourceName: offset === 0 ? resourceName : '',
        writeOffset: BigInt(offset),
        data: blob.data.subarray(offset, offset + chunkSize),
        finishWrite: offset + chunkSize >= blob.data.length,
      });
    }
    return this.write(...messages);
  }

  queryWriteStatus(resourceName: string): Promise<QueryWriteStatusResponse> {
    return this.client.unary(ByteStreamService.queryWriteStatus, QueryWriteStatusRequest.create({ resourceName }));
  }

  getActionResult(
    actionDigest: Digest,
    request: Parameters<typeof GetActionResultRequest.create>[0] = {},
  ): Promise<ActionResult> {
    return this.client.unary(
      ActionCacheService.getActionResult,
      GetActionResultRequest.create({ instanceName: this.instanceName, actionDigest, ...request }),
    );
  }

  updateActionResult(
    actionDigest: Digest,
    actionResult: Parameters<typeof ActionResult.create>[0],
  ): Promise<ActionResult> {
    return this.client.unary(
      ActionCacheService.updateActionResult,
      UpdateActionResultRequest.create({
        instanceName: this.instanceName,
        actionDigest,
        actionResult: ActionResult.create(actionResult),
      }),
    );
  }

  /** Uploads what the action stands on and prepares it for execution. */
  async prepare(options: ActionOptions = {}): Promise<PreparedAction> {
    const prepared = prepareAction(options);
    await this.upload(...prepared.blobs);
    return prepared;
  }

  execute(
    actionDigest: Digest | undefined,
    request: Parameters<typeof ExecuteRequest.create>[0] = {},
    options: CallOptions = { deadline: 20_000 },
  ): ExecutionStream {
    return new ExecutionStream(
      this.client.serverStream(
        ExecutionService.execute,
        ExecuteRequest.create({
          instanceName: this.instanceName,
          ...(actionDigest === undefined ? {} : { actionDigest }),
          ...request,
        }),
        options,
      ),
    );
  }

  waitExecution(name: string, options: CallOptions = { deadline: 60_000 }): ExecutionStream {
    return new ExecutionStream(
      this.client.serverStream(ExecutionService.waitExecution, WaitExecutionRequest.create({ name }), options),
    );
  }
}

export const Stage = ExecutionStage_Value;
