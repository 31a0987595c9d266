import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** An HTTP server of the test's own: what content is downloaded from. */
export interface OriginServer extends AsyncDisposable {
  /** `http://HOST:PORT`. */
  readonly url: string;
  readonly port: number;
  /** Paths asked for so far, in order. */
  readonly paths: readonly string[];
  /** The headers of the last request. */
  headers(): IncomingMessage['headers'];
  /** Says what is answered at a path; a text or bytes are content. */
  serve(path: string, answer: Answer | string | Uint8Array): string;
}

/** Starts it on a free port. What is not served is 404. @param host an address of this machine. */
export async function startOriginServer(host = '127.0.0.1'): Promise<OriginServer> {
  const answers = new Map<string, Answer>();
  const paths: string[] = [];
  let headers: IncomingMessage['headers'] = {};
  const server = createServer((request, response) => {
    const path = request.url ?? '';
    paths.push(path);
    headers = request.headers;
    const answer = answers.get(path.split('?')[0] ?? '');
    if (answer === undefined) response.writeHead(404).end('no such thing');
    else answer(request, response);
  });
  server.listen(0, host);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const url = `http://${host}:${port}`;
  return {
    url,
    port,
    paths,
    headers: () => headers,
    serve(path, answer) {
      answers.set(path, typeof answer === 'function' ? answer : (_, response) => response.end(answer));
      return url + path;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
