/**
 * `./dev grid`: the farm of docker-compose.yml as processes of this machine, until Ctrl-C.
 *
 * Prints the endpoint and the flags for clients. A second Ctrl-C ends everything at once.
 */
import { ComposeGrid } from '../test/support/compose-grid/compose-grid.ts';

const stop = new AbortController();
const stopped = new Promise<void>((resolve) => stop.signal.addEventListener('abort', () => resolve()));
process.on('SIGINT', () => stop.abort());
process.on('SIGTERM', () => stop.abort());

const say = (text: string) => process.stderr.write(`grid: ${text}\n`);

const grid = await ComposeGrid.start({ onProgress: say }, stop.signal).catch((cause: unknown) => {
  if (!stop.signal.aborted) throw cause;
  say('stopped before it was up');
  process.exit(130);
});

const endpoint = `grpc://${await grid.endpoint()}`;
const consolePort = await grid.service('execution-1').portOf(8080);
const management = await grid.service('rabbitmq').portOf(15_672);
process.stdout.write(`
The grid is up at ${endpoint}

  Bazel:     bazel build --remote_executor=${endpoint} //...
  warren:    ./warren exec --remote ${endpoint} -- uname -a
  Console:   http://127.0.0.1:${consolePort}
  RabbitMQ:  http://127.0.0.1:${management} (user warren, password ${process.env['RABBITMQ_PASSWORD'] ?? 'warren'})

${[...grid.services.values()].map(({ name, pid }) => `  ${name.padEnd(14)} pid ${pid}`).join('\n')}

Ctrl-C stops it in good order; a second Ctrl-C stops it at once.
`);
await stopped;
process.on('SIGINT', () => void grid[Symbol.asyncDispose]().then(() => process.exit(130)));
await grid.stop();
await grid[Symbol.asyncDispose]();
