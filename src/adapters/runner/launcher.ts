import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';

/**
 * A small process that starts others.
 *
 * Node starts a process by copying its own page tables, which takes milliseconds in a process of a hundred megabytes,
 * makes each page that it touches afterwards cost a fault, and holds up the event loop until the new process has begun.
 * Perl with ten megabytes does it in a third of a millisecond, and nobody waits.
 *
 * Orders come on standard input, each a number of bytes, a newline and so many bytes of NUL-separated fields; what
 * became of them goes to standard output, a line each. Every file is opened before the fork, so that a full disk is told
 * from a process that failed. 3 and 4 are kept taken, so that no file that is opened lies where it has to go.
 *
 * It ends when its standard input does, and with it (parent death signal) all that it started.
 */
const PROGRAM = String.raw`
use POSIX ();
sysopen(N, '/dev/null', 2) or exit 1;
POSIX::dup2(fileno(N), 4);
# What we inherited is no action's business.
if (opendir(D, '/proc/self/fd')) { my @all = readdir(D); closedir(D); for (@all) { POSIX::close($_) if /^\d+$/ && $_ > 4; } }
$SIG{CHLD} = sub { };
my (%ids, %pids, $input);
$input = '';

sub report { my $line = join(' ', @_) . "\n"; syswrite(STDOUT, $line) or exit 0; }

sub run {
  my ($id, $cwd, $out, $err, $order, $info, @argv) = @_;
  my $log = POSIX::O_WRONLY() | POSIX::O_CREAT() | POSIX::O_EXCL() | POSIX::O_APPEND();
  my ($o, $e, $r, $i);
  my $opened = sysopen($o, $out, $log, 0600) && sysopen($e, $err, $log, 0600) && sysopen($r, $order, 2)
    && ($info eq '' || sysopen($i, $info, $log, 0600));
  if (!$opened) { report('failed', $id, $! + 0); return; }
  my $pid = fork();
  if (!defined $pid) { report('failed', $id, $! + 0); return; }
  if (!$pid) {
    $SIG{CHLD} = 'DEFAULT';
    POSIX::setsid();
    $cwd eq '' or chdir($cwd) or POSIX::_exit(121);
    POSIX::dup2(fileno(N), 0);
    POSIX::dup2(fileno($o), 1);
    POSIX::dup2(fileno($e), 2);
    POSIX::dup2(fileno($r), 3);
    if (defined $i) { POSIX::dup2(fileno($i), 4); } else { POSIX::close(4); }
    exec {$argv[0]} @argv;
    POSIX::_exit(121);
  }
  $ids{$pid} = $id;
  $pids{$id} = $pid;
  report('started', $id, $pid);
}

for (;;) {
  my $ready = '';
  vec($ready, 0, 1) = 1;
  # A child that ends between the look and the wait does not wake it: hence the time.
  my $count = select($ready, undef, undef, %ids ? 0.02 : undef);
  while ((my $pid = waitpid(-1, POSIX::WNOHANG())) > 0) {
    my $id = delete $ids{$pid};
    next unless defined $id;
    delete $pids{$id};
    report('ended', $id, $? >> 8, $? & 127);
  }
  next unless $count > 0;
  sysread(STDIN, $input, 1 << 16, length($input)) or exit 0;
  while ($input =~ /^(\d+)\n/ && length($input) > $1 + length($1)) {
    my $length = $1;
    substr($input, 0, length($length) + 1, '');
    my ($verb, @fields) = split(/\0/, substr($input, 0, $length, ''), -1);
    if ($verb eq 'run') { run(@fields); }
    elsif (exists $pids{$fields[0]}) { kill($fields[1], $fields[2]); }
  }
}
`;

/** One process to start. */
export interface LaunchOrder {
  /** Program and arguments; the program by its absolute path. It gets an empty environment and a session of its own. */
  readonly commandLine: readonly string[];
  /** Where it starts; undefined for wherever the launcher is. */
  readonly cwd: string | undefined;
  /** Files that are made for its standard output and standard error. */
  readonly stdoutFile: string;
  readonly stderrFile: string;
  /** An existing file that it gets as descriptor 3, for reading and writing. */
  readonly orderFile: string;
  /** A file that is made and that it gets as descriptor 4; undefined for none. */
  readonly infoFile: string | undefined;
}

/** How a process ended: one of the two is set. */
export interface LaunchEnd {
  readonly exitCode: number | undefined;
  readonly signal: number | undefined;
}

