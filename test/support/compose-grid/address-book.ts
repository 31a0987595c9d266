import { freePorts } from '../free-port.ts';

/** One service's way to another. */
export interface Route {
  readonly from: string;
  readonly to: string;
  /** The port in the container. */
  readonly port: number;
  /** The port of 127.0.0.1 where the other one listens. */
  readonly target: number;
}

/** Which port of 127.0.0.1 stands for each port of each service's container. */
export class AddressBook {
  readonly #services: readonly string[];
  readonly #detour: (route: Route) => Promise<number> | number;
  readonly #ports = new Map<string, number>();

  /** @param detour gives the port that `from` is to use in place of the target's own, such as that of a proxy. */
  constructor(services: readonly string[], detour: (route: Route) => Promise<number> | number) {
    this.#services = services;
    this.#detour = detour;
  }

  /** Where a service itself listens. The first call for a port chooses it. */
  async portOf(service: string, port: number): Promise<number> {
    const key = `${service}:${port}`;
    const known = this.#ports.get(key);
    if (known !== undefined) return known;
    for (;;) {
      const [free = 0] = await freePorts(1);
      if ([...this.#ports.values()].includes(free)) continue;
      this.#ports.set(key, free);
      return free;
    }
  }

  /** A text of a service with `NAME:PORT` and `0.0.0.0:PORT` made addresses of this machine. */
  async rewrite(text: string, owner: string): Promise<string> {
    const pattern = new RegExp(`(?<![\\w.-])(0\\.0\\.0\\.0|${this.#services.join('|')}):(\\d{2,5})(?!\\d)`, 'g');
    const replacements = new Map<string, string>();
    for (const [whole, host = '', port] of text.matchAll(pattern)) {
      if (!replacements.has(whole)) replacements.set(whole, await this.#replacement(owner, host, Number(port)));
    }
    return text.replace(pattern, (whole) => replacements.get(whole) ?? whole);
  }

  async #replacement(owner: string, host: string, port: number): Promise<string> {
    if (host === '0.0.0.0') return `127.0.0.1:${await this.portOf(owner, port)}`;
    const target = await this.portOf(host, port);
    return `127.0.0.1:${await this.#detour({ from: owner, to: host, port, target })}`;
  }
}
