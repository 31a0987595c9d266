import { describe, expect, it } from 'vitest';
import { StatusCode } from '../../domain/status-code.ts';
import { SystemClock } from '../../lib/clock.ts';
import { describeRunner } from '../../ports/runner.suite.ts';
import { chooseRunner, type SandboxChoice } from './choose-runner.ts';

const never = new AbortController().signal;

function choose(sandbox: SandboxChoice, workFolder: string, changes: { path?: string; hidden?: string[] } = {}) {
  const { path = '/usr/bin:/bin', hidden = [] } = changes;
  return chooseRunner(
    { sandbox, workFolder, hiddenFolders: hidden, path, architecture: process.arch },
    new SystemClock(),
    never,
  );
}

describeRunner('bubblewrap', async (folder) => (await choose('bubblewrap', folder)).runner);
describeRunner('the host', async (folder) => (await choose('none', folder)).runner);

describe('chooseRunner', () => {
  it('takes bubblewrap where it works', async () => {
    expect((await choose('auto', '/tmp')).runner.name).toBe('bubblewrap');
  });

  it('takes the host where bubblewrap does not work, and says why', async () => {
    const { runner, reason } = await choose('auto', '/tmp', { hidden: ['/no/such/folder'] });
    expect(runner.name).toBe('none');
    expect(reason).toContain('/no/such/folder');
  });

  it('refuses to do without a sandbox that was demanded', async () => {
    await expect(choose('bubblewrap', '/tmp', { hidden: ['/no/such/folder'] })).rejects.toMatchObject({
      code: StatusCode.FAILED_PRECONDITION,
    });
  });

  it('refuses to hide what is no folder, rather than to do without a sandbox', async () => {
    await expect(choose('auto', '/tmp', { hidden: ['/etc/passwd'] })).rejects.toThrow('/etc/passwd is no folder');
  });

  it('says what is missing on a machine without Perl', async () => {
    await expect(choose('auto', '/tmp', { path: '/no/such/folder' })).rejects.toThrow('perl-base');
  });
});
