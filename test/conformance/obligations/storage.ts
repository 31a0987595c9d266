import type { Clause } from './obligation.ts';

/** Obligations of storage, action cache and capabilities, and of what all calls share. */
export const STORAGE: readonly Clause[] = [
  {
    name: 'ActionCache.GetActionResult',
    blocks: [
      'ActionCache.GetActionResult',
      'ActionCache: every blob that a result names is stored, or there is no result',
    ],
    obligations: [
      [
        'No result is NOT_FOUND',
        'an action without a result gives NOT_FOUND',
        'a digest with the hash of a known action and another size gives no result',
      ],
      ['A stored result is answered', 'a result that was stored is answered'],
      [
        'inline_stdout, inline_stderr, inline_output_files are hints, bounded by the size of a message',
        'nothing is inlined unless asked for',
        'small stdout, stderr and output files are inlined when asked for, beside their digests',
        'what would make the answer exceed the size of a message is not inlined',
        'a path to inline that the result does not have is ignored',
      ],
      ['Every blob that an answered result names is stored', 'a result that lacks … is never answered'],
    ],
  },
  {
    name: 'ActionCache.UpdateActionResult',
    blocks: [
      'ActionCache.UpdateActionResult',
      'ActionCache.UpdateActionResult: a result that cannot be',
      'ActionCache: every blob that a result names is stored, or there is no result',
    ],
    obligations: [
      [
        'The result that was stored is answered',
        'an equivalent result is answered',
        'a later result takes the place of the earlier',
        'output directories and symlinks come back as they were stored',
        'a result of nothing but the empty blob is complete',
      ],
      [
        'tree_digest and root_directory_digest of a directory are of one root',
        'a directory as a Tree and as Directories comes back as both',
        'a root_directory_digest that is not that of the Tree gives INVALID_ARGUMENT',
      ],
      [
        'A bad result is INVALID_ARGUMENT: paths are relative, and each is named once',
        '… gives INVALID_ARGUMENT that names the field, and is never answered',
        'an unset result gives INVALID_ARGUMENT that names the field',
      ],
      [
        'A result of what is not stored may be refused with FAILED_PRECONDITION',
        'to store a result that lacks … gives FAILED_PRECONDITION that names the blob',
        'all that is missing is named at once',
      ],
    ],
  },
  {
    name: 'ContentAddressableStorage.FindMissingBlobs',
    blocks: ['ContentAddressableStorage.FindMissingBlobs'],
    obligations: [
      [
        'Exactly what is not stored is answered',
        'a blob that was never stored is missing',
        'a blob that is stored is not missing',
        'of many, exactly those that are not stored are missing',
        'a digest with the hash of a stored blob and another size is not taken for it',
        'no digest at all gives no digest',
        'a digest asked for twice is missing once',
      ],
      ['The empty blob is always there', 'the empty blob is never missing'],
      ['digest_function may be stated', 'the digest function may be stated'],
    ],
  },
  {
    name: 'ContentAddressableStorage.BatchUpdateBlobs',
    blocks: [
      'ContentAddressableStorage.BatchUpdateBlobs',
      'Compressor … in batches',
      'a compressor that does not exist',
    ],
    obligations: [
      [
        'Each blob is answered with a status of its own',
        'every blob is stored, and answered with its digest and OK',
        'a digest whose hash does not fit gives INVALID_ARGUMENT for that blob alone',
        'a digest whose size does not fit gives INVALID_ARGUMENT for that blob alone',
        'a blob that is stored already is taken again',
        'no blob at all gives no answer at all',
      ],
      [
        'A batch is bounded by the advertised size; more is INVALID_ARGUMENT',
        'a batch of the advertised size is taken',
        'a batch above the advertised size gives INVALID_ARGUMENT and stores nothing',
      ],
      [
        'Data may be compressed; the digest is that of the plain bytes',
        'a blob that was updated compressed is read plain, and its digest is that of the plain bytes',
        'in a batch gives INVALID_ARGUMENT for that blob alone',
      ],
    ],
  },
  {
    name: 'ContentAddressableStorage.BatchReadBlobs',
    blocks: ['ContentAddressableStorage.BatchReadBlobs', 'Compressor … in batches'],
    obligations: [
      [
        'Each blob is answered with a status of its own',
        'every blob is answered with its digest and bytes',
        'a blob that is not stored gives NOT_FOUND for that blob alone',
        'a digest with the hash of a stored blob and another size is not answered with it',
        'a digest that comes twice is answered, once or twice',
        'the empty blob is always there',
      ],
      [
        'A batch is bounded by the advertised size; more is INVALID_ARGUMENT',
        'a batch above the advertised size gives INVALID_ARGUMENT',
        'a batch of the advertised size is answered',
      ],
      [
        'Compressed only as acceptable_compressors allows',
        'is answered by BatchReadBlobs only where accepted, and unpacks to the blob',
      ],
    ],
  },
  {
    name: 'ContentAddressableStorage.GetTree',
    blocks: ['ContentAddressableStorage.GetTree'],
    obligations: [
      [
        'The root and every directory below it come, in any order',
        'a tree gives the root and every directory below it',
        'a directory without subdirectories gives itself',
        'a directory in several places comes once',
        'the empty directory, which need not be stored, gives one empty directory',
      ],
      [
        'What is missing below the root is left out; a missing root is NOT_FOUND',
        'a root that is not stored gives NOT_FOUND',
        'the hash of a stored directory with another size is not taken for it',
        'what is missing below the root is left out, and the rest comes',
      ],
      [
        'page_size and page_token',
        'no response has more directories than page_size',
        'a page_token goes on where its page ended',
        'a negative page_size gives INVALID_ARGUMENT that names the field',
        'a page_token that no page gave is INVALID_ARGUMENT that names the field',
      ],
    ],
  },
  {
    name: 'ContentAddressableStorage.SplitBlob and SpliceBlob',
    blocks: [
      'ContentAddressableStorage.SplitBlob',
      'ContentAddressableStorage.SpliceBlob',
      'ContentAddressableStorage.SplitBlob and SpliceBlob',
      '…',
    ],
    obligations: [
      [
        'The chunks in their order make the blob, and are stored',
        'the chunks of a large blob are stored and make it',
        'a small blob and the empty blob are made by their chunks',
        'blobs that differ at their beginning share chunks',
      ],
      [
        'An advertised chunking function keeps its parameters',
        'chunks of FastCDC 2020 keep its bounds',
        'chunks of RepMaxCDC keep its bounds, and make the blob',
      ],
      [
        'A server takes a request without a chunking function, and may use another than was asked for',
        'no chunking function need be named, and one that is not known is refused or replaced',
        'chunks are verified whatever chunking function is named',
      ],
      [
        'Chunks and blob have the digest function of the request',
        'the chunks of a blob, and a blob of chunks, have its function',
      ],
      ['A blob that is not stored is NOT_FOUND', 'a blob that is not stored gives NOT_FOUND'],
      [
        'A blob that is there already is taken again, or ALREADY_EXISTS where other chunks of it are kept',
        'other chunks of a blob that is stored are taken, or ALREADY_EXISTS',
      ],
      [
        'Stored chunks make a blob that is verified',
        'chunks make the blob',
        'a chunk may come several times',
        'a missing chunk gives NOT_FOUND, and stores nothing',
        'chunks in another order, or of another size, give INVALID_ARGUMENT and store nothing',
      ],
      ['Not served unless advertised', 'are UNIMPLEMENTED where Capabilities does not offer them'],
    ],
  },
  {
    name: 'Capabilities.GetCapabilities',
    blocks: ['Capabilities.GetCapabilities'],
    obligations: [
      [
        'What the endpoint serves is told, and nothing else',
        'an endpoint with execution, storage and action cache gives the capabilities of all',
        'action_cache_update_capabilities are stated',
        'limits are not negative',
        'supported compressors are known ones',
      ],
      [
        'low_api_version to high_api_version',
        'low_api_version is not above high_api_version, and 2.0 clients are within',
        'a version is either numbers or a pre-release',
      ],
      [
        'digest_functions of storage and of execution',
        'digest_functions are known ones and hold SHA256',
        'ExecutionCapabilities.digest_function is set, and is among its digest_functions',
        'execution offers no digest function that storage lacks',
      ],
      ['priority_capabilities are ranges', 'every priority range has its minimum before its maximum'],
      [
        'symlink_absolute_path_strategy is known, and kept to',
        'symlink_absolute_path_strategy is stated',
        'a symlink with an absolute target is kept in a result where the strategy is ALLOWED',
      ],
      [
        'Parameters of chunking are within their bounds',
        'chunking functions are advertised only where blobs are split or spliced, within their bounds',
      ],
      ['supported_node_properties', 'the node properties that workers keep are advertised'],
    ],
  },
  {
    name: 'Digest and digest functions',
    blocks: [
      '…',
      'a digest function that is not offered',
      'a digest that cannot be',
      'ContentAddressableStorage.FindMissingBlobs',
      'ContentAddressableStorage.BatchReadBlobs',
      'ContentAddressableStorage.GetTree',
      'ByteStream.Read',
      'Execution.Execute: failures before the action runs are a gRPC status',
    ],
    obligations: [
      [
        'Each function that is offered works in every service',
        'a blob that is stored in a batch is not missing, and is read in a batch',
        'a blob is written and read by names',
        'a blob is written and read compressed by names',
        'a tree is read',
        'a result is cached, and is a miss without its blobs',
        'an action is executed, and its bot is told the function',
      ],
      [
        'One that is not stated is told by the length of hashes, of those without a segment in names',
        '… is told by the length of hashes',
      ],
      [
        'The size is part of a digest: the right hash with another size is no match',
        'a digest with the hash of a stored blob and another size is not taken for it',
        'the hash of a stored blob with another size is not taken for it',
        'the hash of a stored action with another size is not taken for it',
        'the hash of a stored directory with another size is not taken for it',
      ],
      [
        'The empty blob is there in every function, whatever the call',
        'the empty blob is there',
        'the empty blob is never missing',
        'the empty blob is always there',
      ],
      ['One that is not offered is INVALID_ARGUMENT', 'number … gives INVALID_ARGUMENT that names the field'],
      [
        'A malformed digest is INVALID_ARGUMENT',
        '…: FindMissingBlobs gives INVALID_ARGUMENT that names the field',
        '…: Execute gives INVALID_ARGUMENT that names the field',
      ],
    ],
  },
  {
    name: 'RequestMetadata',
    blocks: ['a message that is no message', 'Operations.ListOperations'],
    obligations: [
      [
        'A header of any content harms no call, and says which build a call is of',
        'a header of metadata that is garbage does no harm',
        'lists what waits, filtered by the build that it belongs to',
      ],
    ],
  },
];
