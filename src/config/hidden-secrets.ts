/** Settings whose values open something. Names of files that hold such a thing are none. */
const SECRET = /(?:password|token|secret|secretAccessKey)$/i;

const HIDDEN = '(hidden)';

/** A configuration as it may be shown to others: what opens something is hidden, wherever it stands. */
export function hideSecrets(value: unknown): unknown {
  if (Array.isArray(value)) return value.map((each) => hideSecrets(each));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [
      key,
      SECRET.test(key) && typeof each === 'string' ? HIDDEN : hideSecrets(each),
    ]),
  );
}
