import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { systemCallsOf } from './system-calls.ts';

/**
 * A small process that starts others.
 *
 * Node starts a process by copying its own page tables, which takes milliseconds in a process of a hundred megabytes,
 * makes each page that it touches afterwards cost a fault, and holds up the event loop until the new process has begun.
 * Perl with ten megabytes does it in a third of a millisecond, and nobody waits.
 *
 * Orders come on standard input: a line with the numbers of bytes of two parts, NUL-separated fields and what the process
 * gets as descriptor 3. What became of them goes to standard output, a line each. Descriptors 3 and 4 are files in memory,
 * so that a run makes no file beside the two that it prints into: to make one costs ext4 up to a millisecond while many are
 * removed. Every file is opened before the fork, so that a full disk is told from a process that failed. 3 and 4 are kept
 * taken, so that no file that is opened lies where it has to go.
 *
 * It ends when its standard input does, and with it (parent death signal) all that it started.
 */
const PROGRAM = String.raw`
use POSIX ();
use Fcntl ();
my $memfd_create = shift(@ARGV) + 0;
sysopen(N, '/dev/null', 2) or exit 1;
POSIX::dup2(fileno(N), 4);
# What we inherited is no action's business.
if (opendir(D, '/proc/self/fd')) { my @all = readdir(D); closedir(D); for (@all) { POSIX::close($_) if /^\d+$/ && $_ > 4; } }
$SIG{CHLD} = sub { };
my (%ids, %pids, %reports, %infos, $input);
$input = '';

sub report { my $line = join(' ', @_) . "\n"; syswrite(STDOUT, $line) or exit 0; }

# A kernel that denies such files has some in /tmp, without a name.
sub memory_file {
  my $name = 'warren';
  my $file;
  my $fd = syscall($memfd_create, $name, 1);
  if ($fd >= 0) { open($file, '+<&=', $fd) or return; } else { open($file, '+>', undef) or return; }
  return $file;
}

sub run {
  my ($order, $id, $cwd, $out, $err, $wants_info, @argv) = @_;
  my $log = POSIX::O_WRONLY() | POSIX::O_CREAT() | POSIX::O_APPEND() | Fcntl::O_NOFOLLOW();
  my ($o, $e, $r, $i);
  my $opened = sysopen($o, $out, $log, 0600) && sysopen($e, $err, $log, 0600)
    && ($r = memory_file()) && (!$wants_info || ($i = memory_file()));
  if ($opened && (-s $o || -s $e)) { $! = 17; $opened = 0; }
  if ($opened) {
    for (my $done = 0; $done < length($order);) {
      my $count = syswrite($r, $order, length($order) - $done, $done);
      if (!defined $count) { $opened = 0; last; }
      $done += $count;
    }
    sysseek($r, 0, 0);
  }
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
  $reports{$id} = $r;
  $infos{$id} = $i;
  report('started', $id, $pid, defined $i ? fileno($i) : 0);
}

sub ended {
  my ($id, $status) = @_;
  my $said = '';
  my $file = delete $reports{$id};
  sysseek($file, 0, 0);
  sysread($file, $said, 4096);
  # What is no report is the order still, since the process ended before it could tell.
  $said = $said =~ /^([a-z][a-z-]*(?: -?\d+)*)\n/ ? $1 : '';
  delete $infos{$id};
  delete $pids{$id};
  report('ended', $id, $status >> 8, $status & 127, $said);
}

for (;;) {
  my $ready = '';
  vec($ready, 0, 1) = 1;
  # A child that ends between the look and the wait does not wake it: hence the time.
  my $count = select($ready, undef, undef, %ids ? 0.02 : undef);
  while ((my $pid = waitpid(-1, POSIX::WNOHANG())) > 0) {
    my $id = delete $ids{$pid};
    next unless defined $id;
    ended($id, $?);
  }
  next unless $count > 0;
  sysread(STDIN, $input, 1 << 16, length($input)) or exit 0;
  while ($input =~ /^(\d+) (\d+)\n/ && length($input) >= $1 + $2 + length($1) + length($2) + 2) {
    my ($length, $more) = ($1, $2);
    substr($input, 0, length($length) + length($more) + 2, '');
    my ($verb, @fields) = split(/\0/, substr($input, 0, $length, ''), -1);
    my $order = substr($input, 0, $more, '');
    if ($verb eq 'run') { run($order, @fields); }
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
  /** Files for its standard output and standard error, which are made where they are not there; empty ones are taken. */
  readonly stdoutFile: string;
  readonly stderrFile: string;
  /** What it reads from descriptor 3, into which it may write a report: a line of a word and numbers. */
  readonly order: Uint8Array;
  /** Whether it gets a file to write into as descriptor 4. */
  readonly wantsInfo: boolean;
}

/** How a process ended: one of `exitCode` and `signal` is set. */
export interface LaunchEnd {
  readonly exitCode: number | undefined;
  readonly signal: number | undefined;
  /** What it has left in its descriptor 3, without the newline; empty for anything but a report. */
  readonly report: string;
}

/** A process that was started. */
export interface LaunchedProcess {
  readonly pid: number;
  /** Where to read what it has written into its descriptor 4, while it lives; undefined where it has none. */
  readonly infoFile: string | undefined;
  /** Rejects when the launcher is lost, and the process with it. */
  readonly ended: Promise<LaunchEnd>;
  /** Sends a signal to a process of its tree. Does nothing once it has ended: its number may be another's by then. */
  kill(signal: 'SIGKILL' | 'SIGTERM', target: number): void;
}

interface Launch {
  readonly started: (pid: number, infoFile: string | undefined) => void;
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
  readonly #memoryFileCall: number;
  readonly #launches = new Map<string, Launch>();
  #process: ChildProcess | undefined;
  #count = 0;

  /** @param perl absolute path of Perl. @param architecture one that `systemCalls` knows. */
  constructor(perl: string, architecture: string) {
    this.#perl = perl;
    this.#memoryFileCall = systemCallsOf(architecture).memfdCreate;
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
        started: (pid, infoFile) =>
          resolve({
            pid,
            infoFile,
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
      const { commandLine, cwd = '', stdoutFile, stderrFile, wantsInfo } = order;
      send(launcher, ['run', id, cwd, stdoutFile, stderrFile, wantsInfo ? '1' : '', ...commandLine], order.order);
    });
  }

  #start(): ChildProcess {
    const launcher = spawn(this.#perl, ['-e', PROGRAM, String(this.#memoryFileCall)], {
      env: {},
      stdio: ['pipe', 'pipe', 'ignore'],
      detached: true,
    });
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
    const [verb, id = '', ...rest] = line.split(' ');
    const [first = 0, second = 0] = rest.map(Number);
    const launch = this.#launches.get(id);
    if (verb === 'started') {
      launch?.started(first, second === 0 ? undefined : `/proc/${launcher.pid}/fd/${second}`);
      return;
    }
    this.#launches.delete(id);
    if (this.#launches.size === 0) setReferenced(launcher, false);
    if (verb === 'failed') {
      launch?.failed(new LaunchError(first));
      return;
    }
    const report = rest.slice(2).join(' ');
    launch?.ended({
      ...(second === 0 ? { exitCode: first, signal: undefined } : { exitCode: undefined, signal: second }),
      report,
    });
  }
}

function send(launcher: ChildProcess, fields: readonly string[], more: Uint8Array = new Uint8Array()): void {
  const order = Buffer.from(fields.join('\0'));
  launcher.stdin?.write(Buffer.concat([Buffer.from(`${order.byteLength} ${more.byteLength}\n`), order, more]));
}

/** An idle launcher keeps no process of ours from ending. */
function setReferenced(launcher: ChildProcess, referenced: boolean): void {
  const verb = referenced ? 'ref' : 'unref';
  launcher[verb]();
  (launcher.stdin as Socket)[verb]();
  (launcher.stdout as Socket)[verb]();
}
