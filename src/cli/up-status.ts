import type { EmbeddedGrid } from '../compose/embedded-grid.ts';
import { formatByteSize } from '../lib/byte-size.ts';

/** What the grid does right now, in a line or two. */
export async function statusLines(grid: EmbeddedGrid, signal: AbortSignal): Promise<string[]> {
  const { activity } = grid;
  const jobs = await grid.countJobs(signal);
  const failed = activity.failed === 0 ? '' : `, ${activity.failed} cancelled or failed`;
  const actions = `actions: ${jobs.leased} running, ${jobs.queued} queued, ${activity.executed} done${failed}`;
  const { cacheHits, cacheLookups } = activity;
  const share = cacheLookups === 0 ? '' : ` (${Math.round((100 * cacheHits) / cacheLookups)} %)`;
  const last = [activity.lastFinished?.mnemonic, activity.lastFinished?.target].filter(Boolean).join(' ');
  return [
    last === '' ? actions : `${actions}; last: ${last}`,
    `cache: ${cacheHits} hits of ${cacheLookups}${share}; storage: ${storageOf(grid)}`,
  ];
}

function storageOf(grid: EmbeddedGrid): string {
  if (grid.maximumBytes === 0) return 'on other servers';
  return `${formatByteSize(grid.storedBytes())} of ${formatByteSize(grid.maximumBytes)}`;
}

/** How to use the grid: endpoint, and flags that can be pasted. */
export function usage(
  { port, consolePort, isEncrypted }: Pick<EmbeddedGrid, 'port' | 'consolePort' | 'isEncrypted'>,
  instance: string,
): string {
  const endpoint = `${isEncrypted ? 'grpcs' : 'grpc'}://127.0.0.1:${port}`;
  const bazelInstance = instance === '' ? '' : ` --remote_instance_name=${instance}`;
  const reccInstance = instance === '' ? '' : ` RECC_INSTANCE=${instance}`;
  const recc = `  RECC:   RECC_SERVER=127.0.0.1:${port} RECC_FORCE_REMOTE=1${reccInstance} recc /usr/bin/gcc -c hello.c -o hello.o\n`;
  return `
Warren is up at ${endpoint}

  Bazel:  bazel build --remote_executor=${endpoint}${bazelInstance} //...
${isEncrypted ? '' : recc}  Cache alone, actions run by Bazel:  --remote_cache=${endpoint}
${isEncrypted ? ENCRYPTED : ''}${consolePort === undefined ? '' : `  Console, in a browser:  http://127.0.0.1:${consolePort}\n`}
Ctrl-C stops it and lets running actions finish; a second Ctrl-C stops it at once.
`;
}

const ENCRYPTED =
  "  It speaks TLS: --tls_certificate=FILE names the authority to trust, the host must be a name of the server's certificate.\n";
