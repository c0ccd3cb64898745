// Running published items: on the calling thread alone, or shared with a pool. Both offer the same few
// steps, so that the flow of a call (backend.ts) is written once.
import { Control, Item } from "../../../asm/abi.ts";
import type { LinearMemory } from "../memory/linear_memory.ts";
import type { KernelExports } from "../module/module.ts";
import type { ThreadPool } from "./threads.ts";

/** How the items of a call get done. */
export interface Runner {
  /** Makes the items of region `region` available. */
  publish(region: number, items: readonly number[]): void;
  /** Does one item, if there is one that this thread should take. */
  advance(): boolean;
  /** Whether every item of a region is done. */
  done(region: number): boolean;
  /** Items of the call that are done. */
  finished(): number;
  /** Waits a moment for other threads where the host allows blocking; false where it does not. */
  wait(): boolean;
  /** Takes back what nobody began, after a failure. Other threads may still be inside an item; see `idle`. */
  cancel(): void;
  /** Whether no thread is inside an item. */
  idle(): boolean;
  /** Frees what the runner holds. */
  dispose(): void;
}

/** Items in order on the calling thread. */
export class LocalRunner implements Runner {
  readonly #kernels: KernelExports;
  readonly #scratch: () => number;
  readonly #left: number[];
  #queue: { region: number; item: number }[] = [];
  #next = 0;
  #finished = 0;

  constructor(kernels: KernelExports, scratch: () => number, regions: number) {
    this.#kernels = kernels;
    this.#scratch = scratch;
    this.#left = new Array<number>(regions).fill(0);
  }

  publish(region: number, items: readonly number[]): void {
    if (this.#next === this.#queue.length) [this.#queue, this.#next] = [[], 0];
    this.#left[region] = items.length;
    for (const item of items) this.#queue.push({ region, item });
  }

  advance(): boolean {
    const entry = this.#queue[this.#next];
    if (!entry) return false;
    this.#next++;
    this.#kernels.run(entry.item, this.#scratch());
    this.#left[entry.region]!--;
    this.#finished++;
    return true;
  }

  done(region: number): boolean {
    return this.#left[region] === 0;
  }

  finished(): number {
    return this.#finished;
  }

  wait(): boolean {
    return true;
  }

  cancel(): void {
    this.#next = this.#queue.length;
  }

  idle(): boolean {
    return true;
  }

  dispose(): void {}
}

/** A worker trapped or was lost inside an item. What it said comes with a later turn of the event loop. */
export class WorkerFailure extends Error {}

/** Most regions that may be open at a time: each has its own count of items left. */
export const MAX_OPEN_REGIONS: number = Control.LeftCount;

/** The control word that counts the items left of a region. */
function leftOf(region: number): number {
  return Control.Left + region % Control.LeftCount;
}

/** Items shared with the threads of a pool through the control block. */
export class PoolRunner implements Runner {
  readonly #kernels: KernelExports;
  readonly #memory: LinearMemory;
  readonly #pool: ThreadPool;
  readonly #scratch: () => number;
  /** Workers beside the calling thread, and one in its place when it does not take part. */
  readonly #workers: { readonly beside: number; readonly instead: number };
  /** Addresses of all items of the call, in the order of their tickets. */
  readonly #tickets: number;
  #published = 0;
  readonly #begin: number;

  /**
   * `items`: how many the call has. `long`: whether one of them takes so long that the event loop would
   * notice. The calling thread then leaves them to workers, one more than otherwise.
   */
  constructor(
    kernels: KernelExports,
    memory: LinearMemory,
    pool: ThreadPool,
    scratch: () => number,
    { threads, items, long }: { threads: number; items: number; long: boolean },
  ) {
    this.#kernels = kernels;
    this.#memory = memory;
    this.#pool = pool;
    this.#scratch = scratch;
    this.#workers = { beside: threads - 1, instead: long ? threads : Infinity };
    this.#tickets = memory.allocate(items * 4);
    pool.start(long ? threads : threads - 1);
    const { control } = pool;
    this.#begin = Atomics.load(control, Control.Published);
    // no item of an earlier call is left, so nobody reads these words before the next ticket
    Atomics.store(control, Control.Items, this.#tickets | 0);
    Atomics.store(control, Control.First, this.#begin);
    Atomics.store(control, Control.Done, 0);
    Atomics.store(control, Control.Failed, 0);
    Atomics.store(control, Control.Limit, threads - 1);
    Atomics.store(control, Control.Tell, long || !pool.canBlock ? 1 : 0);
  }

  publish(region: number, items: readonly number[]): void {
    const { control } = this.#pool;
    this.#memory.u32(this.#tickets + this.#published * 4, items.length).set(items);
    Atomics.store(control, leftOf(region), items.length);
    this.#published += items.length;
    Atomics.add(control, Control.Published, items.length);
    Atomics.notify(control, Control.Published);
  }

  #take(): number | undefined {
    const { control } = this.#pool;
    for (;;) {
      const next = Atomics.load(control, Control.Next);
      if (next === Atomics.load(control, Control.Published)) return undefined;
      if (Atomics.compareExchange(control, Control.Next, next, (next + 1) | 0) === next) {
        return next;
      }
    }
  }

  /** Lets so many workers take items. */
  #limit(workers: number): void {
    const { control } = this.#pool;
    if (Atomics.exchange(control, Control.Limit, workers) === workers) return;
    Atomics.notify(control, Control.Published);
  }

  #finish(item: number): void {
    const region = this.#memory.u32(item, Item.Bytes / 4)[Item.Region / 4]!;
    Atomics.add(this.#pool.control, Control.Done, 1);
    Atomics.sub(this.#pool.control, leftOf(region), 1);
  }

  #item(ticket: number): number {
    return this.#memory.u32(this.#tickets + ((ticket - this.#begin) | 0) * 4, 1)[0]!;
  }

  advance(): boolean {
    const { beside, instead } = this.#workers, standBy = this.#pool.has(instead);
    this.#limit(standBy ? instead : beside);
    const ticket = standBy ? undefined : this.#take();
    if (ticket === undefined) return false;
    const item = this.#item(ticket);
    try {
      this.#kernels.run(item, this.#scratch());
    } finally {
      this.#finish(item);
    }
    return true;
  }

  done(region: number): boolean {
    if (Atomics.load(this.#pool.control, Control.Failed)) throw new WorkerFailure();
    return Atomics.load(this.#pool.control, leftOf(region)) === 0;
  }

  finished(): number {
    return Atomics.load(this.#pool.control, Control.Done);
  }

  wait(): boolean {
    const { control } = this.#pool;
    if (Atomics.load(control, Control.Tell)) return false;
    const seen = Atomics.load(control, Control.Done);
    if (seen === this.#published) return true;
    for (let spin = 0; spin < 2000; spin++) {
      if (Atomics.load(control, Control.Done) !== seen) return true;
    }
    Atomics.wait(control, Control.Done, seen, 2);
    return true;
  }

  cancel(): void {
    while (this.#take() !== undefined);
  }

  idle(): boolean {
    return this.#pool.idle;
  }

  dispose(): void {
    this.#memory.free(this.#tickets);
  }
}
