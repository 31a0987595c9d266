import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Compressor } from './compressor.ts';
import { createDigest } from './digest.ts';
import { DIGEST_FUNCTIONS } from './digest-function.ts';
import {
  formatBlobName,
  formatLogStreamName,
  formatUploadName,
  parseReadName,
  parseWriteName,
} from './resource-name.ts';

const hash = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
const uuid = '5a9b0f4e-7d1c-4b7e-9d9c-0d7f2b6a1e11';

const segment = fc
  .stringMatching(/^[A-Za-z0-9._ %:ü-]{1,12}$/)
  .filter((each) => !['blobs', 'uploads', 'actions', 'operations', 'capabilities', 'logStreams'].includes(each));
const instanceName = fc.array(segment, { maxLength: 4 }).map((segments) => segments.join('/'));
const compressor = fc.constantFrom<Compressor>('identity', 'zstd', 'deflate', 'brotli');
const hexadecimal = fc.constantFrom(...'0123456789abcdef'.split(''));
const digest = fc
  .constantFrom(...DIGEST_FUNCTIONS)
  .chain((digestFunction) =>
    fc
      .tuple(
        fc.string({ unit: hexadecimal, minLength: digestFunction.hashLength, maxLength: digestFunction.hashLength }),
        fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
      )
      .map(([text, size]) => createDigest(digestFunction, text, size)),
  );
const metadata = fc.option(
  fc.oneof(
    fc.array(segment, { minLength: 1, maxLength: 3 }).map((each) => each.join('/')),
    fc.constantFrom('blobs/x/1', 'uploads', '', 'a//b', `uploads/${uuid}/blobs/${hash}/3`, 'logStreams/a'),
  ),
  { nil: undefined },
);

describe('every name that is written is read back', () => {
  test('of a blob', () => {
    fc.assert(
      fc.property(instanceName, compressor, digest, (instanceName, compressor, digest) => {
        const name = { kind: 'blob' as const, instanceName, compressor, digest };
        expect(parseReadName(formatBlobName(name))).toEqual(name);
      }),
    );
  });

  test('of an upload, whatever the metadata behind it', () => {
    fc.assert(
      fc.property(
        instanceName,
        fc.uuid(),
        compressor,
        digest,
        metadata,
        (instanceName, uuid, compressor, digest, metadata) => {
          const name = { kind: 'upload' as const, instanceName, uuid, compressor, digest, metadata };
          expect(parseWriteName(formatUploadName(name))).toEqual(name);
        },
      ),
    );
  });

  test('of a log stream, for reading and for writing', () => {
    fc.assert(
      fc.property(instanceName, fc.uuid(), fc.option(fc.uuid(), { nil: undefined }), (instanceName, id, writeToken) => {
        const name = { kind: 'log-stream' as const, instanceName, id, writeToken };
        expect(parseReadName(formatLogStreamName(name))).toEqual(name);
        expect(parseWriteName(formatLogStreamName(name))).toEqual(name);
      }),
    );
  });
});

function outcome(parse: () => unknown): string {
  try {
    parse();
    return 'parsed';
  } catch (thrown) {
    return String(thrown);
  }
}

test('any other text is INVALID_ARGUMENT that names the field', () => {
  const piece = fc.oneof(
    fc.constantFrom('blobs', 'uploads', 'compressed-blobs', 'zstd', uuid, hash, '0', '5', '', 'sha256', 'logStreams'),
    fc.string({ maxLength: 8 }),
  );
  const text = fc.oneof(
    fc.string(),
    fc.array(piece, { maxLength: 8 }).map((each) => each.join('/')),
  );
  fc.assert(
    fc.property(text, fc.constantFrom(parseReadName, parseWriteName), (text, parse) => {
      expect(outcome(() => parse(text))).toMatch(/^(?:parsed|INVALID_ARGUMENT: resource_name.*)$/s);
    }),
    { numRuns: 2_000 },
  );
});

describe('names as clients write them', () => {
  test.each([
    ['', `blobs/${hash}/0`],
    ['main', `main/blobs/${hash}/0`],
    ['a/b.c/d', `a/b.c/d/blobs/${hash}/0`],
  ])("instance '%s'", (instanceName, name) => {
    expect(parseReadName(name)).toMatchObject({ instanceName, compressor: 'identity', digest: { hash, sizeBytes: 0 } });
  });

  test('a UUID in capitals is the same upload', () => {
    expect(parseWriteName(`uploads/${uuid.toUpperCase()}/blobs/${hash}/0`)).toMatchObject({ uuid });
  });

  test('a function whose segment should be left out is understood with it', () => {
    expect(parseReadName(`blobs/sha256/${hash}/0`)).toMatchObject({ digest: { hash } });
  });
});

