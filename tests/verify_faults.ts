/** Engines that compute wrongly: what `verify` is there to find. */

import type { BackendResult } from "../src/backend/backend.ts";
import { WasmBackend } from "../src/wasm/backend.ts";
import { WebGpuBackend } from "../src/webgpu/backend.ts";

/** Runs something on engines whose results have one element changed: number `at` of the result `name`. */
export async function withFault(
  { name, at }: { readonly name: BackendResult["name"]; readonly at: number },
  change: (x: number) => number,
  run: () => Promise<void>,
): Promise<void> {
  const wasm = WasmBackend.prototype.run, gpu = WebGpuBackend.prototype.run;
  const broken = (results: readonly BackendResult[]) => {
    const { data } = results.find((one) => one.name === name)!.tensor as { data: Float32Array };
    data[at] = change(data[at]!);
    return results;
  };
  WasmBackend.prototype.run = async function (...args) {
    return broken(await wasm.apply(this, args));
  };
  WebGpuBackend.prototype.run = async function (...args) {
    return broken(await gpu.apply(this, args));
  };
  try {
    await run();
  } finally {
    Object.assign(WasmBackend.prototype, { run: wasm });
    Object.assign(WebGpuBackend.prototype, { run: gpu });
  }
}
