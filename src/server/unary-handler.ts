import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';
import type { CallContext, UnaryMethod } from '../ports/call-context.ts';
import type { IncomingCall } from './incoming-call.ts';
import { wellFormedMessage } from './well-formed-message.ts';

/** The one request of a call whose requests are no stream. @throws INVALID_ARGUMENT when it is malformed. */
export async function receiveOnlyRequest<Request>(call: IncomingCall<Request, unknown>): Promise<Request> {
  const request = wellFormedMessage(await call.receive());
  if (request === undefined) throw new StatusError(StatusCode.UNIMPLEMENTED, 'the call holds no request');
  if ((await call.receive()) !== undefined) {
    throw new StatusError(StatusCode.UNIMPLEMENTED, 'the call takes one request and got more');
  }
  return request;
}

/** Serves a call with one request and one response. */
export async function serveUnary<Request, Response>(
  method: UnaryMethod<Request, Response>,
  call: IncomingCall<Request, Response>,
  context: CallContext,
): Promise<void> {
  const request = await receiveOnlyRequest(call);
  await call.send(await method(request, context));
}
