import { invalidArgument } from '../../domain/status-error.ts';

/** Where a server listens, as grpc-js wants it. */
export interface Endpoint {
  /** The target in gRPC's own name syntax: `dns:host:port` or `unix:path`. */
  readonly target: string;
  readonly tls: boolean;
  /** How people write it, for messages. */
  readonly displayName: string;
}

const SCHEMES: Readonly<Record<string, { readonly tls: boolean; readonly defaultPort?: number }>> = {
  grpc: { tls: false },
  grpcs: { tls: true, defaultPort: 443 },
  http: { tls: false, defaultPort: 80 },
  https: { tls: true, defaultPort: 443 },
};

/**
 * Reads an address as the clients of these APIs write it: `grpc://host:port`, `grpcs://host:port`, `http(s)://host:port`,
 * `unix:path`, `unix:///path` or plain `host:port`, which means no TLS. IPv6 addresses stand in brackets.
 *
 * @param field what the address belongs to, for the message.
 * @throws INVALID_ARGUMENT where it is none of these.
 */
export function parseEndpoint(text: string, field = 'remote'): Endpoint {
  const trimmed = text.trim();
  if (trimmed.startsWith('unix:')) {
    const path = trimmed.slice('unix:'.length).replace(/^\/\/(?=\/)/, '');
    if (path === '' || path.startsWith('//')) throw bad(field, text, 'names no socket');
    return { target: `unix:${path}`, tls: false, displayName: trimmed };
  }
  const [, scheme = 'grpc', authority = ''] = /^(?:([a-z]+):\/\/)?(.*?)\/?$/.exec(trimmed) ?? [];
  const kind = SCHEMES[scheme];
  if (kind === undefined) throw bad(field, text, `has the unknown scheme '${scheme}'`);
  const [, host, port = kind.defaultPort?.toString()] =
    /^(\[[0-9a-fA-F:.%]+\]|[^\s:/?#@[\]]+)(?::(\d{1,5}))?$/.exec(authority) ?? [];
  if (host === undefined) throw bad(field, text, 'is no address');
  if (port === undefined) throw bad(field, text, 'names no port');
  if (Number(port) < 1 || Number(port) > 65_535) throw bad(field, text, `names port ${port}`);
  return { target: `dns:${host}:${port}`, tls: kind.tls, displayName: `${scheme}://${host}:${port}` };
}

function bad(field: string, text: string, what: string) {
  return invalidArgument(field, `'${text}' ${what}; write grpc://HOST:PORT, grpcs://HOST:PORT or unix:PATH`);
}
