/**
 * The flags of the benches: what they mean, as `--help` and bench/README.md say it, and what is said of wrong ones.
 * @module
 */

import process from "node:process";
import { parseArgs, type ParseArgsOptionsConfig } from "node:util";
import type { Flags } from "./context.ts";

export const OPTIONS: ParseArgsOptionsConfig = {
  help: { type: "boolean", default: false },
  backend: { type: "string", default: "wasm" },
  peers: { type: "boolean", default: false },
  quick: { type: "boolean", default: false },
  store: { type: "boolean", default: false },
  html: { type: "boolean", default: false },
  only: { type: "string", default: "" },
  threads: { type: "string", default: "1,2" },
  budget: { type: "string" },
  samples: { type: "string" },
  shapes: { type: "string" },
  modules: { type: "string" },
};

const HELP: Readonly<Record<string, string>> = {
  backend: "wasm (usual) or webgpu",
  peers: "beside other libraries",
  quick: "does it run? its figures mean little",
  store: "appends JSON lines to bench/results",
  html: "plots in bench/report.html",
  only: "sections, with commas between",
  threads: "thread counts of the CPU's report, 1,2 usually",
  budget: "seconds for each contender",
  samples: "samples of each peer on the CPU",
  shapes: "such as 1x8x4096x64: batch x heads x length x headDim, on a GPU",
  modules: "the folder with the peers",
};

/** Flags by name; ends the program where there are no such flags. */
export function readFlags(args: readonly string[], options: ParseArgsOptionsConfig): Flags {
  try {
    return parseArgs({ args: [...args], options }).values as Flags;
  } catch (error) {
    return refuse(`${(error as Error).message}\n\n${usage(options, [])}`);
  }
}

/** Ends the program with what is wrong about its flags: no stack says more. */
export function refuse(message: string): never {
  console.error(message);
  return process.exit(2);
}

/** What there is to ask for. */
export function usage(options: ParseArgsOptionsConfig, sections: readonly string[]): string {
  const lines = Object.keys(options).filter((name) => name !== "help")
    .map((name) => `  --${name}`.padEnd(14) + (HELP[name] ?? ""));
  const known = sections.length > 0 ? ["", `sections: ${sections.join(", ")}`] : [];
  return ["flags (bench/README.md says more)", ...lines, ...known].join("\n");
}
