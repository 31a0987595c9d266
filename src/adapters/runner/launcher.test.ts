import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type LaunchError, Launcher, type LaunchOrder } from './launcher.ts';

const FILE_EXISTS = 17;

describe('the Launcher', () => {
  let folder: string;
  let launcher: Launcher;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'warren-launcher-'));
    launcher = new Launcher('/usr/bin/perl');
  });

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  function order(name: string, ...commandLine: string[]): LaunchOrder {
    const orderFile = join(folder, `${name}.order`);
    writeFileSync(orderFile, 'the order');
    const file = (kind: string) => join(folder, `${name}.${kind}`);
    return {
      commandLine,
      cwd: folder,
      stdoutFile: file('out'),
      stderrFile: file('err'),
      orderFile,
      infoFile: undefined,
    };
  }

  function printed(name: string): string {
    return readFileSync(join(folder, `${name}.out`), 'utf8');
  }

  it('gives a process its files, its folder, an empty environment and nothing of its own', async () => {
    const script = 'pwd; cat <&3; echo; env; ls /proc/self/fd | tr "\\n" " "';
    const { ended } = await launcher.launch(order('a', '/bin/sh', '-c', script));
    expect(await ended).toEqual({ exitCode: 0, signal: undefined });
    // The last descriptor is that of ls itself, on the folder.
    expect(printed('a').split('\n')).toEqual([folder, 'the order', `PWD=${folder}`, '0 1 2 3 4 ']);
  });

  it('runs many at once, and tells their ends apart', async () => {
    const codes = Array.from({ length: 20 }, (_, index) => index);
    const processes = await Promise.all(
      codes.map((code) => launcher.launch(order(`p${code}`, '/bin/sh', '-c', `exit ${code}`))),
    );
    expect(await Promise.all(processes.map(async ({ ended }) => (await ended).exitCode))).toEqual(codes);
  });

  it('sends signals while the process lives', async () => {
    const process = await launcher.launch(order('a', '/bin/sleep', '1000'));
    process.kill('SIGTERM', process.pid);
    expect(await process.ended).toEqual({ exitCode: undefined, signal: 15 });
    process.kill('SIGKILL', process.pid);
    expect(await (await launcher.launch(order('b', '/bin/true'))).ended).toMatchObject({ exitCode: 0 });
  });

  it("tells the system's error where a file can't be made, and starts nothing", async () => {
    const first = order('a', '/bin/true');
    await (await launcher.launch(first)).ended;
    const failure: unknown = await launcher.launch(first).catch((thrown: unknown) => thrown);
    expect((failure as LaunchError).errno).toBe(FILE_EXISTS);
  });

  it('ends with an exit code of its own where there is no such program', async () => {
    expect(await (await launcher.launch(order('a', '/no/such/program'))).ended).toMatchObject({ exitCode: 121 });
  });

  it('fails what runs when it is lost, and is there again for the next', async () => {
    const running = await launcher.launch(order('a', '/bin/sleep', '1000'));
    const parent = Number(readFileSync(`/proc/${running.pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[1]);
    process.kill(parent, 'SIGKILL');
    await expect(running.ended).rejects.toThrow('was lost: SIGKILL');
    process.kill(running.pid, 'SIGKILL');
    expect(await (await launcher.launch(order('b', '/bin/true'))).ended).toMatchObject({ exitCode: 0 });
  });
});
