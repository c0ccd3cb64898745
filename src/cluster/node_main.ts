// A node as a program of its own, without the rest of the command line: `deno task cluster:node --help`.
import process from "node:process";
import { parseArgs } from "node:util";
import type { BackendName } from "../engine/engine_options.ts";
import { HERE } from "./command_line.ts";
import { runNode } from "./run_node.ts";

const HELP = `A node of a cluster, until SIGTERM or Ctrl-C drains it.

Usage: deno task cluster:node [--servers URL,URL] [--name NAME] [options]

  --servers URL,URL  NATS (default ${HERE})
  --name NAME        what it is called (default: node- and its process)
  --cluster NAME     which cluster of those there (default main)
  --threads N        threads on the CPU (default: one for each core)
  --backend NAME     auto, wasm or webgpu (default auto)
  --user, --pass, --token   credentials of NATS, which lists of processes show`;

const text = { type: "string" } as const;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      ...{ servers: text, name: text, cluster: text, threads: text, backend: text },
      ...{ user: text, pass: text, token: text, help: { type: "boolean", short: "h" } },
    },
  });
  const { threads, backend, help, ...words } = values, stop = new AbortController();
  if (help) return console.log(HELP);
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => stop.abort());
  const engine = {
    threads: threads === undefined ? undefined : Number(threads),
    backend: backend as BackendName | undefined,
  };
  await runNode({ ...words, engine }, stop.signal, console.log);
}

try {
  await main();
  process.exit(0);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
