import { type Digest, digestKey } from '../domain/digest.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { type Action, Directory } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { digestFromWire } from '../wire/digest.ts';
import type { Instance } from './instances.ts';

export interface InputPinsOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /**
   * Milliseconds that a job is waited for before its input tree is read. Defaults to 20 000: most jobs have ended by then,
   * and stores keep what was used in the last minute anyway, which is when the client uploaded or asked for its inputs.
   */
  readonly treeDelay?: number;
  /** Greatest number of blobs of trees that are pinned at once, over all jobs. Defaults to 200 000. */
  readonly maximumTreeBlobs?: number;
}

/** A Directory beyond this is no input of an action that any client sends; in bytes. */
const MAX_DIRECTORY_BYTES = 16 * 1024 * 1024;

/**
 * Keeps what jobs need from eviction while a client waits for them: Action, Command and root at once, and the files and
 * directories of the input tree once the job has lasted for a while.
 */
export class InputPins {
  readonly #options: InputPinsOptions;
  readonly #treeDelay: number;
  #room: number;
  #holders = 0;

  constructor(options: InputPinsOptions) {
    this.#options = options;
    this.#treeDelay = options.treeDelay ?? 20_000;
    this.#room = options.maximumTreeBlobs ?? 200_000;
  }

  /** Pins until the returned hold is disposed of; several may hold the same blobs. */
  hold(instance: Instance, actionDigest: Digest, action: Action): Disposable {
    const { pins } = instance;
    const { digestFunction } = actionDigest;
    const root = digestFromWire(action.inputRootDigest, digestFunction, 'action.input_root_digest');
    this.#holders += 1;
    const hold: Hold = { owner: `inputs ${this.#holders}`, treeBlobs: 0, end: undefined };
    pins.pin(hold.owner, [
      actionDigest,
      digestFromWire(action.commandDigest, digestFunction, 'action.command_digest'),
      root,
    ]);
    const timer = this.#options.clock.setTimer(this.#treeDelay, () => {
      // Most jobs have ended by now, and never made one.
      const end = new AbortController();
      hold.end = end;
      this.#pinTree(instance, root, hold, end.signal).catch((cause: unknown) => {
        if (end.signal.aborted) return;
        // A tree that is not whole is found out by the worker, who says so to the client.
        this.#options.logger.debug({ root: digestKey(root), err: cause }, 'an input tree could not be pinned');
      });
    });
    return {
      [Symbol.dispose]: () => {
        timer.cancel();
        hold.end?.abort();
        this.#room += hold.treeBlobs;
        hold.treeBlobs = 0;
        pins.unpin(hold.owner);
      },
    };
  }

  /** Reads the tree from its root on; gives up, keeping what it has, when there is no room for more. */
  async #pinTree(instance: Instance, root: Digest, hold: Hold, signal: AbortSignal): Promise<void> {
    const seen = new Set([digestKey(root)]);
    const waiting = [root];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      if (next.sizeBytes > MAX_DIRECTORY_BYTES) continue;
      const directory = Directory.decode(await instance.blobs.readWhole(next, signal));
      signal.throwIfAborted();
      const found: Digest[] = [];
      for (const [kind, nodes] of [
        ['files', directory.files],
        ['directories', directory.directories],
      ] as const) {
        for (const node of nodes) {
          const digest = digestFromWire(node.digest, root.digestFunction, `${kind}.digest`);
          const key = digestKey(digest);
          if (seen.has(key)) continue;
          seen.add(key);
          found.push(digest);
          if (kind === 'directories') waiting.push(digest);
        }
      }
      if (found.length > this.#room) {
        this.#options.logger.warn({ root: digestKey(root) }, 'too many blobs are pinned; part of an input tree is not');
        return;
      }
      this.#room -= found.length;
      hold.treeBlobs += found.length;
      instance.pins.pin(hold.owner, found);
    }
  }
}

interface Hold {
  readonly owner: string;
  treeBlobs: number;
  /** Stops the reading of the tree, once that has begun. */
  end: AbortController | undefined;
}
