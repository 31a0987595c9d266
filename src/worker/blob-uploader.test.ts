import { expect, test } from 'vitest';
import { MapBlobStore } from '../../test/support/map-blob-store.ts';
import { digestKey, digestOf } from '../domain/digest.ts';
import { uploadOutputs } from './blob-uploader.ts';

const never = new AbortController().signal;

function outputsOf(...contents: Uint8Array[]) {
  const outputs = contents.map((data) => ({ digest: digestOf(data), source: () => data }));
  return new Map(outputs.map((each) => [digestKey(each.digest), each]));
}

test('sends few bytes without a question first', async () => {
  const store = new MapBlobStore();
  const data = Buffer.from('small');
  await uploadOutputs(store, outputsOf(data), never);
  expect({ lookups: store.lookups, stored: store.has(digestOf(data)) }).toEqual({ lookups: [], stored: true });
});

test('asks once before it sends many bytes', async () => {
  const store = new MapBlobStore();
  store.writeFailure = new Error('nothing was missing');
  const known = Buffer.alloc(100_000, 1);
  const other = Buffer.alloc(100_000, 2);
  store.add(known);
  store.add(other);
  await uploadOutputs(store, outputsOf(known, other), never);
  expect(store.lookups).toEqual([2]);
});

test('never sends the empty blob', async () => {
  const store = new MapBlobStore();
  store.writeFailure = new Error('it is always there');
  await uploadOutputs(store, outputsOf(new Uint8Array(0)), never);
  expect(store.lookups).toEqual([]);
});
