import { type Digest, digestKey } from '../../../domain/digest.ts';
import { type Gathered, GatheringQueue } from '../../../lib/gathering-queue.ts';
import type { BlobIndex, BlobIndexTotals, IndexedBlob, Reservation } from '../../../ports/blob-index.ts';
import type { RedisConnection, ScriptArgument, ScriptReply } from '../../state/redis/redis-connection.ts';
import type { ScriptName } from '../../state/redis/scripts.ts';
import { decodeMember } from '../blob-member.ts';
import { eachOnce } from '../each-once.ts';
import { packMembers } from './packed-members.ts';

export interface RedisBlobIndexOptions {
  readonly connection: RedisConnection;
  /** Begins every key; without braces. */
  readonly keyPrefix: string;
  /** Names the store that the index is of, among those with the same prefix; without braces. */
  readonly name: string;
  /** Milliseconds. */
  readonly lease: number;
  readonly resolution: number;
  /** For tests: the time, in milliseconds, in place of Redis' own. */
  readonly now?: () => number;
}

/** One part of the index: the keys of one hash slot, and its totals as last heard. */
interface Part {
  readonly keys: readonly string[];
  totals: BlobIndexTotals;
}

/** A digest, and where it came in the caller's list. */
interface Placed {
  readonly digest: Digest;
  readonly place: number;
}

/**
 * Parts of the index in a cluster, by the first character of the hash: few, so that FindMissingBlobs of a few digests costs
 * few scripts, and enough for its nodes to share them. A server alone has one, so that what comes in one turn is one script.
 */
const CLUSTER_PARTS = 16;
const HEXADECIMAL = 16;
/** Blobs in one script at most: about a millisecond, in which Redis serves nobody else. */
const PER_SCRIPT = 1_000;
/** Blobs of one part in a page. */
const PAGE = 128;
const SCAN_PAGE = 1_000;
/** A resolution in which no use is ever noted. */
const NEVER = 1e15;
const NO_TOTALS: BlobIndexTotals = { blobs: 0, bytes: 0, evictingBlobs: 0, evictingBytes: 0 };
const RESERVATIONS: readonly Reservation[] = ['stored', 'reserved', 'evicting'];
const NO_MEMBERS = Buffer.alloc(0);

/**
 * The index of a store that replicas share, in Redis: some 150 bytes of its memory a blob. What replicas ask for in one
 * turn of the event loop goes in one round trip and one script; to a cluster in one script for each of 16 parts.
 */
export class RedisBlobIndex implements BlobIndex {
  readonly lease: number;
  readonly resolution: number;
  readonly #options: RedisBlobIndexOptions;
  readonly #parts: readonly Part[];
  readonly #reservations: GatheringQueue<Digest, Reservation>;
  readonly #commits: GatheringQueue<{ readonly digest: Digest; readonly unusedFor: number }, boolean>;

