/** What the protocols ask of a server and no case of this suite holds it to, with the reason. */
export const WITHOUT_CASE: ReadonlyArray<readonly [what: string, why: string]> = [
  [
    'Calls that name a blob extend its life (FindMissingBlobs, GetActionResult, SplitBlob, Fetch)',
    'shows only where something is evicted: the tests of blob stores and of their index',
  ],
  [
    'RESOURCE_EXHAUSTED where the disk, a quota or a queue is full; RetryInfo',
    'a client can’t fill a server on purpose: the tests of services, stores and policies',
  ],
  [
    'max_cas_blob_size_bytes: more is INVALID_ARGUMENT',
    'no limit is set by default: the tests of ContentAddressableStorage and ByteStream',
  ],
  ['A timeout is imposed where the client names none', 'it is two hours: the tests of the scheduler and of the worker'],
  [
    'BotSession.expire_time: a session that is not updated ends',
    'it takes a minute: the tests of the scheduler, with a clock of their own',
  ],
  [
    'SymlinkAbsolutePathStrategy.DISALLOWED; cache priorities; deprecated_api_version; server_logs',
    'optional, and not offered',
  ],
  [
    'Digest functions VSO, MURMUR3 and GITSHA1, and the rule that the last is stated in metadata',
    'optional, and not offered; each that is offered is tested',
  ],
  [
    'FetchBlob from an origin: timeout, checksums, downloads that outlive their call',
    'needs an origin: `assets.test.ts` of test/integration and the tests of Fetch',
  ],
  ['Operation.error is CANCELLED after CancelOperation', 'REAPI forbids Operation.error: the response has the status'],
  [
    'DeleteOperation does not cancel',
    'nobody can wait for a deleted operation any more, and what nobody waits for is cancelled in any case',
  ],
  ['Names that end in operations/ID, and other mappings to HTTP', 'served is gRPC alone'],
  [
    'Canonical form of messages: order of fields, of properties, of paths',
    'binds clients; a server may look. Trees of inputs are looked at by the worker, in `bad-input-worker.test.ts`',
  ],
  ['AdminTemp, Lease.requirements, Lease.expire_time, Worker.configs in a lease', 'optional, and not used'],
];
