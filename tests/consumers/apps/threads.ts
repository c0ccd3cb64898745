// Whether worker threads are really up, for Node. No top-level await: it is also run as CommonJS.
import { createEngine } from "@flashtile/attention";
import { tour } from "./tour.ts";

interface NodeWorker {
  on(event: "message", listener: (message: unknown) => void): void;
}

interface NodeThreads {
  Worker: new (...args: unknown[]) => NodeWorker;
}

const { process } = globalThis as unknown as {
  process: { getBuiltinModule(name: string): NodeThreads };
};
const threads = process.getBuiltinModule("node:worker_threads"), { Worker } = threads;
let ready = 0;
threads.Worker = class extends Worker {
  constructor(...args: unknown[]) {
    super(...args);
    this.on("message", (message) => message === "ready" && ready++);
  }
};

async function main(): Promise<void> {
  const engine = await createEngine({ backend: "wasm", threads: 2 });
  console.log(JSON.stringify(await tour(engine, () => ready)));
  engine.dispose();
}

main();
