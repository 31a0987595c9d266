import { Metadata } from '@grpc/grpc-js';
import { expect, test } from 'vitest';
import { IncomingCall, type InterceptedCall } from './incoming-call.ts';

test('messages and the end that have arrived before they are asked for are received in order', async () => {
  const arrived: unknown[] = ['one', 'two', undefined];
  let listener: Parameters<InterceptedCall['start']>[0] | undefined;
  const call = {
    start(given: NonNullable<typeof listener>) {
      listener = given;
      given.onReceiveMetadata(new Metadata());
    },
    startRead() {
      const next = arrived.shift();
      if (next === undefined) listener?.onReceiveHalfClose();
      else listener?.onReceiveMessage(next);
    },
  } as unknown as InterceptedCall;
  let incoming: IncomingCall<string, never> | undefined;
  IncomingCall.accept<string, never>(call, (each) => {
    incoming = each;
  });
  expect([await incoming?.receive(), await incoming?.receive(), await incoming?.receive()]).toEqual([
    'one',
    'two',
    undefined,
  ]);
});
