/** Backends of TensorFlow.js that tests run on, and tensors with the values of a case. */

import * as tf from "@tensorflow/tfjs";
import { setWasmPaths } from "@tensorflow/tfjs-backend-wasm";
import "@tensorflow/tfjs-backend-webgpu";
import { createFlashAttention, type FlashAttention } from "@flashtile/attention/tfjs";
import { normalNumbers, seedOf } from "../random.ts";
import { absent } from "../webgpu/support.ts";

// its file lies beside its code, wherever Deno keeps that
setWasmPaths(new URL("./", import.meta.resolve("@tensorflow/tfjs-backend-wasm")).pathname);

export type BackendName = "cpu" | "wasm" | "webgpu";

/** Why a backend cannot run here. */
const LACKS: { readonly [name in BackendName]?: string | undefined } = { webgpu: absent };

/** Sets a backend; the op for it. */
export async function useBackend(name: BackendName): Promise<FlashAttention<tf.Tensor>> {
  if (!await tf.setBackend(name)) throw new Error(`TensorFlow.js has no backend ${name} here`);
  return await createFlashAttention<tf.Tensor>(tf);
}

/** A test on each backend. */
export function onBackends(
  title: string,
  fn: (flashAttention: FlashAttention<tf.Tensor>, name: BackendName) => Promise<void> | void,
  names: readonly BackendName[] = ["cpu", "wasm", "webgpu"],
): void {
  for (const name of names) {
    const lacks = LACKS[name], why = lacks === undefined ? "" : ` (left out: ${lacks})`;
    Deno.test({
      name: `${title}: ${name}${why}`,
      ignore: lacks !== undefined,
      sanitizeOps: false,
      sanitizeResources: false,
      fn: async () => await fn(await useBackend(name), name),
    });
  }
}

/** Normal numbers that the name of a tensor and its shape decide. */
export function normal(name: string, shape: readonly number[]): tf.Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  return tf.tensor(Float32Array.from(normalNumbers(seedOf(`${name} ${shape}`), size)), [...shape]);
}

/** Values in host memory, one after the other. */
export async function valuesOf(tensors: readonly tf.Tensor[]): Promise<Float32Array[]> {
  return await Promise.all(tensors.map(async (t) => Float32Array.from(await t.data())));
}
