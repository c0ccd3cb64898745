/**
 * The raw bytes of the kernels, for hosts that must import a compiled module because they forbid
 * compiling at run time (Cloudflare Workers, some edge functions). Write them to a `.wasm` file when you
 * build, import that file as a module, and pass it to `createEngine({ wasmModule })`.
 *
 * @example Write kernel.wasm
 * ```ts
 * import { kernelBytes } from "@flashtile/attention/kernels";
 * import assert from "node:assert/strict";
 *
 * const bytes = kernelBytes("relaxed"); // or "plain"; then Deno.writeFileSync("kernel.wasm", bytes)
 * assert.ok(WebAssembly.validate(bytes));
 * ```
 *
 * @module
 */
import {
  kernelBytes as bytesOf,
  type SimdLevel,
  unpackCompiled,
} from "./wasm/module/kernel_bytes.ts";
import type { PackedKernels } from "./wasm/module/unpack.ts";
import { unpackAnywhere } from "./wasm/module/unpack_anywhere.ts";

export type { SimdLevel };

/**
 * The bytes of a build that imports unshared memory as `env.memory`: `"relaxed"` uses relaxed SIMD
 * (V8 from 2023, Bun, workerd), `"plain"` runs wherever WebAssembly SIMD does.
 *
 * @example
 * ```ts
 * import { createEngine } from "@flashtile/attention";
 * import { kernelBytes } from "@flashtile/attention/kernels";
 *
 * const wasmModule = await WebAssembly.compile(kernelBytes("plain"));
 * const engine = await createEngine({ wasmModule });
 * engine.dispose();
 * ```
 */
export function kernelBytes(level: SimdLevel): Uint8Array<ArrayBuffer> {
  return bytesOf(level, false, unpackHere);
}

/** The same bytes either way; where compiling is forbidden they take 20 ms. */
function unpackHere(packed: PackedKernels): Uint8Array<ArrayBuffer> {
  try {
    return unpackCompiled(packed);
  } catch {
    return unpackAnywhere(packed);
  }
}
