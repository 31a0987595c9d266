import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** Every script, by the name of its file in `lua/`. */
const SCRIPT_NAMES = [
  'submit',
  'join',
  'watch',
  'unwatch',
  'lease',
  'renew',
  'complete',
  'give-back',
  'cancel-operation',
  'delete-operation',
  'cancel',
  'offer-lost',
  'fit',
  'tick',
  'settle',
  'refresh-watches',
  'peek-due',
  'claim-due',
  'look-at-lines',
  'get',
  'get-all',
  'get-by-operation',
  'list-ids',
  'count',
  'waiting',
  'glance',
  'session-create',
  'session-touch',
  'session-extend',
  'session-leases',
  'session-end',
  'session-expire',
  'set-field',
  'delete-field',
  'queue-add',
  'queue-pause',
  'queue-handed-out',
  'queue-list',
  'asset-put',
  'asset-get',
  'asset-delete',
  'log-create',
  'log-append',
  'log-read',
  'log-follow',
  'log-readers',
  'share-secret',
  'blob-touch',
  'blob-reserve',
  'blob-commit',
  'blob-drop',
  'blob-claim',
  'blob-restore',
  'blob-reclaim',
  'blob-oldest',
  'blob-scan',
  'blob-totals',
  'upload-append',
  'upload-size',
  'upload-piece',
  'upload-drop',
  'upload-count',
] as const;

export type ScriptName = (typeof SCRIPT_NAMES)[number];

/** Those that take in something new. The rest go on when memory is full, so that what was taken in comes to its end. */
const GROWING: ReadonlySet<ScriptName> = new Set([
  'submit',
  'join',
  'session-create',
  'queue-add',
  'queue-pause',
  'asset-put',
  'log-create',
  'log-append',
  'blob-reserve',
  'upload-append',
]);

/** From this version on a script can say that it may run when memory is full. */
const FLAGS_SINCE = 7;

/** A script as Redis takes it. */
export interface Script {
  readonly source: string;
  /** What Redis knows a script by that it has seen before. */
  readonly sha: string;
}

const FOLDER = new URL('./lua/', import.meta.url);
const INCLUDE = /^--- include (\S+)$/gm;

/**
 * Reads the scripts, and puts in the fragments that they include, each once.
 *
 * @param serverVersion the major version of the oldest server that they are for.
 * @throws when a file is missing: the build must carry `lua/` along.
 */
export function loadScripts(serverVersion: number): ReadonlyMap<ScriptName, Script> {
  return new Map(SCRIPT_NAMES.map((name) => [name, loadScript(name, serverVersion)]));
}

function loadScript(name: ScriptName, serverVersion: number): Script {
  const flags = serverVersion >= FLAGS_SINCE && !GROWING.has(name) ? '#!lua flags=allow-oom\n' : '';
  const source = flags + withFragments(readFileSync(new URL(`${name}.lua`, FOLDER), 'utf8'), new Set());
  return { source, sha: createHash('sha1').update(source).digest('hex') };
}

function withFragments(source: string, included: Set<string>): string {
  return source.replace(INCLUDE, (_line, fragment: string) => {
    if (included.has(fragment)) return '';
    included.add(fragment);
    return withFragments(readFileSync(new URL(`fragments/${fragment}.lua`, FOLDER), 'utf8'), included);
  });
}
