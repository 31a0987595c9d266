import { connect } from 'node:net';
import { Hono } from 'hono';
import { afterEach, expect, test } from 'vitest';
import { AddressInUseError } from '../lib/address-in-use-error.ts';
import { ConsoleServer } from './console-server.ts';

const signal = new AbortController().signal;
const servers: ConsoleServer[] = [];

afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop(AbortSignal.abort());
});

async function start(address = '127.0.0.1:0'): Promise<ConsoleServer> {
  const server = new ConsoleServer(
    address,
    new Hono().get('/healthz', (context) => context.text('alive')),
  );
  await server.start(signal);
  servers.push(server);
  return server;
}

/** The answer to a request as it stands. */
function answerTo(port: number, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(request));
    socket.on('data', (data: Buffer) => (answer += data.toString()));
    socket.once('error', reject);
    socket.once('close', () => resolve(answer));
  });
}

test('answers probes that name no host', async () => {
  const { port } = await start();
  expect(await answerTo(port, 'GET /healthz HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1\.1 200 OK/);
});

test('an address that is taken is named', async () => {
  const { port } = await start();
  await expect(start(`127.0.0.1:${port}`)).rejects.toThrow(AddressInUseError);
});

test('a stop does not wait for connections that are idle', async () => {
  const server = await start();
  await (await fetch(`http://127.0.0.1:${server.port}/healthz`)).text();
  await server.stop(signal);
  servers.splice(0);
  await expect(fetch(`http://127.0.0.1:${server.port}/healthz`)).rejects.toThrow('fetch failed');
});
