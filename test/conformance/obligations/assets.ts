import type { Protocol } from './obligation.ts';

/** Obligations of the Remote Asset API. */
export const ASSETS: Protocol = {
  file: 'build/bazel/remote/asset/v1/remote_asset.proto',
  clauses: [
    {
      name: 'Fetch.FetchBlob and FetchDirectory',
      blocks: ['Push.PushBlob and Fetch.FetchBlob', 'Push.PushDirectory and Fetch.FetchDirectory', 'bad input'],
      obligations: [
        [
          'What is known by any of the URIs is answered, with the URI that it was found by',
          'what was pushed is fetched, by any of its URIs',
          'what was pushed is fetched',
          'a blob is no folder: the kinds are apart',
        ],
        [
          'The content matches the qualifiers, which come in any order and each once',
          'qualifiers match in any order',
          'qualifiers match exactly: none too few and none too many',
          'a qualifier that comes twice is INVALID_ARGUMENT',
        ],
        [
          'A qualifier that is not supported is INVALID_ARGUMENT, with a violation of a BadRequest for each',
          'a qualifier that no download can be held against is INVALID_ARGUMENT',
        ],
        [
          'What the origin is to blame for stands in the answer, not in the status of the call',
          'what nobody pushed and nobody can fetch is NOT_FOUND in the answer',
          'an address that is not public is PERMISSION_DENIED in the answer, however it is written',
          'a folder that nobody pushed is NOT_FOUND, with the reason',
        ],
        ['oldest_content_accepted', 'content that is older than the client accepts is not given'],
        ['At least one URI', 'no URI is INVALID_ARGUMENT in every call: BuildStream asks so whether it is served'],
        [
          'digest_function is used, and told; SHA256 without it',
          'an answer has the digest function that was asked for, and SHA256 where none was',
          'the answer names the digest function, and the time until which the content is expected to be there',
        ],
      ],
    },
    {
      name: 'Push.PushBlob and PushDirectory',
      blocks: [
        'Push.PushBlob and Fetch.FetchBlob',
        'Push.PushDirectory and Fetch.FetchDirectory',
        'references',
        'bad input',
      ],
      obligations: [
        ['What was pushed is fetched by each of its URIs', 'what was pushed is fetched, by any of its URIs'],
        [
          'expire_at, which a later push alters',
          'a push that has expired already takes back what was pushed',
          'a later push alters the time until which it is fetched',
          'a later push replaces an earlier one',
        ],
        [
          'References stay as long as what refers to them',
          'a push that refers to what is stored is fetched',
          'a push that refers to what is not stored names all of it',
        ],
        [
          'Bad input is INVALID_ARGUMENT',
          'a push of … is INVALID_ARGUMENT',
          'a push of what is not stored fails',
          'everything in the folder must be stored',
        ],
      ],
    },
  ],
};
