// Which backend computes a call whose tensors leave the choice.
import type { Estimates } from "../plan/estimate.ts";
import { HAD_BY } from "../problem/precision.ts";
import type { AttentionProblem } from "../problem/problem.ts";

/** Whether the GPU does, and why. */
export function quicker(
  { precision }: AttentionProblem,
  { wasm, webgpu = Infinity }: Estimates,
): { readonly onGpu: boolean; readonly why: string } {
  if (precision !== "f32") {
    return { onGpu: precision === "f16", why: `precision "${precision}" is ${HAD_BY[precision]}` };
  }
  const why = `about ${webgpu.toFixed(1)} ms on the GPU and ${wasm.toFixed(1)} ms in WASM`;
  return { onGpu: webgpu <= wasm, why };
}
