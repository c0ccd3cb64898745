// Whether worker threads are really up, for Node. No top-level await: it is also run as CommonJS.
import { createEngine } from "@flashtile/attention";
import { forwardBackward } from "./job.ts";
import type { ThreadsReport } from "./messages.ts";

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
  let numbers = await forwardBackward(engine);
  // calls keep coming until workers are called for, and workers take some time to come up
  for (let n = 0; n < 20; n++) numbers = await forwardBackward(engine);
  for (let n = 0; n < 100 && ready === 0; n++) await new Promise((done) => setTimeout(done, 20));
  const { target, reason } = engine;
  const report: ThreadsReport = {
    numbers,
    threads: target.backend === "wasm" ? target.threads : 0,
    ready,
    reason,
  };
  console.log(JSON.stringify(report));
  engine.dispose();
}

main();
