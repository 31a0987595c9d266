import { Duplex } from 'node:stream';
import { expect, test } from 'vitest';
import { corkWrites } from './corked-socket.ts';

function recordingStream(): { readonly stream: Duplex; readonly written: number[] } {
  const written: number[] = [];
  const stream = new Duplex({
    read() {},
    write(_chunk, _encoding, done) {
      written.push(1);
      done();
    },
    writev(chunks, done) {
      written.push(chunks.length);
      done();
    },
  });
  return { stream, written };
}

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

test('what is written in one turn of the event loop leaves together, at its end', async () => {
  const { stream, written } = recordingStream();
  corkWrites(stream);
  for (const frame of ['a', 'b', 'c']) stream.write(frame);
  expect(written).toEqual([]);
  await nextTurn();
  expect(written).toEqual([3]);
  for (const frame of ['d', 'e']) stream.write(frame);
  await nextTurn();
  expect(written).toEqual([3, 2]);
});
