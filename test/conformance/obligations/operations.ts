import type { Protocol } from './obligation.ts';

/** Obligations of long-running operations. */
export const OPERATIONS: Protocol = {
  file: 'google/longrunning/operations.proto',
  clauses: [
    {
      name: 'Operations',
      blocks: [
        'Operations.GetOperation',
        'Operations.ListOperations',
        'Operations.CancelOperation',
        'Operations.WaitOperation',
        'Operations.DeleteOperation',
      ],
      obligations: [
        [
          'GetOperation gives the latest state',
          'gives the present state by the name that Execute gave',
          'gives the response once it is done',
          'an unknown name gives NOT_FOUND',
        ],
        [
          'ListOperations: filter and pages',
          'pages have no more operations than page_size, and their tokens lead through all',
          'filters by name, tool and stage',
          'a filter that cannot be read gives INVALID_ARGUMENT that names the field',
        ],
        [
          'return_partial_success is UNIMPLEMENTED unless it is offered',
          'return_partial_success is not offered, and gives UNIMPLEMENTED',
        ],
        [
          'CancelOperation: the operation ends with CANCELLED, unless it has ended',
          'of an operation that waits ends it with status CANCELLED in the response, and no bot gets it',
          'leaves the operation, which can be asked for with its end',
          'of an operation that runs takes the lease from the bot',
          'of an operation that is done changes nothing',
          'of one of several operations of one action leaves the others alone',
        ],
        [
          'WaitOperation: until the end, or until the timeout with the latest state',
          'gives the Operation once it is done',
          'gives an Operation that is done already',
          'gives the present state when the timeout has passed',
          'gives the present state before the deadline of the call, where that comes before the timeout',
        ],
        ['DeleteOperation may be unimplemented', 'either is UNIMPLEMENTED, or makes the name unknown'],
      ],
    },
  ],
};
