import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A terminal of the test's own (tmux) that runs one program: what a person would see, and keys that a person presses. */
export class Terminal {
  readonly #socket = `warren-test-${randomUUID()}`;

  private constructor() {}

  /** Runs a command line of sh; once it has ended, `ended with CODE` stands below what it printed. */
  static async start(
    commandLine: string,
    size: { readonly columns: number; readonly rows: number },
  ): Promise<Terminal> {
    const terminal = new Terminal();
    const { columns, rows } = size;
    const shell = `${commandLine}; echo "ended with $?"; exec sleep 600`;
    await terminal.#tmux('-f', '/dev/null', 'new-session', '-d', '-x', `${columns}`, '-y', `${rows}`, shell);
    return terminal;
  }

  /** The rows that are in sight, without the blanks to their right and the empty ones at the foot. */
  async rows(): Promise<string[]> {
    const { stdout } = await this.#tmux('capture-pane', '-p');
    return stdout.trimEnd().split('\n');
  }

  async text(): Promise<string> {
    return (await this.rows()).join('\n');
  }

  /** @param key as tmux names it, such as `C-c`. */
  async press(key: string): Promise<void> {
    await this.#tmux('send-keys', key);
  }

  async resize(columns: number, rows: number): Promise<void> {
    await this.#tmux('resize-window', '-x', `${columns}`, '-y', `${rows}`);
  }

  /** Hangs up; what still runs in it hears SIGHUP. */
  async close(): Promise<void> {
    await this.#tmux('kill-server').catch(() => {});
  }

  #tmux(...args: readonly string[]): Promise<{ readonly stdout: string }> {
    return run('tmux', ['-L', this.#socket, ...args]);
  }
}
