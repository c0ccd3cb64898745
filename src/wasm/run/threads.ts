// A pool of worker threads that outlives calls but never keeps the process alive.
//
// Work is pulled: a call publishes items in shared memory, and every thread, the calling one included,
// takes the next by an atomic counter. A worker that is still starting up simply joins late, and one that
// never comes is not missed: what it is about is kept, so that the engine can say so.
import { Control } from "../../../asm/abi.ts";
import { CONTROL_BYTE, type LinearMemory } from "../memory/linear_memory.ts";
import { builtin, refusal } from "./host.ts";
import { workerSource } from "./worker.gen.ts";
import type { WorkerStart } from "./worker.ts";

/** A worker of any host, reduced to what the pool needs. */
interface Thread {
  readonly stop: () => void;
}

/** What the pool hears of a worker. */
interface Ears {
  /** What it tells: "ready", "step", or what went wrong in an item. */
  readonly hear: (message: string) => void;
  /** It is gone, or never came. */
  readonly gone: (error: unknown) => void;
}

interface NodeWorker {
  postMessage(message: unknown): void;
  on(event: "message" | "error" | "exit", listener: (message: unknown) => void): void;
  unref(): void;
  terminate(): unknown;
}

interface NodeThreads {
  readonly Worker: new (source: string, options: { eval: true; execArgv: string[] }) => NodeWorker;
}

/**
 * `node:worker_threads` where it exists (Node, Deno): its workers can be unreferenced, so a script that
 * calls attention() once ends by itself. A web worker of Deno cannot: it holds the process until closed.
 */
function nodeThreads(): NodeThreads | undefined {
  if ((globalThis as { Bun?: unknown }).Bun !== undefined) return undefined;
  return builtin<NodeThreads>("node:worker_threads");
}

function startNode(threads: NodeThreads, start: WorkerStart, { hear, gone }: Ears): Thread {
  const source = `const { parentPort: port } = require("node:worker_threads");
port.once("message", (start) => (${workerSource})(start, (m) => port.postMessage(m)));`;
  // without what the program loads beforehand: it costs time, and nothing of it is needed
  const worker = new threads.Worker(source, { eval: true, execArgv: [] });
  worker.on("message", (message) => hear(String(message)));
  worker.on("error", gone);
  worker.on("exit", () => gone("it ended"));
  worker.unref();
  worker.postMessage(start);
  return { stop: () => void worker.terminate() };
}

interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL: (url: string) => string }): {
    createScriptURL(url: string): string;
  };
}

/** The policy under which pages with Trusted Types let workers start; made once, as its name is taken then. */
let policy: ReturnType<TrustedTypes["createPolicy"]> | undefined;

function webWorker(url: string): Worker {
  try {
    return new Worker(url, { type: "module" });
  } catch (error) {
    const { trustedTypes } = globalThis as { trustedTypes?: TrustedTypes };
    if (!trustedTypes) throw error;
    try {
      policy ??= trustedTypes.createPolicy("flashtile", { createScriptURL: (url) => url });
    } catch {
      throw error; // it says what is wanted; that of the policy does not
    }
    return new Worker(policy.createScriptURL(url), { type: "module" });
  }
}

function startWeb(start: WorkerStart, { hear, gone }: Ears): Thread {
  const source = `onmessage = (e) => (${workerSource})(e.data, (m) => postMessage(m));`;
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  let worker: Worker & { unref?: () => void };
  try {
    worker = webWorker(url);
  } catch (error) {
    URL.revokeObjectURL(url);
    throw error;
  }
  worker.onmessage = (event) => {
    URL.revokeObjectURL(url);
    hear(String(event.data));
  };
  worker.onerror = (event) => {
    event.preventDefault();
    gone(event.message ?? "");
  };
  worker.unref?.();
  worker.postMessage(start);
  return { stop: () => worker.terminate() };
}

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
/** Milliseconds after which a waiting call looks for itself. */
const LOOK_MS = 10;

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
  readonly #threads = new Map<number, Thread>();
  readonly #ready = new Set<number>();
  #wanted = 0;
  #lost = 0;
  #begun = 0;
  #refused = false;
  #shortage: string | undefined;
  #message = "";
  #stopped = false;
  #wake: (() => void) | undefined;
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
    const ears: Ears = {
      hear: (message) => this.#hear(index, message),
      gone: (error) => this.#miss(index, error),
    };
    this.#begun = performance.now();
    Atomics.store(this.control, Control.Busy + index, 0);
    try {
      const node = nodeThreads();
      this.#threads.set(index, node ? startNode(node, start, ears) : startWeb(start, ears));
    } catch (error) {
      this.#refuse(error);
    }
  }

  #hear(index: number, message: string): void {
    if (message === "ready") {
      this.#ready.add(index);
      setTimeout(() => this.#startSome()); // after timers that are due: making one takes a while
    } else if (message !== "step") this.#message = message;
    this.#wake?.();
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
    if (this.#ready.delete(index)) {
      this.#refused ||= ++this.#lost >= MOST_LOST;
      this.#message = (error as Error)?.message ?? String(error);
      this.#shortage ??= `a worker thread was lost (${this.#message})`;
      // it may have been inside an item, which then nobody finishes
      if (Atomics.load(this.control, Control.Busy + index)) {
        Atomics.store(this.control, Control.Failed, 1);
      }
    } else this.#refuse(error);
    thread.stop();
    this.#wake?.();
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
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#wake = undefined;
        resolve();
      };
      const timer = setTimeout(wake, LOOK_MS);
      this.#wake = wake;
    });
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