/** A process that was started. */
export interface LaunchedProcess {
  readonly pid: number;
  /** Rejects when the launcher is lost, and the process with it. */
  readonly ended: Promise<LaunchEnd>;
  /** Sends a signal to a process of its tree. Does nothing once it has ended: its number may be another's by then. */
  kill(signal: 'SIGKILL' | 'SIGTERM', target: number): void;
}

interface Launch {
  readonly started: (pid: number) => void;
  readonly ended: (end: LaunchEnd) => void;
  readonly failed: (cause: Error) => void;
}

/** A process could not be started: the system's error number, as in `errno`. */
export class LaunchError extends Error {
  readonly errno: number;

  constructor(errno: number) {
    super(`the process could not be started (errno ${errno})`);
    this.name = 'LaunchError';
    this.errno = errno;
  }
}

/** Starts processes by way of a small one. It comes with the first use, again after it was lost, and goes with ours. */
export class Launcher {
  readonly #perl: string;
  readonly #launches = new Map<string, Launch>();
  #process: ChildProcess | undefined;
  #count = 0;

  /** @param perl absolute path of Perl. */
  constructor(perl: string) {
    this.#perl = perl;
  }

  /** @throws LaunchError when a file or the process can't be made; Error when the launcher itself is lost. */
  launch(order: LaunchOrder): Promise<LaunchedProcess> {
    this.#count += 1;
    const id = String(this.#count);
    const launcher = this.#process ?? this.#start();
    return new Promise((resolve, reject) => {
      let end: (end: LaunchEnd) => void;
      let lose: (cause: Error) => void = reject;
      const ended = new Promise<LaunchEnd>((resolveEnd, rejectEnd) => {
        end = resolveEnd;
        lose = rejectEnd;
      });
      // Whoever did not get the process has heard of it already.
      ended.catch(() => {});
      this.#launches.set(id, {
        started: (pid) =>
          resolve({
            pid,
            ended,
            kill: (signal, target) => {
              if (this.#launches.has(id)) send(launcher, ['kill', id, signal.slice(3), String(target)]);
            },
          }),
        ended: (how) => end(how),
        failed: (cause) => {
          reject(cause);
          lose(cause);
        },
      });
      setReferenced(launcher, true);
      const { commandLine, cwd = '', stdoutFile, stderrFile, orderFile, infoFile = '' } = order;
      send(launcher, ['run', id, cwd, stdoutFile, stderrFile, orderFile, infoFile, ...commandLine]);
    });
  }

  #start(): ChildProcess {
    const launcher = spawn(this.#perl, ['-e', PROGRAM], { env: {}, stdio: ['pipe', 'pipe', 'ignore'], detached: true });
    this.#process = launcher;
    const onLost = (how: string) => {
      if (this.#process !== launcher) return;
      this.#process = undefined;
      const launches = [...this.#launches.values()];
      this.#launches.clear();
      for (const { failed } of launches) failed(new Error(`the process that starts actions was lost: ${how}`));
    };
    // Said by its exit.
    launcher.stdin.on('error', () => {});
    launcher.once('error', (cause) => onLost(cause.message));
    launcher.once('exit', (code, signal) => onLost(signal ?? `exit code ${code}`));
    createInterface({ input: launcher.stdout }).on('line', (line) => this.#hear(launcher, line));
    return launcher;
  }

  #hear(launcher: ChildProcess, line: string): void {
    const [verb, id = '', ...numbers] = line.split(' ');
    const [first = 0, second = 0] = numbers.map(Number);
    const launch = this.#launches.get(id);
    if (verb === 'started') {
      launch?.started(first);
      return;
    }
    this.#launches.delete(id);
    if (this.#launches.size === 0) setReferenced(launcher, false);
    if (verb === 'failed') launch?.failed(new LaunchError(first));
    else launch?.ended(second === 0 ? { exitCode: first, signal: undefined } : { exitCode: undefined, signal: second });
  }
}

function send(launcher: ChildProcess, fields: readonly string[]): void {
  const order = Buffer.from(fields.join('\0'));
  launcher.stdin?.write(Buffer.concat([Buffer.from(`${order.byteLength}\n`), order]));
}

/** An idle launcher keeps no process of ours from ending. */
function setReferenced(launcher: ChildProcess, referenced: boolean): void {
  const verb = referenced ? 'ref' : 'unref';
  launcher[verb]();
  (launcher.stdin as Socket)[verb]();
  (launcher.stdout as Socket)[verb]();
}
