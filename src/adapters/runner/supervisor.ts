import { StatusCode } from '../../domain/status-code.ts';
import { StatusError } from '../../domain/status-error.ts';
import type { ResourceUsage, RunOutcome, RunRequest } from '../../ports/runner.ts';
import { systemCallsOf } from './system-calls.ts';

/**
 * The process that starts the action's process, waits for it and sees that nothing of it stays: a short Perl program.
 *
 * Perl is on every Debian and Ubuntu (perl-base is essential), starts in a millisecond, and reaches the three system
 * calls that Node has no way to: wait4 tells the resource usage of one child and tells exit codes and signals apart;
 * PR_SET_CHILD_SUBREAPER makes a daemon that leaves its session a child again, so that it is found and killed;
 * PR_SET_PDEATHSIG ends the tree when the worker dies.
 *
 * Inside a sandbox it is process 1 of a process namespace: when it ends, the kernel kills all that is left. On the
 * host it kills what is left by whole groups, and stops what is in none before it kills it, so that a fork bomb can't
 * run ahead of it.
 *
 * It reads its order from file descriptor 3, a file of NUL-terminated fields, and leaves its report in the same file.
 * So the environment of the action never touches the sandbox's own processes (LD_PRELOAD, PERL5OPT).
 */
const PROGRAM = String.raw`
open(F, '+<&=', 3) or exit 120;
fcntl(F, 2, 1);
{ local $/; $order = <F>; }
($wait4, $prctl, $host, $argc, @rest) = split(/\0/, $order, -1);
pop @rest;
@argv = splice(@rest, 0, $argc);
%ENV = ();
while (@rest) { my ($n, $v) = splice(@rest, 0, 2); $ENV{$n} = $v; }
@total = (0) x 18;

sub report { truncate(F, 0); sysseek(F, 0, 0); syswrite(F, join(' ', @_) . "\n"); }

sub reap {
  my $status = pack('i', 0);
  my $usage = "\0" x 144;
  my $pid = syscall($wait4, -1, $status, $_[0], $usage);
  if ($pid > 0) {
    my @u = unpack('q18', $usage);
    for (0 .. 17) { if ($_ == 4) { $total[4] = $u[4] if $u[4] > $total[4]; } else { $total[$_] += $u[$_]; } }
    $ended = unpack('i', $status) if $pid == $main;
  }
  return $pid;
}

syscall($prctl, 1, $host ? 15 : 9, 0, 0, 0);
if ($host) { syscall($prctl, 36, 1, 0, 0, 0); $SIG{TERM} = sub { $killed = 1 }; }
pipe(R, W);
$main = fork();
if (!defined $main) { report('fork-failed', $! + 0); exit 0; }
if (!$main) {
  close(R);
  $SIG{TERM} = 'DEFAULT';
  # A group of its own: scripts that clean up signal theirs. And an end with the supervisor, should it be killed.
  setpgrp(0, 0);
  syscall($prctl, 1, 9, 0, 0, 0) if $host;
  if ($argv[0] =~ m{/}) { exec {$argv[0]} @argv; }
  else {
    my $denied;
    my $path = exists $ENV{PATH} ? $ENV{PATH} : '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
    for my $d (split(/:/, $path, -1)) {
      my $candidate = ($d eq '' ? '.' : $d) . '/' . $argv[0];
      next unless -f $candidate;
      exec {$candidate} @argv if -x _;
      $denied = $! if $! != 2;
      $denied ||= 13;
    }
    $! = $denied || 2;
  }
  syswrite(W, $! + 0);
  exit 127;
}
close(W);
sysread(R, $errno, 16);
for (;;) {
  if ($killed) { sweep(); last; }
  my $pid = reap(0);
  last if defined $ended;
  last if $pid == -1 && $! != 4;
}
sweep() if $host;
if ($errno) { report('not-started', $errno); }
elsif ($killed || !defined $ended) { report('killed'); }
else { report($ended & 127 ? 'signalled ' . ($ended & 127) : 'exited ' . ($ended >> 8), @total); }
exit 0;
`;

const NO_SUCH_FILE = 2;
const NOT_A_DIRECTORY = 20;

