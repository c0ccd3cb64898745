// A pool of worker threads that outlives calls but never keeps the process alive.
//
// Work is pulled: a call publishes items in shared memory, and every thread, the calling one included,
// takes the next by an atomic counter. A worker that is still starting up simply joins late, and one that
// never comes is not missed: what it is about is kept, so that the engine can say so.
import { Control } from "../../../asm/abi.ts";
import { CONTROL_BYTE, type LinearMemory } from "../memory/linear_memory.ts";
import { Bell } from "./bell.ts";
import { refusal } from "./host.ts";
import { nodeThreads, type StartedWorker, startWorker, type WorkerEars } from "./start_worker.ts";
import { workerSource } from "./worker.gen.ts";
import type { WorkerStart } from "./worker.ts";

/** Workers that start at a time. */
const START_AT_ONCE = 4;
/**
 * Milliseconds of starting after which the event loop turns before another starts. Making one takes Node 1 ms of
 * the calling thread, Deno about all of the 15 ms that it needs to come up.
 */
const START_SLICE_MS = 5;
/** Workers that may be lost before no more are started. */
const MOST_LOST = 3;
/** Milliseconds for which a call leaves its work to workers that are still starting. */
const START_MS = 100;

/** Pools whose owner was dropped without being disposed of stop their workers. */
const dropped = typeof FinalizationRegistry === "function"
  ? new FinalizationRegistry<ThreadPool>((pool) => pool.stop())
  : undefined;

/** Worker threads on one shared memory. */
export class ThreadPool {
  readonly control: Int32Array;
  readonly #module: WebAssembly.Module;
  readonly #memory: WebAssembly.Memory;
  /** By index, from 1 on; those that are starting too. */
  readonly #threads = new Map<number, StartedWorker>();
  readonly #ready = new Set<number>();
  #wanted = 0;
  #lost = 0;
  #begun = 0;
  #refused = false;
  #shortage: string | undefined;
  #message = "";
  #stopped = false;
  readonly #bell = new Bell();
  #canBlock: boolean | undefined;

  constructor(module: WebAssembly.Module, memory: LinearMemory) {
    this.#module = module;
    this.#memory = memory.memory;
    this.control = new Int32Array(this.#memory.buffer, CONTROL_BYTE, Control.Words);
  }

  /** Stops the workers when `owner` is collected. Nothing that they hold leads to it. */
  stopWith(owner: object): void {
    dropped?.register(owner, this);
  }

  /** Loads what workers are made with: 10 to 25 ms of Deno, once. */
  prepare(): void {
    if (this.#wanted === 0) nodeThreads();
  }

  /**
   * Starts workers until there are `count`, in place of lost ones too. Returns soon: where there are many,
   * some start later, and all join when they are up.
   */
  start(count: number): void {
    this.#message = "";
    this.#wanted = Math.max(this.#wanted, count);
    this.#startSome();
  }

  #startSome(): void {
    const begin = performance.now();
    for (let index = 1; index <= this.#wanted; index++) {
      if (this.#refused || this.#stopped || this.#starting >= START_AT_ONCE) return;
      // the next one is started when this one is heard of
      if (this.#starting > 0 && performance.now() - begin > START_SLICE_MS) return;
      if (!this.#threads.has(index)) this.#startOne(index);
    }
  }

  get #starting(): number {
    return this.#threads.size - this.#ready.size;
  }

  #startOne(index: number): void {
    const start: WorkerStart = {
      module: this.#module,
      memory: this.#memory,
      control: CONTROL_BYTE,
      index,
      words: {
        published: Control.Published,
        next: Control.Next,
        done: Control.Done,
        items: Control.Items,
        first: Control.First,
        failed: Control.Failed,
        closed: Control.Closed,
        limit: Control.Limit,
        tell: Control.Tell,
        scratch: Control.Scratch,
        left: Control.Left,
        leftCount: Control.LeftCount,
        busy: Control.Busy,
        count: Control.Words,
      },
    };
    const ears: WorkerEars = {
      // "ready", "step", or what went wrong in an item
      hear: (message) => this.#hear(index, String(message)),
      gone: (error) => this.#miss(index, error),
    };
    this.#begun = performance.now();
    Atomics.store(this.control, Control.Busy + index, 0);
    try {
      this.#threads.set(index, startWorker(workerSource, start, ears));
    } catch (error) {
      this.#refuse(error);
    }
  }

  #hear(index: number, message: string): void {
    if (message === "ready") {
      this.#ready.add(index);
      setTimeout(() => this.#startSome()); // after timers that are due: making one takes a while
    } else if (message !== "step") this.#message = message;
    this.#bell.ring();
  }

  /** No more workers: what keeps one from starting keeps others. */
  #refuse(error: unknown): void {
    this.#refused = true;
    this.#shortage ??= refusal(error);
  }

  #miss(index: number, error: unknown): void {
    const thread = this.#threads.get(index);
    if (!thread || this.#stopped) return; // heard of before, or stopped by us
    this.#threads.delete(index);
    // it may have been inside an item, which then nobody finishes; Node may tell of an end before what was said before it
    const inside = Atomics.load(this.control, Control.Busy + index) !== 0;
    if (this.#ready.delete(index) || inside) {
      this.#refused ||= ++this.#lost >= MOST_LOST;
      this.#message = (error as Error)?.message ?? String(error);
      this.#shortage ??= `a worker thread was lost (${this.#message})`;
      if (inside) Atomics.store(this.control, Control.Failed, 1);
    } else this.#refuse(error);
    thread.stop();
    this.#bell.ring();
  }

  /** Whether workers were asked for. */
  get started(): boolean {
    return this.#wanted > 0;
  }

  /** Workers that a call can count on, of `count`. */
  available(count: number): number {
    return this.#refused ? Math.min(count, this.#threads.size) : count;
  }

  /** Why there are fewer workers than were asked for. */
  get shortage(): string | undefined {
    return this.#shortage;
  }

  /** Whether `count` workers take items, or will in a moment: the calling thread may leave the work to them. */
  has(count: number): boolean {
    if (this.#ready.size >= count) return true;
    const may = this.#wanted >= count && !this.#refused;
    return may && performance.now() - this.#begun < START_MS;
  }

  /** Whether no worker is inside an item. All that were published must have been taken. */
  get idle(): boolean {
    return ![...this.#threads.keys()].some((index) =>
      Atomics.load(this.control, Control.Busy + index)
    );
  }

  /** Whether this thread may block: that of a page may not. */
  get canBlock(): boolean {
    if (this.#canBlock === undefined) {
      try {
        Atomics.wait(this.control, Control.Tell, -1, 0);
        this.#canBlock = true;
      } catch {
        this.#canBlock = false;
      }
    }
    return this.#canBlock;
  }

  /** Resolves after a turn of the event loop in which a worker said something, or a while later. */
  heard(): Promise<void> {
    return this.#bell.heard();
  }

  /** What the last worker that failed since `start` said. */
  get message(): string {
    return this.#message;
  }

  /** Wakes all workers and lets them go. */
  stop(): void {
    this.#stopped = true;
    Atomics.store(this.control, Control.Closed, 1);
    Atomics.notify(this.control, Control.Published);
    for (const { stop } of this.#threads.values()) stop();
    this.#threads.clear();
    this.#ready.clear();
  }
}
