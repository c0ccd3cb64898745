/**
 * Lets LiteRT.js load its WebAssembly in Deno. It looks for the functions of a browser's worker, and its script, which
 * takes Deno for Node, for those of a CommonJS module.
 */

import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const home = new URL("../", import.meta.resolve("@litertjs/core"));

/** Where its scripts are. */
export const wasmFolder = new URL("wasm/", home).href;

/** The script says what it finds of accelerators; only errors are wanted. */
const quiet = { ...console, log() {}, warn() {}, error() {} };

Object.assign(globalThis, {
  importScripts(url: string): void {
    const path = fileURLToPath(url), text = Deno.readTextFileSync(path);
    const names = ["require", "__filename", "__dirname", "console"];
    const factory = new Function(...names, `${text}\nreturn ModuleFactory;`);
    const folder = fileURLToPath(new URL(".", url));
    const ModuleFactory = factory(createRequire(url), path, folder, quiet);
    Object.assign(globalThis, { ModuleFactory });
  },
});
