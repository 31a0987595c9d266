import { EventEmitter } from 'node:events';
import { expect, test } from 'vitest';
import { type RawCall, relay } from './reflection.ts';

/** A call whose client reads when the test says so: of its requests as many come as are asked for. */
class FakeCall extends EventEmitter {
  readonly answers: Buffer[] = [];
  #waiting = 0;
  #paused = false;

  /** The client sends so many requests. */
  request(count: number): void {
    this.#waiting += count;
    this.#flow();
  }

  /** The client reads all that was answered. */
  read(): Buffer[] {
    const answers = this.answers.splice(0);
    this.emit('drain');
    return answers;
  }

  write(answer: Buffer): boolean {
    this.answers.push(answer);
    return this.answers.length < 4;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#flow();
  }

  #flow(): void {
    while (this.#waiting > 0 && !this.#paused) {
      this.#waiting -= 1;
      this.emit('data', Buffer.from('which services?'));
    }
  }
}

test('a client that does not read gets no more than it has room for, and the rest when it does', () => {
  const call = new FakeCall();
  relay(call as unknown as RawCall, {
    deserialize: String,
    serialize: (response) => Buffer.from(String(response)),
    handle: (stream) => stream.on('data', (request) => stream.write(`of ${request}`)),
  });
  call.request(10_000);
  expect(call.answers.length).toBeLessThan(10);
  let read = 0;
  for (let answers = call.read(); answers.length > 0; answers = call.read()) read += answers.length;
  expect(read).toBe(10_000);
  expect(call.listenerCount('drain')).toBeLessThan(2);
});
