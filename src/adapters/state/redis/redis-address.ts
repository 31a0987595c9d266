/** Where Redis is. */
export interface RedisAddress {
  readonly host: string;
  readonly port: number;
}
