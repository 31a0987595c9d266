import type { AssetKind, AssetQualifier } from './asset.ts';
import { invalidArgument } from './status-error.ts';
import { type IntegrityChecksum, parseIntegrity } from './subresource-integrity.ts';

/** A header for the origin, its name in lower case. */
export type OriginHeader = readonly [name: string, value: string];

const CHECKSUM = 'checksum.sri';
const RESOURCE_TYPE = 'resource_type';
/** Of the lexicon of the Remote Asset API: a folder within the resource, by its relative path. */
const DIRECTORY = 'directory';
/** What Bazel keeps downloads of one URL apart by; it means nothing to origins. */
const CANONICAL_ID = 'bazel.canonical_id';
/** Bazel before version 7: JSON of `{URL: {HEADER: VALUE}}`. */
const AUTH_HEADERS = 'bazel.auth_headers';
/** `http_header:NAME`: a header for all URIs. */
const HEADER = 'http_header:';
/** `http_header_url:INDEX:NAME`: a header for the URI of this place, from 0 on. */
const HEADER_OF_URI = /^http_header_url:(\d{1,4}):(.*)$/s;

const MAX_QUALIFIERS = 128;
const MAX_NAME_LENGTH = 512;
const MAX_VALUE_LENGTH = 16 * 1024;

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** Visible ASCII, blanks and what lies beyond; no line may end in it. */
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Headers that steer the connection or the form of the answer: those are ours. */
const OWN_HEADERS: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'keep-alive',
  'proxy-authorization',
  'proxy-connection',
  'range',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** A qualifier of a header, read. */
interface HeaderQualifier {
  /** For which URI; undefined for all. */
  readonly of: { readonly index: number } | { readonly uri: string } | undefined;
  readonly header: OriginHeader;
}

/** The qualifiers of one request, sorted by what they mean. */
export class AssetQualifiers {
  /** The content must have one of these; undefined where no checksum is asked for. */
  readonly checksums: readonly IntegrityChecksum[] | undefined;
  /** A media type, in lower case. */
  readonly resourceType: string | undefined;
  /** Those that clients may be told again: all but headers. */
  readonly shown: readonly AssetQualifier[];
  readonly #headers: readonly HeaderQualifier[];
  readonly #directory: string | undefined;

  /** @throws INVALID_ARGUMENT when there are too many, one comes twice or is malformed. */
  constructor(qualifiers: readonly AssetQualifier[]) {
    checkForm(qualifiers);
    const value = (name: string) => qualifiers.find((each) => each.name === name)?.value;
    const checksum = value(CHECKSUM);
    this.checksums = checksum === undefined ? undefined : parseIntegrity(checksum, `qualifiers: ${CHECKSUM}`);
    this.resourceType = value(RESOURCE_TYPE)?.trim().toLowerCase();
    this.#headers = qualifiers.flatMap(headersOf);
    this.shown = qualifiers.filter(({ name }) => !isHeader(name));
    this.#directory = value(DIRECTORY);
  }

  /** Names of those that content from an origin can't be held against: a folder within it is for archives alone. */
  beyondOriginsOf(kind: AssetKind): readonly string[] {
    return this.shown
      .filter((each) => each.name !== CHECKSUM && each.name !== CANONICAL_ID && !isFileType(each))
      .map(({ name }) => name)
      .filter((name) => kind === 'blob' || name !== DIRECTORY);
  }

  /**
   * The folder within an archive that is wanted, by its segments; none for all of it.
   *
   * @throws INVALID_ARGUMENT when it is no relative path in its shortest form: pushes take it as it is.
   */
  folder(): readonly string[] {
    const segments = this.#directory?.split('/') ?? [];
    if (segments.some((each) => each === '' || each === '.' || each === '..')) {
      throw invalidArgument(`qualifiers: ${DIRECTORY}`, 'is no relative path without empty names, "." and ".."');
    }
    return segments;
  }

