/** What a client may be allowed to do. Each call needs one of these, or none. */
export const RIGHTS = ['read', 'write', 'update', 'execute', 'work', 'operate'] as const;

export type Right = (typeof RIGHTS)[number];
