import { formatLogStreamName } from '../domain/resource-name.ts';
import type { IdGenerator } from '../lib/ids.ts';
import type { CallContext } from '../ports/call-context.ts';
import type { LogStreamStore } from '../ports/log-stream-store.ts';
import type {
  CreateLogStreamRequest,
  LogStream as WireLogStream,
} from '../proto/build/bazel/remote/logstream/v1/remote_logstream.ts';
import type { Instances } from './instances.ts';
import type { LogStreamNames } from './log-stream-names.ts';
import { logStreamKey } from './log-stream-transfers.ts';

export interface LogStreamOptions {
  readonly instances: Instances;
  readonly store: LogStreamStore;
  readonly names: LogStreamNames;
  readonly ids: IdGenerator;
}

/** The service LogStreamService. */
export class LogStream {
  readonly #options: LogStreamOptions;

  constructor(options: LogStreamOptions) {
    this.#options = options;
  }

  /** @throws INVALID_ARGUMENT when the parent is no instance of ours; RESOURCE_EXHAUSTED with RetryInfo. */
  async createLogStream({ parent }: CreateLogStreamRequest, context: CallContext): Promise<WireLogStream> {
    const { instances, store, names, ids } = this.#options;
    const { name: instanceName } = instances.get(parent, 'parent');
    const id = ids.uuid();
    await store.create(logStreamKey({ instanceName, id }), context.signal);
    return {
      name: formatLogStreamName({ instanceName, id, writeToken: undefined }),
      writeResourceName: names.writeName(instanceName, id),
    };
  }
}
