import type { Clause } from './obligation.ts';

const SCHEDULING = ['Execution.Execute: requests for one action', 'ExecutionPolicy.priority', 'Platform'];

/** Obligations of the service that executes. */
export const EXECUTION: readonly Clause[] = [
  {
    name: 'Execution.Execute',
    blocks: [
      'Execution.Execute: the stream',
      'Execution.Execute: failures before the action runs are a gRPC status',
      'Execution.Execute: failures while the action runs travel in ExecuteResponse.status',
      'Execution.Execute: the cache',
      ...SCHEDULING,
      'Leases carry the action',
      'Execute: an Action that cannot be',
      'The log streams of an action',
      '…',
    ],
    obligations: [
      [
        'The stream ends with an Operation that is done and packs an ExecuteResponse',
        'ends with an Operation that is done and has an ExecuteResponse with the result',
        'Operation.response is packed as ExecuteResponse',
      ],
      [
        'Each Operation carries ExecuteOperationMetadata with stage and digest',
        'Operation.metadata is ExecuteOperationMetadata with the digest of the action',
        'an Operation is done if and only if its stage is COMPLETED',
        'stages come in order: QUEUED, EXECUTING, COMPLETED',
      ],
      [
        'The name of the Operation is the server’s, and stays',
        'every update has one name, which is not empty',
        'the name begins with the instance',
      ],
      [
        'What is missing of the action is FAILED_PRECONDITION with a violation of type MISSING for each blob',
        'an action that is not stored gives FAILED_PRECONDITION with MISSING',
        'a command that is not stored gives FAILED_PRECONDITION with MISSING',
        'a missing command and a missing input root are named together',
        'what an action lacks is named as its function wants it',
        'what a bot finds missing among the inputs is told to the client blob by blob, as the bot tells it',
      ],
      [
        'An invalid Action is INVALID_ARGUMENT',
        'an unset action_digest gives INVALID_ARGUMENT',
        'bytes that are no Action give INVALID_ARGUMENT',
        'a timeout above what the server allows is refused',
        'the hash of a stored action with another size is not taken for it',
        'bytes that are no Command give INVALID_ARGUMENT or FAILED_PRECONDITION',
        '… gives INVALID_ARGUMENT that names the field, before or instead of running',
      ],
      [
        'A node property of outputs that is not known is INVALID_ARGUMENT',
        'a node property of outputs that the server does not know gives INVALID_ARGUMENT',
      ],
      [
        'What went wrong while the action ran is told in ExecuteResponse.status, never as an error of the Operation',
        'the status of a lease that could not be run is the status of the response, and Operation.error is unset',
      ],
      [
        'A timeout is DEADLINE_EXCEEDED and may bring a result',
        'an action that timed out gives DEADLINE_EXCEEDED, with what the bot knows of its output',
      ],
      [
        'A status other than OK is not cached',
        'a response whose status is not OK is not cached',
        'the result of a command that failed is not answered to the next who asks',
      ],
      [
        'A result of the cache is told by cached_result',
        'an action with a result is answered from it, with cached_result',
        'a result is entered into the action cache before the client hears of it',
      ],
      ['skip_cache_lookup', 'skip_cache_lookup runs an action that has a result, and replaces it'],
      [
        'Action.do_not_cache: neither cached nor merged',
        'do_not_cache: the result is not entered into the action cache',
        'do_not_cache: a result that is in the cache is not answered',
        'are not merged with do_not_cache: each runs',
      ],
      [
        'Requests for one action may be merged',
        'are merged while it runs: one lease, and every client gets the result',
        'have each an Operation of their own',
        'are merged with skip_cache_lookup too',
      ],
      [
        'inline_stdout, inline_stderr, inline_output_files are hints',
        'inline_stdout, inline_stderr and inline_output_files are honoured for small results',
      ],
      [
        'ActionResult.execution_metadata tells of worker and times',
        'the result tells who ran it and when it was queued, beside what the bot tells',
      ],
      [
        'stdout_stream_name and stderr_stream_name can be read while the action runs',
        'are named to the client for reading, and to the bot in the trailer for writing',
        'bring what the bot writes to every client while the action runs',
      ],
      [
        'ExecutionPolicy.priority: the lower value goes first',
        'of those that wait, the lower value runs first, and equal ones in the order of their coming',
        'a more urgent request for an action that waits already raises it',
      ],
      [
        'Action.platform is preferred, Command.platform counts without it',
        'of the Action is preferred to that of the Command',
        'of the Command counts where the Action has none',
      ],
      [
        'A worker must have every property that is asked for',
        'an action runs only on a bot that offers what it asks for',
        'a property that the server does not know is refused by name, or waits for a bot that has it',
      ],
      [
        'Fields that a server does not know stay in the message whose digest counts',
        'an Action with fields that this server does not know reaches the bot byte for byte',
        'as itself or by its digest, unchanged',
      ],
    ],
  },
  {
    name: 'Execution.WaitExecution',
    blocks: ['Execution.WaitExecution', 'Operations.DeleteOperation'],
    obligations: [
      [
        'The present state comes at once, and the end ends the stream',
        'gives the present state at once, and the completed Operation at the end',
        'an operation that is done already is answered with its response',
        'several clients may wait for one operation',
      ],
      ['A broken stream is taken up by the name', 'a client that lost its stream gets the result by the name alone'],
      [
        'A name that is unknown, or that was deleted, is NOT_FOUND',
        'an unknown operation gives NOT_FOUND',
        'either is UNIMPLEMENTED, or makes the name unknown',
      ],
    ],
  },
];
