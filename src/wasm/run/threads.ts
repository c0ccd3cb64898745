// A pool of worker threads that outlives calls but never keeps the process alive.
//
// Work is pulled: a call publishes items in shared memory, and every thread, the calling one included,
// takes the next by an atomic counter. A worker that is still starting up simply joins late, so no call
// ever waits for one.
import { Control } from "../../../asm/abi.ts";
import { CONTROL_BYTE, type LinearMemory } from "../memory/linear_memory.ts";
import { workerMain, type WorkerStart } from "./worker.ts";

/** A worker of any host, reduced to what the pool needs. */
interface Thread {
  readonly stop: () => void;
}

interface NodeWorker {
  postMessage(message: unknown): void;
  on(event: "message" | "error", listener: (message: unknown) => void): void;
  unref(): void;
  terminate(): unknown;
}

interface NodeThreads {
  readonly Worker: new (source: string, options: { eval: true }) => NodeWorker;
}

/**
 * `node:worker_threads` where it exists (Node, Deno): its workers can be unreferenced, so a script that
 * calls attention() once ends by itself. A web worker of Deno cannot: it holds the process until closed.
 */
function nodeThreads(): NodeThreads | undefined {
  const { process, Bun } = globalThis as {
    process?: { getBuiltinModule?: (name: string) => unknown };
    Bun?: unknown;
  };
  if (Bun !== undefined) return undefined;
  try {
    return process?.getBuiltinModule?.("node:worker_threads") as NodeThreads | undefined;
  } catch {
    return undefined;
  }
}

function startNode(threads: NodeThreads, start: WorkerStart, hear: (m: string) => void): Thread {
  const source = `const { parentPort: port } = require("node:worker_threads");
port.once("message", (start) => (${workerMain})(start, (m) => port.postMessage(m)));`;
  const worker = new threads.Worker(source, { eval: true });
  worker.on("message", (message) => hear(String(message)));
  worker.on("error", (error) => hear(String(error)));
  worker.unref();
  worker.postMessage(start);
  return { stop: () => void worker.terminate() };
}

function startWeb(start: WorkerStart, hear: (m: string) => void): Thread {
  const source = `onmessage = (e) => (${workerMain})(e.data, (m) => postMessage(m));`;
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const worker = new Worker(url, { type: "module" }) as Worker & { unref?: () => void };
  worker.onmessage = (event) => {
    URL.revokeObjectURL(url);
    hear(String(event.data));
  };
  worker.onerror = (event) => {
    event.preventDefault();
    hear(event.message);
  };
  worker.unref?.();
  worker.postMessage(start);
  return { stop: () => worker.terminate() };
}

/** Whether this host has workers at all. Asks for Worker first: a look at `process` takes Deno 15 ms. */
export function canThread(): boolean {
  if (typeof Worker === "function") return true;
  const { process } = globalThis as { process?: { getBuiltinModule?: unknown } };
  return typeof process?.getBuiltinModule === "function";
}

/** Worker threads on one shared memory. */
export class ThreadPool {
  readonly control: Int32Array;
  readonly #threads: Thread[] = [];
  #message = "";

  constructor(memory: LinearMemory) {
    this.control = new Int32Array(memory.memory.buffer, CONTROL_BYTE, Control.Words);
  }

  /** Starts workers until there are `count`. Returns at once; they join when they are up. */
  start(module: WebAssembly.Module, memory: WebAssembly.Memory, count: number): void {
    const node = nodeThreads();
    while (this.#threads.length < count) {
      const start: WorkerStart = {
        module,
        memory,
        control: CONTROL_BYTE,
        index: this.#threads.length + 1,
        words: {
          published: Control.Published,
          next: Control.Next,
          done: Control.Done,
          items: Control.Items,
          first: Control.First,
          failed: Control.Failed,
          closed: Control.Closed,
          scratch: Control.Scratch,
          left: Control.Left,
          leftCount: Control.LeftCount,
        },
      };
      const hear = (message: string) => {
        if (message !== "ready") this.#message = message;
      };
      this.#threads.push(node ? startNode(node, start, hear) : startWeb(start, hear));
    }
  }

  /** Whether workers were started. */
  get started(): boolean {
    return this.#threads.length > 0;
  }

  /** What the last failing worker said. */
  get message(): string {
    return this.#message;
  }

  /** Wakes all workers and lets them go. */
  stop(): void {
    Atomics.store(this.control, Control.Closed, 1);
    Atomics.add(this.control, Control.Published, 0);
    Atomics.notify(this.control, Control.Published);
    for (const { stop } of this.#threads) stop();
    this.#threads.length = 0;
  }
}
