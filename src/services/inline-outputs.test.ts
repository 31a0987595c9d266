import { beforeEach, expect, test } from 'vitest';
import { MapBlobStore } from '../../test/support/map-blob-store.ts';
import { type Digest, digestOf } from '../domain/digest.ts';
import { SHA256 } from '../domain/digest-function.ts';
import { ActionResult } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { digestToWire } from '../wire/digest.ts';
import { inlineOutputs } from './inline-outputs.ts';

const { signal } = new AbortController();
const nothing = { inlineStdout: false, inlineStderr: false, inlineOutputFiles: [] };
const everything = { inlineStdout: true, inlineStderr: true, inlineOutputFiles: ['a', 'b'] };

let blobs: MapBlobStore;
beforeEach(() => {
  blobs = new MapBlobStore();
});

const file = (path: string, digest: Digest, contents = Buffer.alloc(0)) => ({
  path,
  digest: digestToWire(digest),
  isExecutable: false,
  contents,
});

function make(sizes: { stdout?: number; stderr?: number; a?: number; b?: number }): ActionResult {
  const { stdout = 3, stderr = 3, a = 3, b = 3 } = sizes;
  return {
    ...ActionResult.decode(new Uint8Array(0)),
    stdoutDigest: digestToWire(blobs.add(Buffer.alloc(stdout, 'o'))),
    stderrDigest: digestToWire(blobs.add(Buffer.alloc(stderr, 'e'))),
    outputFiles: [file('a', blobs.add(Buffer.alloc(a, 'a'))), file('b', blobs.add(Buffer.alloc(b, 'b')))],
  };
}

const contentsOf = ({ stdoutRaw, stderrRaw, outputFiles }: ActionResult) =>
  [stdoutRaw, stderrRaw, ...outputFiles.map((each) => each.contents)].map((each) => each.byteLength);

test('nothing is inlined that is not asked for', async () => {
  const result = make({});
  expect(await inlineOutputs(result, nothing, SHA256, blobs, signal)).toEqual(result);
  expect(blobs.reads).toEqual([]);
});

test('what is asked for is inlined, and keeps its digest', async () => {
  const result = make({});
  const inlined = await inlineOutputs(result, everything, SHA256, blobs, signal);
  expect(inlined.stdoutRaw.toString()).toBe('ooo');
  expect(inlined.stderrRaw.toString()).toBe('eee');
  expect(inlined.outputFiles.map((each) => each.contents.toString())).toEqual(['aaa', 'bbb']);
  expect(inlined.stdoutDigest).toEqual(result.stdoutDigest);
});

test('the result that was given is left as it was', async () => {
  const result = make({});
  await inlineOutputs(result, everything, SHA256, blobs, signal);
  expect(contentsOf(result)).toEqual([0, 0, 0, 0]);
});

test('only the files that are asked for are inlined, whatever else is asked', async () => {
  const request = { ...nothing, inlineOutputFiles: ['b', 'b', 'unknown'] };
  expect(contentsOf(await inlineOutputs(make({}), request, SHA256, blobs, signal))).toEqual([0, 0, 0, 3]);
});

test('contents that came along but were not asked for are taken out where a digest stands for them', async () => {
  const withContents = { ...make({}), stdoutRaw: Buffer.from('ooo'), stderrRaw: Buffer.from('raw') };
  withContents.outputFiles = [file('a', blobs.add('aaa'), Buffer.from('aaa'))];
  delete withContents.stderrDigest;
  expect(contentsOf(await inlineOutputs(withContents, nothing, SHA256, blobs, signal))).toEqual([0, 3, 0]);
  expect(contentsOf(await inlineOutputs(withContents, everything, SHA256, blobs, signal))).toEqual([3, 3, 3]);
});

test('what does not fit into the answer is passed over, and what is smaller still goes in', async () => {
  const result = make({ stdout: 1_000, stderr: 5_000, a: 2_000, b: 500 });
  const limit = 2_500;
  const inlined = await inlineOutputs(result, everything, SHA256, blobs, signal, limit);
  expect(contentsOf(inlined)).toEqual([1_000, 0, 0, 500]);
  expect(ActionResult.encode(inlined).finish().byteLength).toBeLessThanOrEqual(limit);
});

test('the answer never exceeds the limit', async () => {
  for (let size = 0; size < 600; size += 7) {
    const result = make({ stdout: size, stderr: size + 1, a: size * 2, b: 90 });
    const inlined = await inlineOutputs(result, everything, SHA256, blobs, signal, 1_500);
    expect(ActionResult.encode(inlined).finish().byteLength).toBeLessThanOrEqual(1_500);
  }
});

test('what is lost is left as a digest', async () => {
  const result = make({});
  blobs.remove(digestOf(Buffer.from('ooo')));
  expect(contentsOf(await inlineOutputs(result, everything, SHA256, blobs, signal))).toEqual([0, 3, 3, 3]);
});

test('a call that is aborted ends', async () => {
  const gone = new AbortController();
  gone.abort(new Error('gone'));
  await expect(inlineOutputs(make({}), everything, SHA256, blobs, gone.signal)).rejects.toThrow('gone');
});
