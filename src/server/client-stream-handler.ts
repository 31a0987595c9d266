import type { CallContext, ClientStreamMethod } from '../ports/call-context.ts';
import type { IncomingCall } from './incoming-call.ts';
import { wellFormedMessage } from './well-formed-message.ts';

/**
 * Serves a call with a stream of requests and one response.
 *
 * The method may answer before the client has sent all (ByteStream.Write of a blob that is stored already): the rest is
 * discarded.
 */
export async function serveClientStream<Request, Response>(
  method: ClientStreamMethod<Request, Response>,
  call: IncomingCall<Request, Response>,
  context: CallContext,
): Promise<void> {
  await call.send(await method(requestsOf(call), context));
}

async function* requestsOf<Request>(call: IncomingCall<Request, unknown>): AsyncIterable<Request> {
  for (;;) {
    const request = wellFormedMessage(await call.receive());
    if (request === undefined) return;
    yield request;
  }
}