  constructor(options: RedisBlobIndexOptions) {
    this.lease = options.lease;
    this.resolution = options.resolution;
    this.#options = options;
    const count = options.connection.spansSlots ? 1 : CLUSTER_PARTS;
    this.#parts = Array.from({ length: count }, (_, i) => {
      const part = count === 1 ? '' : `:${i.toString(HEXADECIMAL)}`;
      const stem = `${options.keyPrefix}{blobs:${options.name}${part}}:`;
      return { keys: ['stored', 'reserved', 'claimed', 'totals'].map((each) => stem + each), totals: NO_TOTALS };
    });
    const gathering = { weigh: () => 1, maxWeight: async () => PER_SCRIPT, maxCount: PER_SCRIPT, maxConcurrent: 64 };
    this.#reservations = new GatheringQueue({
      ...gathering,
      process: (group, signal) => this.#reserveAll(group, signal),
    });
    this.#commits = new GatheringQueue({ ...gathering, process: (group, signal) => this.#commitAll(group, signal) });
  }

  get knownTotals(): BlobIndexTotals {
    return this.#parts.reduce((sum, { totals }) => add(sum, totals), NO_TOTALS);
  }

  async totals(signal: AbortSignal): Promise<BlobIndexTotals> {
    await Promise.all(this.#parts.map((part) => this.#runCounting(part, 'blob-totals', [], [], signal)));
    return this.knownTotals;
  }

  async touch(digests: readonly Digest[], signal: AbortSignal): Promise<Digest[]> {
    return this.#touch(digests, this.resolution, 0, signal);
  }

  async findMissing(digests: readonly Digest[], signal: AbortSignal): Promise<Digest[]> {
    return this.#touch(digests, NEVER, 0, signal);
  }

  async keep(digests: readonly Digest[], milliseconds: number, signal: AbortSignal): Promise<void> {
    // Those that are kept nearly as long already are left as they are.
    await this.#touch(digests, milliseconds / 10, milliseconds, signal);
  }

  reserve(digest: Digest, signal: AbortSignal): Promise<Reservation> {
    return this.#reservations.add(digest, signal);
  }

  commit(digest: Digest, unusedFor: number, signal: AbortSignal): Promise<boolean> {
    return this.#commits.add({ digest, unusedFor }, signal);
  }

  release(digests: readonly Digest[], signal: AbortSignal): Promise<void> {
    return this.#drop(digests, 'reserved', signal);
  }

  forget(digests: readonly Digest[], signal: AbortSignal): Promise<void> {
    return this.#drop(digests, 'stored', signal);
  }

  async *oldest(unusedFor: number, signal: AbortSignal): AsyncGenerator<IndexedBlob> {
    const sources = this.#parts.map((part) => this.#oldestOf(part, unusedFor, signal));
    const heads = await Promise.all(sources.map(async (source) => (await source.next()).value));
    for (;;) {
      let first: number | undefined;
      for (const [i, head] of heads.entries()) {
        if (head === undefined) continue;
        if (first === undefined || head.lastUsedAt < (heads[first]?.lastUsedAt ?? 0)) first = i;
      }
      const blob = first === undefined ? undefined : heads[first];
      if (first === undefined || blob === undefined) return;
      yield blob;
      heads[first] = (await sources[first]?.next())?.value;
    }
  }

  async claim(digests: readonly Digest[], unusedFor: number | undefined, signal: AbortSignal): Promise<Digest[]> {
    const args = [this.lease, unusedFor ?? ''];
    const got = await this.#eachPart(digests, async (part, group) => {
      const places = await this.#runCounting(part, 'blob-claim', digestsOf(group), args, signal);
      return (places as number[]).map((place) => group[place] as Placed);
    });
    return inOrder(got);
  }

  async reclaim(limit: number, signal: AbortSignal): Promise<Digest[]> {
    const taken: Digest[] = [];
    for (const part of this.#parts) {
      if (taken.length >= limit) break;
      const args = [this.lease, limit - taken.length];
      const members = await this.#runCounting(part, 'blob-reclaim', [], args, signal);
      taken.push(...(members as Buffer[]).flatMap((member) => decodeMember(member) ?? []));
    }
    return taken;
  }

  async settle(removed: readonly Digest[], kept: readonly IndexedBlob[], signal: AbortSignal): Promise<void> {
    await this.#drop(removed, 'claimed', signal);
    const times = new Map(kept.map(({ digest, lastUsedAt }) => [digestKey(digest), lastUsedAt]));
    await this.#eachPart(
      kept.map(({ digest }) => digest),
      async (part, group) => {
        const args = group.map(({ digest }) => times.get(digestKey(digest)) ?? 0);
        await this.#runCounting(part, 'blob-restore', digestsOf(group), args, signal);
        return [];
      },
    );
  }

  async *scan(signal: AbortSignal): AsyncGenerator<IndexedBlob> {
    for (const part of this.#parts) {
      let cursor = '0';
      do {
        const reply = await this.#run(part, 'blob-scan', NO_MEMBERS, [cursor, SCAN_PAGE], signal);
        const [next, pairs] = reply as unknown as readonly [Buffer, readonly Buffer[]];
        cursor = String(next);
        yield* blobsOf(pairs);
      } while (cursor !== '0');
    }
  }

  async *#oldestOf(part: Part, unusedFor: number, signal: AbortSignal): AsyncGenerator<IndexedBlob, undefined> {
    for (let skip = 0; ; skip += PAGE) {
      const reply = await this.#run(part, 'blob-oldest', NO_MEMBERS, [unusedFor, skip, PAGE], signal);
      const pairs = reply as readonly Buffer[];
      yield* blobsOf(pairs);
      if (pairs.length < PAGE * 2) return undefined;
    }
  }

  async #touch(digests: readonly Digest[], resolution: number, ahead: number, signal: AbortSignal): Promise<Digest[]> {
    const missing = await this.#eachPart(digests, async (part, group) => {
      const places = await this.#run(part, 'blob-touch', packMembers(digestsOf(group)), [resolution, ahead], signal);
      return (places as number[]).map((place) => group[place] as Placed);
    });
    return eachOnce(inOrder(missing));
  }

  async #drop(
    digests: readonly Digest[],
    state: 'reserved' | 'stored' | 'claimed',
    signal: AbortSignal,
  ): Promise<void> {
    await this.#eachPart(digests, async (part, group) => {
      await this.#runCounting(part, 'blob-drop', digestsOf(group), [state], signal);
      return [];
    });
  }

  async #reserveAll(group: ReadonlyArray<Gathered<Digest, Reservation>>, signal: AbortSignal): Promise<void> {
    const digests = group.map(({ item }) => item);
    await this.#eachPart(digests, async (part, placed) => {
      const args = [this.resolution, this.lease];
      const answers = await this.#runCounting(part, 'blob-reserve', digestsOf(placed), args, signal);
      for (const [i, answer] of (answers as number[]).entries()) {
        group[placed[i]?.place ?? -1]?.resolve(RESERVATIONS[answer] ?? 'evicting');
      }
      return [];
    });
  }

  async #commitAll(
    group: ReadonlyArray<Gathered<{ readonly digest: Digest; readonly unusedFor: number }, boolean>>,
    signal: AbortSignal,
  ): Promise<void> {
    const digests = group.map(({ item }) => item.digest);
    await this.#eachPart(digests, async (part, placed) => {
      const ages = placed.map(({ place }) => group[place]?.item.unusedFor ?? 0);
      const lost = await this.#run(part, 'blob-commit', packMembers(digestsOf(placed)), ages, signal);
      const lostPlaces = new Set(lost as number[]);
      for (const [i, { place }] of placed.entries()) group[place]?.resolve(!lostPlaces.has(i));
      return [];
    });
  }

  /** Runs a task for the digests of each part, in portions, all at once. @returns what they gave. */
  async #eachPart(
    digests: readonly Digest[],
    task: (part: Part, group: readonly Placed[]) => Promise<readonly Placed[]>,
  ): Promise<Placed[]> {
    const groups = new Map<Part, Placed[]>();
    for (const [place, digest] of digests.entries()) {
      const part = this.#parts[Number.parseInt(digest.hash[0] ?? '0', HEXADECIMAL) % this.#parts.length] as Part;
      const group = groups.get(part);
      if (group === undefined) groups.set(part, [{ digest, place }]);
      else group.push({ digest, place });
    }
    const tasks: Array<Promise<readonly Placed[]>> = [];
    for (const [part, group] of groups) {
      for (let from = 0; from < group.length; from += PER_SCRIPT) {
        tasks.push(task(part, group.slice(from, from + PER_SCRIPT)));
      }
    }
    return (await Promise.all(tasks)).flat();
  }

  /** Runs a script that answers with the totals behind its own answer. @returns its own answer. */
  async #runCounting(
    part: Part,
    name: ScriptName,
    digests: readonly Digest[],
    args: readonly ScriptArgument[],
    signal: AbortSignal,
  ): Promise<ScriptReply> {
    const reply = await this.#run(part, name, packMembers(digests), args, signal);
    const [answer, totals] = reply as readonly [ScriptReply, ReadonlyArray<Buffer | null>];
    const [blobs = 0, bytes = 0, evictingBlobs = 0, evictingBytes = 0] = totals.map(Number);
    part.totals = { blobs, bytes, evictingBlobs, evictingBytes };
    return answer;
  }

  #run(
    part: Part,
    name: ScriptName,
    members: Buffer,
    args: readonly ScriptArgument[],
    signal: AbortSignal,
  ): Promise<ScriptReply> {
    const { connection, now } = this.#options;
    return connection.run(name, part.keys, [now?.() ?? '', members, ...args], signal);
  }
}

function digestsOf(group: readonly Placed[]): Digest[] {
  return group.map(({ digest }) => digest);
}

function inOrder(placed: Placed[]): Digest[] {
  return digestsOf(placed.sort((a, b) => a.place - b.place));
}

function* blobsOf(pairs: readonly Buffer[]): Iterable<IndexedBlob> {
  for (let i = 0; i + 1 < pairs.length; i += 2) {
    const digest = decodeMember(pairs[i] as Buffer);
    if (digest !== undefined) yield { digest, lastUsedAt: Number(pairs[i + 1]) };
  }
}

function add(a: BlobIndexTotals, b: BlobIndexTotals): BlobIndexTotals {
  return {
    blobs: a.blobs + b.blobs,
    bytes: a.bytes + b.bytes,
    evictingBlobs: a.evictingBlobs + b.evictingBlobs,
    evictingBytes: a.evictingBytes + b.evictingBytes,
  };
}
