import { InvalidArgumentError } from 'commander';
import { expect, test } from 'vitest';
import { parseDigestArgument } from './digest-argument.ts';

const hash = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

test.each([`${hash}/7`, `blobs/${hash}/7`, `/blobs/${hash}/7`])('%s is read', (text) => {
  expect(parseDigestArgument(text)).toMatchObject({ hash, sizeBytes: 7 });
});

test.each(['', hash, `${hash}/`, `${hash}/x`, `${hash}/-1`, 'abc/3', `${hash.toUpperCase()}/7`, `md9/${hash}/7`])(
  '%j is refused',
  (text) => {
    expect(() => parseDigestArgument(text)).toThrow(InvalidArgumentError);
  },
);
