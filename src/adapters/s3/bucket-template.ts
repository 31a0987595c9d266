const NAME = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const PLACEHOLDER = /\{hash:([12])\}/;

/** Whether a text makes names that S3 takes for buckets. */
export function isBucketTemplate(template: string): boolean {
  return NAME.test(bucketOf(template, '00')) && NAME.test(bucketOf(template, 'ff'));
}

/** The bucket for what has this hash. */
export function bucketOf(template: string, hash: string): string {
  return template.replace(PLACEHOLDER, (_match, length: string) => hash.slice(0, Number(length)));
}

/** Every bucket that a template makes. */
export function bucketsOf(template: string): string[] {
  const length = Number(PLACEHOLDER.exec(template)?.[1] ?? 0);
  const count = 16 ** length;
  return Array.from({ length: count }, (_, i) => bucketOf(template, i.toString(16).padStart(length, '0')));
}
