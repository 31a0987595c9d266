import { DelayingProxy } from '../../test/support/delaying-proxy.ts';

/** A delaying proxy in a process of its own: `proxy-process.ts PORT MILLISECONDS`. */
const [targetPort, delayMilliseconds] = process.argv.slice(2).map(Number) as [number, number];
const port = await new DelayingProxy({ targetPort, delayMilliseconds }).listen();
console.log(`127.0.0.1:${port}`);
