import { notFound } from '../domain/status-error.ts';
import { onAbort } from '../lib/abort.ts';
import type { CallContext } from '../ports/call-context.ts';
import {
  type HealthCheckRequest,
  type HealthCheckResponse,
  type HealthListResponse,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from '../proto/grpc/health/v1/health.ts';

/**
 * grpc.health.v1.Health: whether this replica takes calls, for load balancers and orchestrators.
 *
 * All services are in one state: SERVING from `serve` to `drain`. Watchers of a draining replica hear NOT_SERVING and
 * are then let go, so that they do not hold it up.
 */
export class Health {
  readonly #services: ReadonlySet<string>;
  readonly #listeners = new Set<() => void>();
  #status: ServingStatus = ServingStatus.NOT_SERVING;

  /** @param services full names of what is served; the empty name, for all together, is added. */
  constructor(services: readonly string[]) {
    this.#services = new Set(['', ...services]);
  }

  get isServing(): boolean {
    return this.#status === ServingStatus.SERVING;
  }

  /** Everything is up. */
  serve(): void {
    this.#set(ServingStatus.SERVING);
  }

  /** New callers should go elsewhere. */
  drain(): void {
    this.#set(ServingStatus.NOT_SERVING);
  }

  /** @throws NOT_FOUND for a service that is not served here. */
  async check(request: HealthCheckRequest): Promise<HealthCheckResponse> {
    if (!this.#services.has(request.service)) throw notFound(`service: '${request.service}' is not served here`);
    return { status: this.#status };
  }

  async *watch(request: HealthCheckRequest, context: CallContext): AsyncIterable<HealthCheckResponse> {
    const known = this.#services.has(request.service);
    for (;;) {
      const status = this.#status;
      yield { status: known ? status : ServingStatus.SERVICE_UNKNOWN };
      if (context.draining.aborted) return;
      await this.#changed(status, context);
    }
  }

  async list(): Promise<HealthListResponse> {
    return { statuses: Object.fromEntries([...this.#services].map((name) => [name, { status: this.#status }])) };
  }

  #set(status: ServingStatus): void {
    this.#status = status;
    for (const listener of this.#listeners) listener();
  }

  /** Resolves at once when the status is another one than the caller has seen. */
  #changed(seen: ServingStatus, { signal, draining }: CallContext): Promise<void> {
    if (this.#status !== seen) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const settle = (how: () => void) => () => {
        this.#listeners.delete(onChange);
        for (const letGo of waits) letGo();
        how();
      };
      const onChange = settle(resolve);
      this.#listeners.add(onChange);
      const waits = [
        onAbort(
          signal,
          settle(() => reject(signal.reason)),
        ),
        onAbort(draining, onChange),
      ];
    });
  }
}
