// A node as a program of its own, without the rest of the command line:
//
//   deno task cluster:node --servers nats://127.0.0.1:4222 --name rack-7 [--cluster main] [--threads 4] [--backend wasm]
//     [--user NAME --pass WORD | --token WORD]
import process from "node:process";
import { parseArgs } from "node:util";
import type { BackendName } from "../engine/engine_options.ts";
import { runNode } from "./run_node.ts";

const { values } = parseArgs({
  options: {
    servers: { type: "string" },
    name: { type: "string" },
    cluster: { type: "string" },
    threads: { type: "string" },
    backend: { type: "string" },
    user: { type: "string" },
    pass: { type: "string" },
    token: { type: "string" },
  },
});
const { threads, backend, ...words } = values, stop = new AbortController();
for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => stop.abort());
try {
  const engine = {
    threads: threads === undefined ? undefined : Number(threads),
    backend: backend as BackendName | undefined,
  };
  await runNode({ ...words, engine }, stop.signal, console.log);
  process.exit(0);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
