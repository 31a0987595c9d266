import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';
import { MalformedMessage } from './incoming-call.ts';

/** @throws INVALID_ARGUMENT for what could not be decoded. */
export function wellFormedMessage<Message>(message: Message | MalformedMessage): Message {
  if (!(message instanceof MalformedMessage)) return message;
  throw new StatusError(StatusCode.INVALID_ARGUMENT, 'the request is not a valid encoding of its message', {
    cause: message.reason,
  });
}
