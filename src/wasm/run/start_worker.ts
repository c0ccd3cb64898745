// Starting a worker on any host from a text: no file, no permission and no bundler is needed for it.
import { builtin } from "./host.ts";

/** A worker of any host. */
export interface StartedWorker {
  /** Sends a message; what is in `transfer` goes with it and is gone here. */
  readonly post: (message: unknown, transfer?: readonly ArrayBuffer[]) => void;
  readonly stop: () => void;
}

/** What is heard of a worker. */
export interface WorkerEars {
  /** What it tells. */
  readonly hear: (message: unknown) => void;
  /** It is gone, or never came. */
  readonly gone: (error: unknown) => void;
}

interface NodeWorker {
  postMessage(message: unknown, transfer?: readonly ArrayBuffer[]): void;
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
export function nodeThreads(): NodeThreads | undefined {
  if ((globalThis as { Bun?: unknown }).Bun !== undefined) return undefined;
  return builtin<NodeThreads>("node:worker_threads");
}

function startNode(
  threads: NodeThreads,
  text: string,
  start: unknown,
  { hear, gone }: WorkerEars,
): StartedWorker {
  const source = `const { parentPort: port } = require("node:worker_threads");
port.once("message", (start) => {
  const handle = (${text})(start, (m, transfer) => port.postMessage(m, transfer));
  if (handle) port.on("message", handle);
});`;
  // without what the program loads beforehand: it costs time, and nothing of it is needed
  const worker = new threads.Worker(source, { eval: true, execArgv: [] });
  worker.on("message", hear);
  worker.on("error", gone);
  worker.on("exit", () => gone("it ended"));
  worker.unref();
  worker.postMessage(start);
  return {
    post: (message, transfer) => worker.postMessage(message, transfer),
    stop: () => void worker.terminate(),
  };
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

function startWeb(text: string, start: unknown, { hear, gone }: WorkerEars): StartedWorker {
  const source = `onmessage = (first) => {
  const handle = (${text})(first.data, (m, transfer) => postMessage(m, transfer || []));
  onmessage = handle ? (e) => handle(e.data) : null;
};`;
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
    hear(event.data);
  };
  worker.onerror = (event) => {
    event.preventDefault();
    gone(event.message ?? "");
  };
  worker.unref?.();
  worker.postMessage(start);
  return {
    post: (message, transfer = []) => worker.postMessage(message, [...transfer]),
    stop: () => worker.terminate(),
  };
}

/**
 * Starts a worker that runs a function of what it is given to start and of how it answers; a function that this returns
 * is called with each later message. `text`: the text of the function. Throws where the host refuses at once.
 */
export function startWorker(text: string, start: unknown, ears: WorkerEars): StartedWorker {
  const node = nodeThreads();
  return node ? startNode(node, text, start, ears) : startWeb(text, start, ears);
}
