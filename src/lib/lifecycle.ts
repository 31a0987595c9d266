/** Something that is started once and stopped once. */
export interface Service {
  /** How it is called in logs. */
  readonly name: string;
  start(signal: AbortSignal): Promise<void>;
  /** Ends its work in good order; once `force` is aborted, at once. Must not throw because of that. */
  stop(force: AbortSignal): Promise<void>;
}

/**
 * Starts services in order and stops them in reverse.
 *
 * A service that fails to start stops those before it. A service that fails to stop does not keep the others from it;
 * all failures come back together.
 */
export class ServiceGroup implements Service {
  readonly name: string;
  readonly #services: readonly Service[];
  #started = 0;

  constructor(name: string, services: readonly Service[]) {
    this.name = name;
    this.#services = services;
  }

  async start(signal: AbortSignal): Promise<void> {
    for (const service of this.#services) {
      try {
        signal.throwIfAborted();
        await service.start(signal);
      } catch (cause) {
        await this.stop(AbortSignal.abort()).catch(() => {});
        throw cause;
      }
      this.#started += 1;
    }
  }

  async stop(force: AbortSignal): Promise<void> {
    const failures: unknown[] = [];
    while (this.#started > 0) {
      this.#started -= 1;
      const service = this.#services[this.#started];
      if (service === undefined) continue;
      try {
        await service.stop(force);
      } catch (cause) {
        failures.push(new Error(`failed to stop ${service.name}`, { cause }));
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, `failed to stop ${this.name}`);
  }
}
