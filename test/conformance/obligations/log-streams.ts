import type { Protocol } from './obligation.ts';

/** Obligations of log streams. */
export const LOG_STREAMS: Protocol = {
  file: 'build/bazel/remote/logstream/v1/remote_logstream.proto',
  clauses: [
    {
      name: 'LogStreamService.CreateLogStream',
      blocks: ['LogStreamService.CreateLogStream'],
      obligations: [
        [
          'A name to read below the parent, and one to write that adds a secret',
          'gives a name to read below the parent, and one to write that adds a secret',
          'gives each stream names of its own',
          'a parent that is not served gives INVALID_ARGUMENT that names it',
        ],
      ],
    },
    {
      name: 'LogStream: writing',
      blocks: ['ByteStream.Write of a log stream'],
      obligations: [
        [
          'What is committed is never overwritten, and a finished stream never grows',
          'appends, message by message and call by call',
          'what was written before is passed over when it is sent again',
          'more behind the end of a finished stream gives FAILED_PRECONDITION',
        ],
        [
          'Only the name for writing writes',
          'a name without the token, or for reading, is not written',
          'the token of one stream is of no use for another',
        ],
      ],
    },
    {
      name: 'LogStream: reading',
      blocks: ['ByteStream.Read of a log stream'],
      obligations: [
        [
          'A stream that is not finished keeps its readers, and brings what comes',
          'follows the stream while it grows, and ends when it is finished',
          'several readers each get all of it, whenever they come',
        ],
        ['read_offset', 'read_offset leaves out what comes before, and read_limit ends it'],
        [
          'The name for writing is INVALID_ARGUMENT to read',
          'a stream that nobody made gives NOT_FOUND, a name for writing INVALID_ARGUMENT',
        ],
      ],
    },
  ],
};
