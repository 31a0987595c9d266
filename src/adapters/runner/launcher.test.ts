import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type LaunchError, Launcher, type LaunchOrder } from './launcher.ts';

const NO_SUCH_FILE = 2;
const FILE_EXISTS = 17;
const TOO_MANY_LINKS = 40;

describe('the Launcher', () => {
  let folder: string;
  let launcher: Launcher;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'warren-launcher-'));
    launcher = new Launcher('/usr/bin/perl', process.arch);
  });

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  function order(name: string, ...commandLine: string[]): LaunchOrder {
    const file = (kind: string) => join(folder, `${name}.${kind}`);
    return {
      commandLine,
      cwd: folder,
      stdoutFile: file('out'),
      stderrFile: file('err'),
      order: Buffer.from('the order'),
      wantsInfo: false,
    };
  }

  function printed(name: string): string {
    return readFileSync(join(folder, `${name}.out`), 'utf8');
  }

  it('gives a process its files, its folder, an empty environment and nothing of its own', async () => {
    const script = 'pwd; cat <&3; echo; env; ls /proc/self/fd | tr "\\n" " "';
    const { ended } = await launcher.launch(order('a', '/bin/sh', '-c', script));
    expect(await ended).toEqual({ exitCode: 0, signal: undefined, report: '' });
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
    expect(await process.ended).toEqual({ exitCode: undefined, signal: 15, report: '' });
    process.kill('SIGKILL', process.pid);
    expect(await (await launcher.launch(order('b', '/bin/true'))).ended).toMatchObject({ exitCode: 0 });
  });

  it.each([
    ['a line of a word and numbers', 'exited 0 17 -1', 'exited 0 17 -1'],
    ['nothing that it left there', 'what it was told\nexited 0', ''],
    ['nothing that is not whole', 'exited 0 1', ''],
  ])('gives back of descriptor 3 %s', async (_, text, report) => {
    const end = text === report ? '\\n' : '';
    const script = `printf '${text.replace('\n', '\\n')}${end}' 1<>/dev/fd/3 >&3`;
    const { ended } = await launcher.launch({ ...order('a', '/bin/sh', '-c', script), order: Buffer.alloc(0) });
    expect(await ended).toMatchObject({ exitCode: 0, report });
  });

  it('hands over an order of megabytes as it is', async () => {
    const large = Buffer.alloc(5 << 20, 'a field\0 and a line\n');
    const script = 'exec cat <&3';
    const { ended } = await launcher.launch({ ...order('a', '/bin/sh', '-c', script), order: large });
    expect(await ended).toMatchObject({ exitCode: 0 });
    expect(readFileSync(join(folder, 'a.out')).equals(large)).toBe(true);
  });

  it('lets what is written into descriptor 4 be read while the process lives', async () => {
    const script = 'echo told >&4; echo done; exec sleep 1000';
    const process = await launcher.launch({ ...order('a', '/bin/sh', '-c', script), wantsInfo: true });
    await expect.poll(() => printed('a')).toBe('done\n');
    expect(readFileSync(process.infoFile ?? '', 'utf8')).toBe('told\n');
    process.kill('SIGKILL', process.pid);
    await process.ended;
  });

  it('takes files that are there when they are empty', async () => {
    writeFileSync(join(folder, 'a.out'), '');
    const { ended } = await launcher.launch(order('a', '/bin/sh', '-c', 'echo printed'));
    expect(await ended).toMatchObject({ exitCode: 0 });
    expect(printed('a')).toBe('printed\n');
  });

  it.each([
    ['in no folder', 'none/a', undefined, NO_SUCH_FILE],
    ['that holds something', 'a', () => writeFileSync(join(folder, 'a.out'), 'foreign'), FILE_EXISTS],
    ['that is a link', 'a', () => symlinkSync('elsewhere', join(folder, 'a.out')), TOO_MANY_LINKS],
  ])("tells the system's error for a file %s, and starts nothing", async (_, name, prepare, errno) => {
    prepare?.();
    const failure: unknown = await launcher.launch(order(name, '/bin/true')).catch((thrown: unknown) => thrown);
    expect((failure as LaunchError).errno).toBe(errno);
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
