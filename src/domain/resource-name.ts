import { type Compressor, compressorBySegment } from './compressor.ts';
import { createDigest, type Digest } from './digest.ts';
import { DIGEST_FUNCTIONS, digestFunctionBySegment, inferDigestFunction } from './digest-function.ts';
import { checkInstanceName } from './instance-name.ts';
import { invalidArgument, type StatusError } from './status-error.ts';

/** A blob to read: `{instance/}blobs/...` or `{instance/}compressed-blobs/{compressor}/...`. */
export interface BlobName {
  readonly kind: 'blob';
  readonly instanceName: string;
  readonly compressor: Compressor;
  /** Of the content as it is when it is not compressed. */
  readonly digest: Digest;
}

/** A blob to write: `{instance/}uploads/{uuid}/blobs/...` or `{instance/}uploads/{uuid}/compressed-blobs/...`. */
export interface UploadName {
  readonly kind: 'upload';
  readonly instanceName: string;
  /** In lower case. */
  readonly uuid: string;
  readonly compressor: Compressor;
  readonly digest: Digest;
  /** What a client added behind the size, without the slash before it. It has no meaning here. */
  readonly metadata: string | undefined;
}

/** A log that grows: `{parent/}logStreams/{id}`, with a secret behind it in the name to write to. */
export interface LogStreamName {
  readonly kind: 'log-stream';
  /** The parent of the log stream. */
  readonly instanceName: string;
  readonly id: string;
  readonly writeToken: string | undefined;
}

/** The greatest length of a resource name in UTF-16 units. */
const MAX_RESOURCE_NAME_LENGTH = 4_096;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const DECIMAL = /^(?:0|[1-9][0-9]{0,15})$/;
const LOG_STREAM_PART = /^[A-Za-z0-9._-]{1,200}$/;

/** The digest functions whose names are reserved for a segment, whether they are offered here or not. */
const KNOWN_FUNCTION_SEGMENTS: ReadonlySet<string> = new Set(
  'sha256 sha1 md5 vso sha384 sha512 murmur3 sha256tree blake3 gitsha1'.split(' '),
);

/**
 * The name in ByteStream.ReadRequest.
 *
 * @throws INVALID_ARGUMENT that says which part is wrong.
 */
export function parseReadName(resourceName: string, field = 'resource_name'): BlobName | LogStreamName {
  const segments = split(resourceName, field);
  const at = segments.findIndex((each) => each === 'blobs' || each === 'compressed-blobs');
  const uploads = segments.indexOf('uploads');
  if (uploads >= 0 && (at < 0 || uploads < at)) throw broken(field, 'names an upload, which can only be written');
  if (at < 0) {
    return parseLogStream(segments, field) ?? fail(field, "has no segment 'blobs' or 'compressed-blobs'");
  }
  const instanceName = instanceOf(segments, at, field);
  const { compressor, digest, rest } = parseBlob(segments.slice(at), field);
  if (rest.length > 0) throw broken(field, `has ${rest.length} segments too many behind the size`);
  return { kind: 'blob', instanceName, compressor, digest };
}

/**
 * The name in ByteStream.WriteRequest and QueryWriteStatusRequest.
 *
 * @throws INVALID_ARGUMENT that says which part is wrong.
 */
export function parseWriteName(resourceName: string, field = 'resource_name'): UploadName | LogStreamName {
  const segments = split(resourceName, field);
  const at = segments.indexOf('uploads');
  const blobs = segments.findIndex((each) => each === 'blobs' || each === 'compressed-blobs');
  if (at < 0) {
    if (blobs >= 0) throw broken(field, "is for reading; a name to write to has 'uploads' and a UUID");
    return parseLogStream(segments, field) ?? fail(field, "has no segment 'uploads'");
  }
  const instanceName = instanceOf(segments, at, field);
  const uuid = segments[at + 1] ?? '';
  if (!UUID.test(uuid)) throw broken(field, "'uploads' must be followed by a UUID");
  const { compressor, digest, rest } = parseBlob(segments.slice(at + 2), field);
  const metadata = rest.length === 0 ? undefined : rest.join('/');
  return { kind: 'upload', instanceName, uuid: uuid.toLowerCase(), compressor, digest, metadata };
}

