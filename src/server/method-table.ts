import type { CallContext, ClientStreamMethod, ServerStreamMethod, UnaryMethod } from '../ports/call-context.ts';
import { serveClientStream } from './client-stream-handler.ts';
import { type IncomingCall, MalformedMessage } from './incoming-call.ts';
import { serveServerStream } from './server-stream-handler.ts';
import { serveUnary } from './unary-handler.ts';

/** One method of a service, as the generated code describes it. */
interface MethodDefinition {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  requestDeserialize(encoded: Buffer): unknown;
  // The generated serializers take their own message type only; `unknown` here would refuse them all.
  responseSerialize(message: never): Buffer;
}

/** A service, as the generated code describes it: `ContentAddressableStorageService` and its like. */
export type ServiceDefinition = Readonly<Record<string, MethodDefinition>>;

type MethodOf<Definition> = Definition extends {
  readonly requestStream: infer RequestStream;
  readonly responseStream: infer ResponseStream;
  requestDeserialize(encoded: Buffer): infer Request;
  responseSerialize(message: infer Response): Buffer;
}
  ? RequestStream extends true
    ? ResponseStream extends true
      ? never
      : ClientStreamMethod<Request, Response>
    : ResponseStream extends true
      ? ServerStreamMethod<Request, Response>
      : UnaryMethod<Request, Response>
  : never;

/** What a class must have to serve this service: a method for each call, of the call's shape. */
export type ServiceImplementation<Definition extends ServiceDefinition> = {
  [Name in keyof Definition]: MethodOf<Definition[Name]>;
};

/** A method ready to be served. */
export interface RegisteredMethod {
  readonly path: string;
  readonly type: 'unary' | 'clientStream' | 'serverStream';
  readonly deserialize: (encoded: Buffer) => unknown;
  readonly serialize: (message: unknown) => Buffer;
  /** Runs the method to its last response. Throws what the method throws. */
  serve(call: IncomingCall<unknown, unknown>, context: CallContext): Promise<void>;
}

/**
 * The methods of a service that `implementation` has. Those that it lacks are answered UNIMPLEMENTED.
 *
 * @throws Error for a method whose requests and responses are both streams: nothing of ours has one.
 */
export function methodsOf<Definition extends ServiceDefinition>(
  definition: Definition,
  implementation: Partial<ServiceImplementation<Definition>>,
): RegisteredMethod[] {
  const methods: RegisteredMethod[] = [];
  for (const [name, each] of Object.entries(definition)) {
    const method = implementation[name];
    if (method === undefined) continue;
    methods.push({ ...codecOf(each), ...handlerOf(each, method.bind(implementation)) });
  }
  return methods;
}

function codecOf(definition: MethodDefinition): Pick<RegisteredMethod, 'path' | 'deserialize' | 'serialize'> {
  return {
    path: definition.path,
    deserialize(encoded) {
      try {
        return definition.requestDeserialize(encoded);
      } catch (reason) {
        return new MalformedMessage(reason);
      }
    },
    serialize: (message) => definition.responseSerialize(message as never),
  };
}

function handlerOf(definition: MethodDefinition, method: unknown): Pick<RegisteredMethod, 'type' | 'serve'> {
  const { requestStream, responseStream, path } = definition;
  if (requestStream && responseStream) throw new Error(`${path}: calls with streams both ways are not served`);
  if (requestStream) {
    const typed = method as ClientStreamMethod<unknown, unknown>;
    return { type: 'clientStream', serve: (call, context) => serveClientStream(typed, call, context) };
  }
  if (responseStream) {
    const typed = method as ServerStreamMethod<unknown, unknown>;
    return { type: 'serverStream', serve: (call, context) => serveServerStream(typed, call, context) };
  }
  const typed = method as UnaryMethod<unknown, unknown>;
  return { type: 'unary', serve: (call, context) => serveUnary(typed, call, context) };
}
