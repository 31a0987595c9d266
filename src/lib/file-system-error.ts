/** The code of an error of the operating system, such as ENOENT, or undefined. */
export function errorCode(thrown: unknown): string | undefined {
  return thrown instanceof Error ? (thrown as NodeJS.ErrnoException).code : undefined;
}

/** Whether there is no file of that name. */
export function isNotFound(thrown: unknown): boolean {
  return errorCode(thrown) === 'ENOENT';
}

/** Whether the disk, or a quota on it, is full. */
export function isDiskFull(thrown: unknown): boolean {
  const code = errorCode(thrown);
  return code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG';
}