/** The part that kills what is left on the host. In a sandbox, which never calls it, it is not parsed at each start. */
const SWEEP = String.raw`
sub descendants {
  my (%children, @found);
  %groups = ();
  opendir(P, '/proc') or return;
  for my $p (grep { /^\d+$/ } readdir(P)) {
    open(S, '<', "/proc/$p/stat") or next;
    my $line = <S>;
    close(S);
    $line =~ /.*\) (\S) (\d+) (\d+)/s or next;
    $groups{$p} = $3;
    push @{$children{$2}}, $p if $1 ne 'Z' && $1 ne 'X';
  }
  closedir(P);
  my @next = ($$);
  while (defined(my $p = shift @next)) { my @c = @{$children{$p} || []}; push @found, @c; push @next, @c; }
  return @found;
}

sub sweep {
  for (1 .. 3000) {
    my $pid;
    do { $pid = reap(1) } while ($pid > 0);
    return if $pid == -1;
    my (%stopped, @new);
    # Nothing can fork its way out of the signal to a whole group; in what is left each is stopped first.
    my %whole = map { $groups{$_} => 1 } descendants();
    delete $whole{getpgrp(0)};
    kill('-KILL', keys %whole) if %whole;
    for (1 .. 200) {
      @new = grep { !$stopped{$_}++ } descendants();
      last unless @new;
      kill('STOP', @new);
    }
    kill('KILL', keys %stopped);
    select(undef, undef, undef, 0.001);
  }
}
`;

/**
 * The command line that starts the supervisor. It expects its order as file descriptor 3.
 *
 * @param host whether it runs outside of any process namespace, so that it must kill what is left itself.
 */
export function supervisorCommandLine(perl: string, host: boolean): string[] {
  return [perl, '-e', host ? PROGRAM + SWEEP : PROGRAM];
}

/** What the supervisor reads: its order for one run. @param host whether it runs outside of any process namespace. */
export function encodeOrder(request: RunRequest, architecture: string, host: boolean): Buffer {
  const { wait4, prctl } = systemCallsOf(architecture);
  const fields: string[] = [String(wait4), String(prctl), host ? '1' : '', String(request.arguments.length)];
  fields.push(...request.arguments);
  for (const [name, value] of request.environment) fields.push(name, value);
  return Buffer.from(`${fields.join('\0')}\0`);
}

/** What the supervisor wrote: how the process ended, or undefined when it was killed before it could tell. */
export function decodeReport(
  report: string,
  program: string,
): { readonly outcome: RunOutcome; readonly resourceUsage: ResourceUsage | undefined } | undefined {
  const [kind = '', ...rest] = report.trimEnd().split(' ');
  const numbers = rest.map(Number);
  const first = numbers[0] ?? 0;
  switch (kind) {
    case 'exited':
      return { outcome: { kind: 'exited', exitCode: first }, resourceUsage: decodeUsage(numbers.slice(1)) };
    case 'signalled':
      return { outcome: { kind: 'signalled', signal: first }, resourceUsage: decodeUsage(numbers.slice(1)) };
    case 'not-started':
      return { outcome: notStarted(first, program), resourceUsage: undefined };
    case 'fork-failed':
      throw new StatusError(StatusCode.UNAVAILABLE, 'the worker has no room for another process');
    default:
      return undefined;
  }
}

function notStarted(errno: number, program: string): RunOutcome {
  const shown = program.length > 200 ? `${program.slice(0, 200)}...` : program;
  if (errno === NO_SUCH_FILE || errno === NOT_A_DIRECTORY) {
    return { kind: 'not-started', exitCode: 127, message: `${shown}: not found, or its interpreter is not` };
  }
  return { kind: 'not-started', exitCode: 126, message: `${shown}: cannot be executed (errno ${errno})` };
}

function decodeUsage(numbers: readonly number[]): ResourceUsage {
  const at = (index: number) => numbers[index] ?? 0;
  return {
    userMilliseconds: at(0) * 1_000 + at(1) / 1_000,
    systemMilliseconds: at(2) * 1_000 + at(3) / 1_000,
    maximumResidentSetBytes: at(4) * 1_024,
    minorPageFaults: at(8),
    majorPageFaults: at(9),
    blockInputOperations: at(11),
    blockOutputOperations: at(12),
    voluntaryContextSwitches: at(16),
    involuntaryContextSwitches: at(17),
  };
}
