import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';
import { findWorkingDirectory, makeOutputParents } from './output-folders.ts';

/** Twice as long as a path may be. */
const LONG_PATH = Array.from({ length: 40 }, () => 'x'.repeat(200)).join('/');

describe('paths of a command that are longer than a path may be', () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'warren-output-folders-'));
  });

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it.each([
    [
      'command.output_paths',
      () =>
        makeOutputParents(
          folder,
          folder,
          {
            style: 'paths',
            paths: [{ path: `${LONG_PATH}/out`, kind: 'any' }],
            mtime: false,
            unixMode: false,
          },
          mkdirSync,
        ),
    ],
    ['command.working_directory', () => findWorkingDirectory(folder, LONG_PATH)],
  ])('are refused, naming %s', (field, act) => {
    let thrown: unknown;
    try {
      act();
    } catch (cause) {
      thrown = cause;
    }
    expect(StatusError.from(thrown)).toMatchObject({
      code: StatusCode.INVALID_ARGUMENT,
      message: expect.stringContaining(field),
    });
  });
});
