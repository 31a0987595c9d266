import type { Right } from '../domain/right.ts';

/** What a call needs. */
type Needed = Right | 'none';

/** By service and method. A test holds it against every service that there is. */
const NEEDED: Readonly<Record<string, Readonly<Record<string, Needed>>>> = {
  'build.bazel.remote.execution.v2.Capabilities': { GetCapabilities: 'none' },
  'build.bazel.remote.execution.v2.Execution': { Execute: 'execute', WaitExecution: 'read' },
  'build.bazel.remote.execution.v2.ActionCache': { GetActionResult: 'read', UpdateActionResult: 'update' },
  'build.bazel.remote.execution.v2.ContentAddressableStorage': {
    FindMissingBlobs: 'read',
    BatchReadBlobs: 'read',
    GetTree: 'read',
    BatchUpdateBlobs: 'write',
    // It stores the chunks.
    SplitBlob: 'write',
    SpliceBlob: 'write',
  },
  'google.bytestream.ByteStream': { Read: 'read', Write: 'write', QueryWriteStatus: 'write' },
  'build.bazel.remote.logstream.v1.LogStreamService': { CreateLogStream: 'write' },
  // What is not known yet is downloaded and stored.
  'build.bazel.remote.asset.v1.Fetch': { FetchBlob: 'write', FetchDirectory: 'write' },
  'build.bazel.remote.asset.v1.Push': { PushBlob: 'update', PushDirectory: 'update' },
  'google.longrunning.Operations': {
    ListOperations: 'read',
    GetOperation: 'read',
    WaitOperation: 'read',
    CancelOperation: 'execute',
    DeleteOperation: 'execute',
  },
  'google.devtools.remoteworkers.v1test2.Bots': {
    CreateBotSession: 'work',
    UpdateBotSession: 'work',
    PostBotEventTemp: 'work',
  },
  'warren.v1.Introspection': { ListBots: 'read' },
  'warren.v1.Administration': {
    ListWorkQueues: 'read',
    ListDrains: 'read',
    ListDeadLetters: 'read',
    SetWorkQueuePaused: 'operate',
    AddDrain: 'operate',
    RemoveDrain: 'operate',
    ResendDeadLetters: 'operate',
    DropDeadLetters: 'operate',
  },
  'warren.v1.Storage': {
    ListStores: 'read',
    CleanStores: 'operate',
    CheckIndexes: 'operate',
    RebuildIndexes: 'operate',
  },
  'grpc.health.v1.Health': { Check: 'none', List: 'none', Watch: 'none' },
};

const NEEDED_BY_PATH: ReadonlyMap<string, Needed> = new Map(
  Object.entries(NEEDED).flatMap(([service, methods]) =>
    Object.entries(methods).map(([method, needed]) => [`/${service}/${method}`, needed] as const),
  ),
);

/** The right that a call needs, by its path; undefined for a path that there is no rule for. */
export function rightOf(path: string): Needed | undefined {
  return NEEDED_BY_PATH.get(path);
}

/** Every path that there is a rule for. */
export function pathsWithRights(): string[] {
  return [...NEEDED_BY_PATH.keys()];
}