  /**
   * What content of the URI at this place is known by. Headers are part of it, since what an origin gave to one client's
   * credentials is not for another's; unless a checksum says which content it is.
   */
  identityOf(uri: string, index: number): readonly AssetQualifier[] {
    if (this.checksums !== undefined) return this.shown;
    const headers = this.headersFor(uri, index);
    return [...this.shown, ...headers.map(([name, value]) => ({ name: `${HEADER}${name}`, value }))];
  }

  /** The headers for the URI at this place; its own before those for all. */
  headersFor(uri: string, index: number): readonly OriginHeader[] {
    const headers = new Map<string, string>();
    const add = ({ header: [name, value] }: HeaderQualifier) => headers.set(name, value);
    this.#headers.filter(({ of }) => of === undefined).forEach(add);
    this.#headers
      .filter(({ of }) => of !== undefined && ('index' in of ? of.index === index : of.uri === uri))
      .forEach(add);
    return [...headers];
  }
}

function checkForm(qualifiers: readonly AssetQualifier[]): void {
  if (qualifiers.length > MAX_QUALIFIERS) {
    throw invalidArgument('qualifiers', `${qualifiers.length} of them, ${MAX_QUALIFIERS} at most`);
  }
  const names = new Set<string>();
  for (const [index, { name, value }] of qualifiers.entries()) {
    const field = `qualifiers[${index}]`;
    if (name === '') throw invalidArgument(`${field}.name`, 'is empty');
    if (name.length > MAX_NAME_LENGTH) {
      throw invalidArgument(`${field}.name`, `longer than ${MAX_NAME_LENGTH} characters`);
    }
    if (value.length > MAX_VALUE_LENGTH) {
      throw invalidArgument(`${field}.value`, `longer than ${MAX_VALUE_LENGTH} characters`);
    }
    if (names.has(name)) throw invalidArgument(`${field}.name`, `the name ${JSON.stringify(name)} comes twice`);
    names.add(name);
  }
}

function isHeader(name: string): boolean {
  return name.startsWith(HEADER) || name === AUTH_HEADERS || HEADER_OF_URI.test(name);
}

/** Whether it asks for a file as it lies at the origin: a media type that is no repository's. */
function isFileType({ name, value }: AssetQualifier): boolean {
  return (
    name === RESOURCE_TYPE && /^[\w.+-]+\/[\w.+-]+$/.test(value.trim()) && !/^application\/x-git$/i.test(value.trim())
  );
}

function headersOf({ name, value }: AssetQualifier): HeaderQualifier[] {
  if (name === AUTH_HEADERS) return authHeaders(value);
  const [, index, ofUri] = HEADER_OF_URI.exec(name) ?? [];
  if (ofUri !== undefined) return one({ index: Number(index) }, ofUri, value, name);
  return name.startsWith(HEADER) ? one(undefined, name.slice(HEADER.length), value, name) : [];
}

function one(of: HeaderQualifier['of'], name: string, value: string, qualifier: string): HeaderQualifier[] {
  const field = `qualifiers: ${qualifier}`;
  if (!TOKEN.test(name)) throw invalidArgument(field, 'names no HTTP header');
  if (!HEADER_VALUE.test(value)) throw invalidArgument(field, 'its value holds what no HTTP header may');
  const header = name.toLowerCase();
  if (OWN_HEADERS.has(header)) throw invalidArgument(field, 'this header is not for clients to set');
  // Origins are asked for the bytes as they are: others would not have the checksum.
  return header === 'accept-encoding' ? [] : [{ of, header: [header, value.trim()] }];
}

function authHeaders(json: string): HeaderQualifier[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch {
    throw invalidArgument(`qualifiers: ${AUTH_HEADERS}`, 'is no JSON');
  }
  return entriesOf(parsed).flatMap(([uri, headers]) =>
    entriesOf(headers).flatMap(([name, value]) => {
      if (typeof value !== 'string') throw malformedAuthHeaders();
      return one({ uri }, name, value, AUTH_HEADERS);
    }),
  );
}

function entriesOf(value: unknown): Array<[string, unknown]> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformedAuthHeaders();
  return Object.entries(value);
}

function malformedAuthHeaders() {
  return invalidArgument(`qualifiers: ${AUTH_HEADERS}`, 'is written {"URI": {"HEADER": "VALUE"}}');
}
