/** Backends of TensorFlow.js that tests run on, and tensors with the values of a case. */

import * as tf from "@tensorflow/tfjs";
import { setWasmPaths } from "@tensorflow/tfjs-backend-wasm";
import "@tensorflow/tfjs-backend-webgpu";
import { createFlashAttention, type FlashAttention } from "@flashtile/attention/tfjs";
import { elsewhere, type Part, testUnless } from "../selection.ts";
import { absent } from "../webgpu/support.ts";

// its file lies beside its code, wherever Deno keeps that
setWasmPaths(new URL("./", import.meta.resolve("@tensorflow/tfjs-backend-wasm")).pathname);

export { normal, valuesOf } from "./run_case.ts";

export type BackendName = "cpu" | "wasm" | "webgpu";

/** Why a backend cannot run here. */
const LACKS: { readonly [name in BackendName]?: string | undefined } = { webgpu: absent };

/** Sets a backend; the op for it. */
export async function useBackend(name: BackendName): Promise<FlashAttention<tf.Tensor>> {
  if (!await tf.setBackend(name)) throw new Error(`TensorFlow.js has no backend ${name} here`);
  return await createFlashAttention<tf.Tensor>(tf);
}

/**
 * A test on each backend. A GPU, which compiles for each option, is in the rest of the tests where `gpu` does not say
 * otherwise: the grid has its kernels.
 */
export function onBackends(
  title: string,
  fn: (flashAttention: FlashAttention<tf.Tensor>, name: BackendName) => Promise<void> | void,
  names: readonly BackendName[] = ["cpu", "wasm", "webgpu"],
  gpu: Part = "rest",
): void {
  for (const name of names) {
    const lacks = LACKS[name] ?? elsewhere(name === "webgpu" ? gpu : "core");
    Deno.test({
      ...testUnless(lacks, `${title}: ${name}`),
      fn: async () => await fn(await useBackend(name), name),
    });
  }
}