/** The name as clients write it. */
export function formatBlobName(name: Omit<BlobName, 'kind'>): string {
  return join(name.instanceName, blobPath(name.compressor, name.digest));
}

/** The name as clients write it. */
export function formatUploadName(name: Omit<UploadName, 'kind'>): string {
  const path = `uploads/${name.uuid}/${blobPath(name.compressor, name.digest)}`;
  return join(name.instanceName, name.metadata === undefined ? path : `${path}/${name.metadata}`);
}

/** The name to read, or to write where it has a token. */
export function formatLogStreamName(name: Omit<LogStreamName, 'kind'>): string {
  const path = `logStreams/${name.id}`;
  return join(name.instanceName, name.writeToken === undefined ? path : `${path}/${name.writeToken}`);
}

function split(resourceName: string, field: string): string[] {
  if (resourceName === '') throw broken(field, 'is empty');
  if (resourceName.length > MAX_RESOURCE_NAME_LENGTH) {
    throw broken(field, `is longer than ${MAX_RESOURCE_NAME_LENGTH} characters`);
  }
  if (resourceName.startsWith('/')) throw broken(field, 'begins with a slash');
  return resourceName.split('/');
}

function instanceOf(segments: readonly string[], end: number, field: string): string {
  return checkInstanceName(segments.slice(0, end).join('/'), `${field}: instance name`);
}

/** Reads from `blobs` or `compressed-blobs` on. */
function parseBlob(
  segments: readonly string[],
  field: string,
): { compressor: Compressor; digest: Digest; rest: readonly string[] } {
  const [keyword, ...path] = segments;
  if (keyword !== 'blobs' && keyword !== 'compressed-blobs') {
    throw broken(field, "the UUID must be followed by 'blobs' or 'compressed-blobs'");
  }
  let compressor: Compressor = 'identity';
  if (keyword === 'compressed-blobs') {
    const segment = path.shift() ?? '';
    compressor = compressorBySegment(segment) ?? fail(field, `'${shorten(segment)}' is no compressor`);
  }
  let digestFunction = digestFunctionBySegment(path[0] ?? '');
  if (digestFunction !== undefined) path.shift();
  const [hash, size, ...rest] = path;
  if (hash === undefined || size === undefined) throw broken(field, 'ends before hash and size');
  if (digestFunction === undefined) {
    if (KNOWN_FUNCTION_SEGMENTS.has(hash)) throw broken(field, `digest function ${hash} is not offered; ${offered()}`);
    digestFunction = inferDigestFunction(hash.length);
    if (digestFunction === undefined) {
      throw broken(field, `'${shorten(hash)}' is no hash of a digest function without a segment; ${offered()}`);
    }
  }
  if (!DECIMAL.test(size)) throw broken(field, `'${shorten(size)}' is no size`);
  return { compressor, digest: createDigest(digestFunction, hash, Number(size), field), rest };
}

function parseLogStream(segments: readonly string[], field: string): LogStreamName | undefined {
  const at = segments.lastIndexOf('logStreams');
  if (at < 0) return undefined;
  const [id, writeToken, ...rest] = segments.slice(at + 1);
  if (id === undefined || !LOG_STREAM_PART.test(id)) throw broken(field, "'logStreams' must be followed by an id");
  if (writeToken !== undefined && !LOG_STREAM_PART.test(writeToken)) throw broken(field, 'has a malformed write token');
  if (rest.length > 0) throw broken(field, `has ${rest.length} segments too many behind the write token`);
  return { kind: 'log-stream', instanceName: instanceOf(segments, at, field), id, writeToken };
}

function blobPath(compressor: Compressor, { digestFunction, hash, sizeBytes }: Digest): string {
  const keyword = compressor === 'identity' ? 'blobs' : `compressed-blobs/${compressor}`;
  const segment = digestFunction.resourceNameSegment;
  return `${keyword}/${segment === undefined ? '' : `${segment}/`}${hash}/${sizeBytes}`;
}

function join(instanceName: string, path: string): string {
  return instanceName === '' ? path : `${instanceName}/${path}`;
}

function broken(field: string, description: string): StatusError {
  return invalidArgument(field, description);
}

function fail(field: string, description: string): never {
  throw broken(field, description);
}

function shorten(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}...` : text;
}

function offered(): string {
  return `offered are ${DIGEST_FUNCTIONS.map((each) => each.name).join(', ')}`;
}
