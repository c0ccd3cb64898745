/**
 * Compiles the AssemblyScript of this folder in process, when a bench starts: a compiled bench
 * kernel in the repository could go stale without anybody noticing.
 * @module
 */

import type Asc from "assemblyscript/asc";
import { existsSync, readFileSync } from "node:fs";
import { PASSES } from "../tools/build/passes.ts";

/** Like the product's build (tools/build/build.ts), which says why not `-O3`. */
const FLAGS = [
  ...`-O0 --runPasses ${PASSES} --noAssert --runtime stub --importMemory`.split(" "),
  ..."--use abort= --enable simd,relaxed-simd,bulk-memory".split(" "),
];

/** Loaded when something is compiled: a report on a GPU does without the registry and the compiler. */
const COMPILER = "assemblyscript/asc";

const REPOSITORY = new URL("../", import.meta.url);

/**
 * Compiles a source of the repository, given by its path without `.ts`, such as
 * `bench/asm/roofline`. `generated` holds sources that exist only as text, by path.
 */
export async function compileAsm(
  entry: string,
  generated: Readonly<Record<string, string>> = {},
): Promise<WebAssembly.Module> {
  let binary: Uint8Array<ArrayBuffer> | undefined;
  const { default: asc } = await import(COMPILER) as { default: typeof Asc };
  const args = [`${entry}.ts`, "--outFile", `${entry}.wasm`, ...FLAGS];
  const { error, stderr } = await asc.main(args, {
    readFile: (name: string) => generated[name] ?? source(name),
    writeFile: (_name: string, contents: string | Uint8Array) => {
      if (typeof contents !== "string") binary = new Uint8Array(contents);
    },
    listFiles: () => [],
  });
  if (error || !binary) throw new Error(`Cannot compile ${entry}.ts:\n${stderr.toString()}`);
  return await WebAssembly.compile(binary);
}

function source(name: string): string | null {
  const url = new URL(name, REPOSITORY);
  return existsSync(url) ? readFileSync(url, "utf8") : null;
}
