import { readdir, readFile } from 'node:fs/promises';

/** A process of this machine, told from a later one with the same id by its start time. */
export interface ProcessEntry {
  readonly pid: number;
  readonly parent: number;
  readonly startTime: string;
  readonly commandLine: readonly string[];
}

/** Every process that is not a zombie. */
export async function listProcesses(): Promise<ProcessEntry[]> {
  const entries = await Promise.all(
    (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map((name) => readProcess(Number(name))),
  );
  return entries.filter((entry) => entry !== undefined);
}

/** A process and all below it. */
export async function processTree(root: number): Promise<ProcessEntry[]> {
  const all = await listProcesses();
  const tree = all.filter((entry) => entry.pid === root);
  for (const member of tree) tree.push(...all.filter((entry) => entry.parent === member.pid));
  return tree;
}

/** Those of the given processes that still live. */
export async function survivors(of: readonly ProcessEntry[]): Promise<ProcessEntry[]> {
  const all = await listProcesses();
  return of.filter((each) => all.some((one) => one.pid === each.pid && one.startTime === each.startTime));
}

/** The processes whose command line has exactly this argument. */
export async function processesWithArgument(argument: string): Promise<ProcessEntry[]> {
  return (await listProcesses()).filter((entry) => entry.commandLine.includes(argument));
}

async function readProcess(pid: number): Promise<ProcessEntry | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    const commandLine = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0');
    // The name, in parentheses, may hold anything.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z') return undefined;
    return { pid, parent: Number(fields[1]), startTime: fields[19] ?? '', commandLine };
  } catch {
    return undefined;
  }
}
