// A node as a program:
//
//   deno task cluster:node --servers nats://127.0.0.1:4222 --name rack-7 [--cluster main] [--threads 4] [--backend wasm]
//     [--user NAME --pass WORD | --token WORD]
import process from "node:process";
import { parseArgs } from "node:util";
import { runNode } from "./run_node.ts";

const { values } = parseArgs({
  options: {
    servers: { type: "string", default: "nats://127.0.0.1:4222" },
    name: { type: "string" },
    cluster: { type: "string" },
    threads: { type: "string" },
    backend: { type: "string" },
    user: { type: "string" },
    pass: { type: "string" },
    token: { type: "string" },
  },
});
try {
  await runNode(values);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
