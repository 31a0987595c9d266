import { parseYaml } from '../../../src/config/load-configuration.ts';

/** What of a service of docker-compose.yml matters without Docker. */
export interface ComposeService {
  readonly name: string;
  /** The program and its arguments, as they would run in the container. */
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Files (`source` begins with `./`) and named volumes that are seen at `target` in the container. */
  readonly mounts: ReadonlyArray<{ readonly source: string; readonly target: string }>;
  /** The names of those that must be ready before it. */
  readonly dependsOn: readonly string[];
  /** Ports of the container that the host can reach. */
  readonly publishedPorts: readonly number[];
  /** How long it may take to stop, in milliseconds. */
  readonly stopGrace: number;
}

interface RawService {
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, unknown>>;
  readonly volumes?: readonly string[];
  readonly depends_on?: Readonly<Record<string, unknown>>;
  readonly ports?: readonly string[];
  readonly stop_grace_period?: string;
}

/** What Docker waits where a service says nothing. */
const DEFAULT_STOP_GRACE_MS = 10_000;

/** The services of a compose file in an order in which they can start. @throws Error for what this does not understand. */
export function parseComposeFile(
  text: string,
  environment: Readonly<Record<string, string | undefined>>,
): ComposeService[] {
  const { services } = parseYaml('docker-compose.yml', text, { environment }) as {
    readonly services: Readonly<Record<string, RawService>>;
  };
  const parsed = new Map(Object.entries(services).map(([name, raw]) => [name, parseService(name, raw)]));
  const ordered: ComposeService[] = [];
  const visit = (service: ComposeService, path: readonly string[]) => {
    if (path.includes(service.name)) throw new Error(`services wait for one another: ${path.join(', ')}`);
    if (ordered.includes(service)) return;
    for (const name of service.dependsOn) {
      const needed = parsed.get(name);
      if (needed === undefined) throw new Error(`${service.name} depends on ${name}, which there is not`);
      visit(needed, [...path, service.name]);
    }
    ordered.push(service);
  };
  for (const service of parsed.values()) visit(service, []);
  return ordered;
}

function parseService(name: string, raw: RawService): ComposeService {
  if (raw.command === undefined) throw new Error(`${name} has no command`);
  return {
    name,
    command: raw.command,
    environment: Object.fromEntries(Object.entries(raw.environment ?? {}).map(([key, value]) => [key, String(value)])),
    mounts: (raw.volumes ?? []).map((volume) => {
      const [source = '', target = ''] = volume.split(':');
      return { source, target };
    }),
    dependsOn: Object.keys(raw.depends_on ?? {}),
    publishedPorts: (raw.ports ?? []).map((port) => Number(port.split(':').at(-1))),
    stopGrace: raw.stop_grace_period === undefined ? DEFAULT_STOP_GRACE_MS : seconds(raw.stop_grace_period) * 1_000,
  };
}

function seconds(text: string): number {
  const [, digits] = /^(\d+)s$/.exec(text) ?? [];
  if (digits === undefined) throw new Error(`stop_grace_period '${text}' is not in seconds`);
  return Number(digits);
}
