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

  /**
   * A text of a service with `NAME:PORT` and `0.0.0.0:PORT` made addresses of this machine; `port PORT` later on the line,
   * as HAProxy names the port of its checks, is of the same service.
   */
  async rewrite(text: string, owner: string): Promise<string> {
    const names = this.#services.join('|');
    const checks = new RegExp(`(?<![\\w.-])(${names})(:\\d{2,5} [^\\n]*\\bport )(\\d{2,5})(?!\\d)`, 'g');
    const checked = await replaceAll(text, checks, async ([, host = '', between = '', port]) => {
      return `${host}${between}${await this.portOf(host, Number(port))}`;
    });
    const addresses = new RegExp(`(?<![\\w.-])(0\\.0\\.0\\.0|${names}):(\\d{2,5})(?!\\d)`, 'g');
    return replaceAll(checked, addresses, ([, host = '', port]) => this.#replacement(owner, host, Number(port)));
  }

  async #replacement(owner: string, host: string, port: number): Promise<string> {
    if (host === '0.0.0.0') return `127.0.0.1:${await this.portOf(owner, port)}`;
    const target = await this.portOf(host, port);
    return `127.0.0.1:${await this.#detour({ from: owner, to: host, port, target })}`;
  }
}

async function replaceAll(
  text: string,
  pattern: RegExp,
  replacement: (match: RegExpExecArray) => Promise<string>,
): Promise<string> {
  let result = '';
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    result += text.slice(end, match.index) + (await replacement(match));
    end = match.index + match[0].length;
  }
  return result + text.slice(end);
}
