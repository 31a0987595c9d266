import { connect, createServer } from 'node:net';

/** Below the ports that the system gives to outgoing connections, which might take one before its server listens. */
const LOWEST = 10_000;
const HIGHEST = 32_000;

/** Test files that run at the same time choose from parts of their own: a port is free until its server listens. */
const PARTS = 4;
const PART_SIZE = Math.floor((HIGHEST - LOWEST) / PARTS);
const part = Number(process.env['VITEST_POOL_ID'] ?? 0) % PARTS;

/** For the same reason none is given twice, but after so many others that what was to listen does. */
const given = new Set<number>();

/** A TCP port of 127.0.0.1 that was free a moment ago, for servers that can't choose one themselves. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = LOWEST + part * PART_SIZE + Math.floor(Math.random() * PART_SIZE);
    if (given.has(port)) continue;
    if (given.size >= PART_SIZE / 2) given.clear();
    given.add(port);
    if (await canListen(port)) return port;
  }
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/** `count` different free ports. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) ports.push(await freePort());
  return ports;
}

/** Whether somebody listens on a TCP port of 127.0.0.1. */
export function acceptsConnections(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