describe('a broken name to read', () => {
  test.each([
    ['empty', '', 'is empty'],
    ['no keyword', `main/${hash}/0`, "no segment 'blobs'"],
    ['slash in front', `/blobs/${hash}/0`, 'begins with a slash'],
    ['empty segment of the instance', `a//blobs/${hash}/0`, 'instance name'],
    ['reserved segment in the instance', `a/actions/blobs/${hash}/0`, 'reserved segment actions'],
    ['upload', `uploads/${uuid}/blobs/${hash}/0`, 'can only be written'],
    ['no size', `blobs/${hash}`, 'ends before hash and size'],
    ['nothing behind the keyword', 'blobs', 'ends before hash and size'],
    ['size that is no number', `blobs/${hash}/x`, "'x' is no size"],
    ['negative size', `blobs/${hash}/-1`, "'-1' is no size"],
    ['size with a sign', `blobs/${hash}/+1`, 'is no size'],
    ['size with a fraction', `blobs/${hash}/1.5`, 'is no size'],
    ['size with a leading zero', `blobs/${hash}/01`, 'is no size'],
    ['size in hexadecimal', `blobs/${hash}/0x10`, 'is no size'],
    ['size with a space', `blobs/${hash}/1 `, 'is no size'],
    ['empty size', `blobs/${hash}/`, "'' is no size"],
    ['size beyond 2^53', `blobs/${hash}/9007199254740993`, 'size_bytes'],
    ['size beyond all', `blobs/${hash}/99999999999999999999`, 'is no size'],
    ['short hash', 'blobs/abc/1', "'abc' is no hash"],
    ['hash in capitals', `blobs/${hash.toUpperCase()}/0`, 'hash'],
    ['hash that is not hexadecimal', `blobs/${hash.replace('e', 'g')}/0`, 'hash'],
    ['segments behind the size', `blobs/${hash}/0/extra`, '1 segments too many'],
    ['unknown compressor', `compressed-blobs/gzip/${hash}/0`, "'gzip' is no compressor"],
    ['identity as compressor', `compressed-blobs/identity/${hash}/0`, "'identity' is no compressor"],
    ['compressor in capitals', `compressed-blobs/ZSTD/${hash}/0`, 'is no compressor'],
    ['no compressor', 'compressed-blobs', 'is no compressor'],
    ['function that is not offered', `blobs/vso/${hash}/0`, 'digest function vso is not offered'],
    ['log stream without id', 'main/logStreams', 'followed by an id'],
    ['log stream with a path', 'main/logStreams/a/b/c', 'too many'],
    ['too long', `${'a/'.repeat(3_000)}blobs/${hash}/0`, 'longer than 4096'],
    ['control character in the instance', `a\nb/blobs/${hash}/0`, 'control character'],
  ])('%s', (_, name, message) => {
    expect(() => parseReadName(name)).toThrow(message);
  });
});

describe('a broken name to write', () => {
  test.each([
    ['for reading', `blobs/${hash}/0`, 'is for reading'],
    ['no UUID', `uploads/blobs/${hash}/0`, 'followed by a UUID'],
    ['UUID without hyphens', `uploads/${uuid.replaceAll('-', '')}/blobs/${hash}/0`, 'followed by a UUID'],
    ['UUID in braces', `uploads/{${uuid}}/blobs/${hash}/0`, 'followed by a UUID'],
    ['empty UUID', `uploads//blobs/${hash}/0`, 'followed by a UUID'],
    ['no keyword behind the UUID', `uploads/${uuid}/${hash}/0`, "followed by 'blobs'"],
    ['nothing behind the UUID', `uploads/${uuid}`, "followed by 'blobs'"],
    ['no keyword at all', 'main/operations/x', "no segment 'uploads'"],
    ['no size', `uploads/${uuid}/blobs/${hash}`, 'ends before'],
  ])('%s', (_, name, message) => {
    expect(() => parseWriteName(name)).toThrow(message);
  });
});

test('a name with a character more, less or other is refused, or means what its new form says', () => {
  const names = fc.oneof(
    fc.tuple(instanceName, compressor, digest).map(([instance, form, of]) => ({
      parse: parseReadName,
      text: formatBlobName({ instanceName: instance, compressor: form, digest: of }),
    })),
    fc.tuple(instanceName, fc.uuid(), compressor, digest, metadata).map(([instance, id, form, of, more]) => ({
      parse: parseWriteName,
      text: formatUploadName({ instanceName: instance, uuid: id, compressor: form, digest: of, metadata: more }),
    })),
  );
  const edit = fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    removed: fc.nat({ max: 2 }),
    added: fc.oneof(fc.constantFrom('', '/', '0', '-', 'blobs/', '..', '%2F', '\0'), fc.string({ maxLength: 2 })),
  });
  fc.assert(
    fc.property(names, edit, ({ parse, text }, { at, removed, added }) => {
      const place = Math.floor(at * text.length);
      const edited = text.slice(0, place) + added + text.slice(place + removed);
      const told = outcome(() => {
        const name = parse(edited);
        if (name.kind === 'log-stream') return;
        const again = name.kind === 'blob' ? formatBlobName(name) : formatUploadName(name);
        expect(parse(again)).toEqual(name);
      });
      expect(told).toMatch(/^(?:parsed|INVALID_ARGUMENT: resource_name.*)$/s);
    }),
    { numRuns: 300 },
  );
});
