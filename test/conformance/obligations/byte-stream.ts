import type { Protocol } from './obligation.ts';

/** Obligations of transfers by name. */
export const BYTE_STREAM: Protocol = {
  file: 'google/bytestream/bytestream.proto',
  clauses: [
    {
      name: 'ByteStream.Read',
      blocks: ['ByteStream.Read', 'ReadRequest.resource_name', 'compressed-blobs/…'],
      obligations: [
        [
          'The bytes come in order',
          'gives the whole blob in order',
          'sends a large blob in several messages, each below the limit of a message',
        ],
        [
          'read_offset: nothing at the end, OUT_OF_RANGE when negative or beyond it',
          'read_offset leaves out what comes before',
          'a read_offset at the end gives nothing',
          'a read_offset beyond the end gives OUT_OF_RANGE',
          'a negative read_offset gives OUT_OF_RANGE',
        ],
        [
          'read_limit: 0 is none, negative is an error',
          'read_limit bounds what is sent',
          'a read_limit beyond the end gives what there is',
          'read_offset and read_limit together give the middle',
          'a negative read_limit gives INVALID_ARGUMENT',
        ],
        ['What is not there is NOT_FOUND', 'a blob that is not stored gives NOT_FOUND'],
        [
          'A header may repeat resource_name, and must not differ',
          'the header that repeats the resource name is accepted',
          'a header with another resource name gives INVALID_ARGUMENT',
        ],
        ['The forms of resource_name', '… gives INVALID_ARGUMENT', 'a broken one is named in the message'],
        [
          'compressed-blobs: read_offset counts plain bytes, and read_limit is refused',
          'what was uploaded plain is read compressed',
          'read_offset counts plain bytes',
          'a read_limit gives INVALID_ARGUMENT',
        ],
      ],
    },
    {
      name: 'ByteStream.Write',
      blocks: [
        'ByteStream.Write',
        'WriteRequest.resource_name',
        'compressed-blobs/…',
        'a compressor that does not exist',
      ],
      obligations: [
        [
          'finish_write makes the resource whole, and nothing before it does',
          'one message with finish_write stores the blob, and committed_size is its size',
          'many messages store the blob',
          'a finish_write without data may come last',
          'a blob is not there before finish_write',
          'a message after finish_write gives INVALID_ARGUMENT',
        ],
        [
          'A stream that ends early is answered with what is committed; messages may be without data',
          'a stream that ends without finish_write is answered with what is committed, and completes nothing',
          'messages without data keep the call alive',
        ],
        [
          'A header may repeat resource_name, and must not differ',
          'the header that repeats the resource name is accepted',
          'a header with another resource name gives INVALID_ARGUMENT',
        ],
        [
          'resource_name is set in the first message, and in later ones unset or the same',
          'the resource name may be repeated in every message',
          'another resource name in a later message gives INVALID_ARGUMENT',
          'a stream without a message gives INVALID_ARGUMENT',
        ],
        [
          'write_offset is where the last message ended',
          'a write_offset that leaves a gap within the call is refused',
          'a first write_offset beyond what is committed is refused',
          'a negative write_offset is refused with a message that names it',
        ],
        [
          'A blob that is stored ends the call early with its size, or with -1 where it comes compressed',
          'a blob that is stored already ends the call at once with its full size',
          'a blob that is stored already ends an upload at once with committed_size -1',
          'a blob that another client completes in between ends the call with its full size',
        ],
        [
          'What does not fit the digest is refused, and nothing is stored',
          'bytes that do not fit the hash give INVALID_ARGUMENT and nothing is stored',
          'fewer bytes than the size give INVALID_ARGUMENT and nothing is stored',
          'more bytes than the size give INVALID_ARGUMENT and nothing is stored',
          'an upload that is … gives INVALID_ARGUMENT, and nothing is stored',
          'a failed upload can be made anew under the same name',
        ],
        [
          'compressed-blobs: a call begins at an offset of plain bytes, and its messages follow by compressed ones',
          'what was uploaded compressed is read plain',
          'an upload that broke off goes on where its plain bytes ended',
        ],
        [
          'A compressor is one of those that are offered',
          'is refused with INVALID_ARGUMENT where it is not advertised',
          'in a resource name gives INVALID_ARGUMENT',
        ],
        [
          'Uploads of several clients do not disturb each other',
          'uploads of one blob at the same time all succeed',
          'uploads of one blob at the same time, compressed and plain, all succeed',
          'one UUID may serve for several blobs',
        ],
        ['The forms of resource_name', '… gives INVALID_ARGUMENT', 'metadata may follow the size in the resource name'],
      ],
    },
    {
      name: 'ByteStream.QueryWriteStatus',
      blocks: ['ByteStream.QueryWriteStatus and resuming'],
      obligations: [
        [
          'committed_size is where the client goes on, and never goes back',
          'an upload that broke off goes on at committed_size',
          'committed_size never goes back while an upload grows',
          'an upload whose client was cut off keeps what arrived, and goes on',
          'a client may begin anew at offset 0 instead of resuming',
        ],
        ['complete once the resource is whole', 'a finished upload is complete, and its committed_size is its size'],
        ['An unknown upload', 'an upload that nobody began gives NOT_FOUND, or a committed_size of nothing'],
      ],
    },
  ],
};
