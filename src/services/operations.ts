import { type Job, outcomeOf } from '../domain/job.ts';
import { type Operation, parseOperationName } from '../domain/operation.ts';
import { decodeSortKey, encodeSortKey, type SortKey, sortKeyOf } from '../domain/operation-query.ts';
import { StatusCode } from '../domain/status-code.ts';
import { invalidArgument, notFound, StatusError } from '../domain/status-error.ts';
import { linkSignals } from '../lib/abort.ts';
import type { Logger } from '../lib/log.ts';
import type { CallContext } from '../ports/call-context.ts';
import type {
  CancelOperationRequest,
  DeleteOperationRequest,
  GetOperationRequest,
  ListOperationsRequest,
  ListOperationsResponse,
  WaitOperationRequest,
  Operation as WireOperation,
} from '../proto/google/longrunning/operations.ts';
import type { Empty } from '../proto/google/protobuf/empty.ts';
import type { Scheduler } from '../scheduling/scheduler.ts';
import { operationToWire } from '../wire/operation.ts';
import { encodeRequestMetadata, REQUEST_METADATA_TRAILER } from '../wire/request-metadata.ts';
import { durationToMilliseconds } from '../wire/time.ts';
import type { Instances } from './instances.ts';
import type { LogStreamNames } from './log-stream-names.ts';
import { parseOperationFilter } from './operation-filter.ts';
import { OperationPresenter } from './operation-presenter.ts';

export interface OperationsOptions {
  readonly instances: Instances;
  readonly scheduler: Scheduler;
  readonly logger: Logger;
  /** Operations on one page of ListOperations at most. Defaults to 1 000. */
  readonly maxPageSize?: number;
  /** Tells clients where to read what an action prints while it runs. Defaults to none. */
  readonly logStreamNames?: LogStreamNames | undefined;
}

/** The part of a caller's deadline that WaitOperation waits: the answer must be there in time. */
const HELD_FRACTION = 0.8;

/** How long WaitOperation waits for a caller that states neither timeout nor deadline, in milliseconds. */
const DEFAULT_WAIT = 60_000;

/** Bytes of one page of ListOperations: the 4 MiB that a client takes in one message, less some for what is around. */
const MAX_PAGE_BYTES = 4 * 1024 * 1024 - 64 * 1024;

/** What an operation weighs beside what is packed in it, in bytes. */
const OPERATION_OVERHEAD_BYTES = 512;

/** Longer metadata is not shown, in bytes: clients take 8 KiB of trailers unless told otherwise. */
const MAX_METADATA_BYTES = 4_096;

/** The service google.longrunning.Operations, for the operations that Execute makes. */
export class Operations {
  readonly #instances: Instances;
  readonly #scheduler: Scheduler;
  readonly #presenter: OperationPresenter;
  readonly #maxPageSize: number;

  constructor(options: OperationsOptions) {
    this.#instances = options.instances;
    this.#scheduler = options.scheduler;
    this.#presenter = new OperationPresenter(options.instances, options.logger, options.logStreamNames);
    this.#maxPageSize = options.maxPageSize ?? 1_000;
  }

  /** @throws NOT_FOUND. */
  async getOperation(request: GetOperationRequest, context: CallContext): Promise<WireOperation> {
    const { job, operation } = await this.#find(request.name, context.signal);
    addMetadataTrailer(operation, context);
    return this.#presenter.present(job, operation, context.signal);
  }

