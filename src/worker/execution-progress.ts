import type { Clock } from '../lib/clock.ts';
import { ExecutedActionMetadata } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import type { Any } from '../proto/google/protobuf/any.ts';
import type { Timestamp } from '../proto/google/protobuf/timestamp.ts';
import { durationFromMilliseconds, timestampFromMilliseconds } from '../wire/time.ts';

type Moment = {
  [Field in keyof ExecutedActionMetadata]: NonNullable<ExecutedActionMetadata[Field]> extends Timestamp ? Field : never;
}[keyof ExecutedActionMetadata];

/** When each step of one execution was taken: ExecutedActionMetadata in the making. */
export class ExecutionProgress {
  readonly #clock: Clock;
  #metadata: ExecutedActionMetadata;

  /** @param worker the name under which the worker is known. */
  constructor(clock: Clock, worker: string) {
    this.#clock = clock;
    this.#metadata = { worker, auxiliaryMetadata: [] };
  }

  mark(moment: NonNullable<Moment>): void {
    this.#metadata = { ...this.#metadata, [moment]: timestampFromMilliseconds(this.#clock.now()) };
  }

  setDuration(milliseconds: number): void {
    this.#metadata = { ...this.#metadata, virtualExecutionDuration: durationFromMilliseconds(milliseconds) };
  }

  addAuxiliary(message: Any): void {
    this.#metadata = { ...this.#metadata, auxiliaryMetadata: [...this.#metadata.auxiliaryMetadata, message] };
  }

  get metadata(): ExecutedActionMetadata {
    return this.#metadata;
  }

  encode(): Uint8Array {
    return ExecutedActionMetadata.encode(this.#metadata).finish();
  }
}
