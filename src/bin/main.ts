import cluster from 'node:cluster';
import { MessageChannel } from 'node:worker_threads';
import { runProgram } from '../cli/program.ts';
import { SystemClock } from '../lib/clock.ts';
import { isMessage, type PeerProcess } from '../lib/peer-process.ts';

/** How long a command may take over its last words once it has been told to end at once. */
const LAST_WORDS_MS = 1_000;

const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

// The AWS SDK, where a store uses it, would print a notice about versions of Node into the log.
process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';

// Deprecations in libraries are for us and not for users: grpc-js names addresses to TLS as if they were host names.
process.noDeprecation = true;

const clock = new SystemClock();
const stop = new AbortController();
const force = new AbortController();

for (const [signal, exitCode] of Object.entries(SIGNALS)) {
  process.on(signal, () => {
    if (!stop.signal.aborted) stop.abort();
    // Terminals and service managers signal a whole group: the primary, which hears them too, says when to end at once.
    else if (cluster.isPrimary) endNow(exitCode);
  });
}

function endNow(exitCode: number): void {
  force.abort();
  process.exitCode = exitCode;
  clock.setTimer(LAST_WORDS_MS, () => process.exit(exitCode));
}

const primary: PeerProcess | undefined = cluster.isPrimary
  ? undefined
  : {
      send: (message) => void (process.connected && process.send?.(message)),
      onMessage: (listener) => void process.on('message', listener),
    };
primary?.onMessage((message) => {
  if (isMessage(message, 'stop')) stop.abort();
  else if (isMessage(message, 'force')) endNow(SIGNALS.SIGTERM);
});

// A reader that has had enough, as in `warren ... | head`, is no fault of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

// Timers of the clock keep no process alive; a command that waits to try again must not end with it.
const alive = new MessageChannel();
alive.port1.ref();

const exitCode = await runProgram(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  stdin: process.stdin,
  environment: process.env,
  clock,
  stop: stop.signal,
  force: force.signal,
  primary,
});

await flushed(process.stdout);
await flushed(process.stderr);
process.exit(force.signal.aborted ? process.exitCode : exitCode);

function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => stream.write('', () => resolve()));
}
