import type { Clock } from '../lib/clock.ts';
import type { CallContext } from '../ports/call-context.ts';
import type { IncomingCall } from './incoming-call.ts';

/** A call of grpc-js, as services see it. */
export class GrpcCallContext implements CallContext {
  readonly draining: AbortSignal;
  readonly #call: IncomingCall<unknown, unknown>;
  readonly #clock: Clock;

  constructor(call: IncomingCall<unknown, unknown>, draining: AbortSignal, clock: Clock) {
    this.#call = call;
    this.draining = draining;
    this.#clock = clock;
  }

  get signal(): AbortSignal {
    return this.#call.signal;
  }

  get peer(): string {
    return this.#call.peer;
  }

  remainingMilliseconds(): number | undefined {
    const { deadline } = this.#call;
    return Number.isFinite(deadline) ? Math.max(0, deadline - this.#clock.now()) : undefined;
  }

  header(name: string): string | undefined {
    return this.#call.metadata.get(name)[0]?.toString();
  }

  binaryHeaders(name: string): readonly Uint8Array[] {
    return this.#call.metadata.get(name).filter((value) => typeof value !== 'string');
  }

  headerNames(): readonly string[] {
    return Object.keys(this.#call.metadata.getMap());
  }

  addTrailer(name: string, value: string | Uint8Array): void {
    this.#call.trailers.add(name, typeof value === 'string' ? value : Buffer.from(value));
  }
}
