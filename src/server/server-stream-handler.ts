import type { CallContext, ServerStreamMethod } from '../ports/call-context.ts';
import type { IncomingCall } from './incoming-call.ts';
import { receiveOnlyRequest } from './unary-handler.ts';

/**
 * Serves a call with one request and a stream of responses.
 *
 * When the client goes, the method's generator is closed where it yields, so that its `finally` runs; where it waits, it
 * must listen to the context's signal.
 */
export async function serveServerStream<Request, Response>(
  method: ServerStreamMethod<Request, Response>,
  call: IncomingCall<Request, Response>,
  context: CallContext,
): Promise<void> {
  const request = await receiveOnlyRequest(call);
  for await (const response of method(request, context)) await call.send(response);
}