  /**
   * Operations of an instance, in pages, which may hold fewer than asked for: a page fits into one message. Answers of
   * ended ones hold no inlined outputs.
   *
   * @throws INVALID_ARGUMENT when name, filter, page size or page token is wrong; UNIMPLEMENTED when
   *   `return_partial_success` is set, since no part of an answer can be out of reach.
   */
  async listOperations(request: ListOperationsRequest, context: CallContext): Promise<ListOperationsResponse> {
    const { name } = this.#instances.get(request.name, 'name');
    const { pageSize, pageToken } = request;
    if (request.returnPartialSuccess) {
      throw new StatusError(StatusCode.UNIMPLEMENTED, 'return_partial_success: is not offered');
    }
    if (pageSize < 0 || pageSize > this.#maxPageSize) {
      throw invalidArgument('page_size', `is between 0 and ${this.#maxPageSize}, not ${pageSize}`);
    }
    const query = { instanceName: name, ...parseOperationFilter(request.filter) };
    const after = pageToken === '' ? undefined : decodeSortKey(pageToken, query);
    if (pageToken !== '' && after === undefined) throw invalidArgument('page_token', 'is none for this filter');
    const page = await this.#scheduler.jobs.list(
      query,
      pageSize === 0 ? this.#maxPageSize : pageSize,
      after,
      context.signal,
    );
    const operations: WireOperation[] = [];
    let { next } = page;
    let bytes = 0;
    let last: SortKey | undefined;
    for (const { job, operationId } of page.operations) {
      const operation = job.operations.find((each) => each.id === operationId);
      if (operation === undefined) continue;
      const shown = operationToWire(job, operation, undefined);
      bytes += sizeOf(shown);
      if (last !== undefined && bytes > MAX_PAGE_BYTES) {
        next = last;
        break;
      }
      operations.push(shown);
      last = sortKeyOf(job, operation, query);
    }
    return { operations, nextPageToken: next === undefined ? '' : encodeSortKey(next), unreachable: [] };
  }

  /**
   * Ends one client's interest; the job ends with its last. One that has ended stays as it is.
   *
   * @throws NOT_FOUND.
   */
  async cancelOperation(request: CancelOperationRequest, context: CallContext): Promise<Empty> {
    const { job, operation } = await this.#find(request.name, context.signal);
    const event = { type: 'cancel-operation', operationId: operation.id } as const;
    await this.#scheduler.effects.apply(job.id, event, context.signal);
    return {};
  }

  /**
   * Drops the record of an operation; an unfinished one is cancelled first. Its name is unknown from then on.
   *
   * @throws NOT_FOUND.
   */
  async deleteOperation(request: DeleteOperationRequest, context: CallContext): Promise<Empty> {
    const { job, operation } = await this.#find(request.name, context.signal);
    const event = { type: 'delete-operation', operationId: operation.id } as const;
    await this.#scheduler.effects.apply(job.id, event, context.signal);
    return {};
  }

  /**
   * The operation once it has ended, or as it stands when the timeout, most of the caller's deadline, or the replica's
   * life is over, whichever comes first.
   *
   * @throws INVALID_ARGUMENT when the timeout is negative; NOT_FOUND.
   */
  async waitOperation(request: WaitOperationRequest, context: CallContext): Promise<WireOperation> {
    const timeout = durationToMilliseconds(request.timeout);
    if (timeout !== undefined && timeout < 0) throw invalidArgument('timeout', 'is negative');
    const { operation } = await this.#find(request.name, context.signal);
    const remaining = context.remainingMilliseconds();
    const held = remaining === undefined ? (timeout ?? DEFAULT_WAIT) : remaining * HELD_FRACTION;
    return this.#waitUntilEnded(operation, Math.min(timeout ?? held, held), context);
  }

  async #waitUntilEnded(operation: Operation, milliseconds: number, context: CallContext): Promise<WireOperation> {
    using watch = await this.#scheduler.submitting.follow(operation.id, context.signal);
    using either = linkSignals(context.signal, context.draining);
    if (watch === undefined) throw unknown(operation.id);
    const end = this.#scheduler.clock.monotonic() + milliseconds;
    for (;;) {
      const job = watch.latest;
      const current = job?.operations.find((each) => each.id === operation.id);
      if (job === undefined || current === undefined) throw unknown(operation.id);
      const rest = end - this.#scheduler.clock.monotonic();
      const over = rest <= 0 || context.draining.aborted || outcomeOf(job, current) !== undefined;
      if (over) return this.#presenter.present(job, current, context.signal);
      try {
        if ((await watch.next(rest, either.signal)) === 'gone') throw unknown(operation.id);
      } catch (cause) {
        if (!context.draining.aborted || context.signal.aborted) throw cause;
      }
    }
  }

  async #find(name: string, signal: AbortSignal): Promise<{ job: Job; operation: Operation }> {
    if (name === '') throw invalidArgument('name', 'is not set');
    const parsed = parseOperationName(name);
    const job = parsed === undefined ? undefined : await this.#scheduler.jobs.getByOperation(parsed.id, signal);
    const operation = job?.operations.find((each) => each.id === parsed?.id);
    if (job === undefined || operation === undefined || job.instanceName !== parsed?.instanceName) throw unknown(name);
    return { job, operation };
  }
}

/** Metadata only informs: what a caller's client might not take must not fail the call. */
function addMetadataTrailer(operation: Operation, context: CallContext): void {
  if (operation.requestMetadata === undefined) return;
  const encoded = encodeRequestMetadata(operation.requestMetadata);
  if (encoded.byteLength <= MAX_METADATA_BYTES) context.addTrailer(REQUEST_METADATA_TRAILER, encoded);
}

function sizeOf({ name, metadata, result }: WireOperation): number {
  const response = result?.$case === 'response' ? result.value.value.byteLength : 0;
  return name.length + (metadata?.value.byteLength ?? 0) + response + OPERATION_OVERHEAD_BYTES;
}

function unknown(name: string): Error {
  return notFound(`operation '${name}' is not known`);
}
