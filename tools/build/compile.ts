/**
 * Compiles AssemblyScript of this repository, for the product and for the benches.
 * @module
 */

import type Asc from "assemblyscript/asc";
import { existsSync, readFileSync } from "node:fs";

/**
 * The passes of asc, after -O0. Its own -O3 halves the speed of the register tiles (28 against 49
 * GFLOP/s): it moves values out of the locals that V8 turns into registers. Only such as leave them
 * there: coalesce-locals and vacuum would do for speed, the others make the module 10 % smaller
 * (docs/decisions/007).
 */
const PASSES = [
  ...["precompute", "optimize-instructions", "coalesce-locals", "vacuum", "reorder-locals"],
  ...["remove-unused-brs", "merge-blocks", "remove-unused-names", "remove-unused-module-elements"],
  "dce",
];
const FLAGS = [
  ...["-O0", "--runPasses", PASSES.join(), "--noAssert", "--runtime", "stub"],
  ...["--use", "abort="],
];

/** What else may be asked for. */
export interface CompileOptions {
  /** May change the text of every source by its path. */
  readonly edit?: ((path: string, text: string) => string) | undefined;
  /** A module with a memory that it exports, in place of one that is imported. */
  readonly ownMemory?: boolean;
}

/** Loaded when something is compiled: a bench of a GPU does without the registry and the compiler. */
const COMPILER = "assemblyscript/asc";

const root = new URL("../../", import.meta.url);

/**
 * Compiles a source, given by its path without `.ts`, such as `bench/asm/roofline`, with more flags of
 * asc, such as `--enable`.
 */
export async function compileAsm(
  entry: string,
  flags: readonly string[],
  { edit = (_path, text) => text, ownMemory = false }: CompileOptions = {},
): Promise<{ binary: Uint8Array<ArrayBuffer>; warnings: string }> {
  let binary: Uint8Array<ArrayBuffer> | undefined;
  const { default: asc } = await import(COMPILER) as { default: typeof Asc };
  const memory = ownMemory ? [] : ["--importMemory"];
  const args = [`${entry}.ts`, "--outFile", `${entry}.wasm`, ...FLAGS, ...memory, ...flags];
  const { error, stderr } = await asc.main(args, {
    readFile: (path: string) => {
      const url = new URL(path, root);
      return existsSync(url) ? edit(path, readFileSync(url, "utf8")) : null;
    },
    writeFile: (_name: string, contents: string | Uint8Array) => {
      if (typeof contents !== "string") binary = new Uint8Array(contents);
    },
    listFiles: () => [],
  });
  if (error || !binary) throw new Error(`Cannot compile ${entry}.ts:\n${stderr.toString()}`);
  return { binary, warnings: stderr.toString() };
}
