/** What the tests with other libraries share: values, and a device on which they all can compute. */

import assert from "node:assert/strict";
import { attention, type CallOptions, type HostTensor } from "@flashtile/attention";
import { normalNumbers, seedOf } from "../random.ts";

/** Values in host memory. */
export type Values = HostTensor<Float32Array<ArrayBuffer>>;

/** Normal values, the same in each run. */
export function normal(name: string, shape: readonly number[], amplitude = 1): Values {
  const size = shape.reduce((product, n) => product * n, 1);
  return { data: Float32Array.from(normalNumbers(seedOf(name), size, amplitude)), shape };
}

/** What host tensors give, in WebAssembly. */
export async function expected(
  q: Values,
  k: Values,
  v: Values,
  options: CallOptions = {},
): Promise<Values> {
  return (await attention(q, k, v, options)).out;
}

/** The product of the last axis with a square matrix, in float64. */
export function product({ data, shape }: Values, weights: Values): Values {
  const dim = shape.at(-1)!;
  const at = (_: number, n: number) => {
    let sum = 0;
    for (let d = 0; d < dim; d++) {
      sum += data[n - n % dim + d]! * weights.data[d * dim + n % dim]!;
    }
    return sum;
  };
  return { data: data.map(at), shape };
}

/** Roundings of float32 in sums of some tens of terms, as a share of the largest value. */
const TOLERANCE = 1e-5;

/** Throws where values differ by more than roundings. */
export function assertNear(got: ArrayLike<number>, { data: wanted }: Values, what: string): void {
  assert.equal(got.length, wanted.length, what);
  const largest = wanted.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  assert.ok(largest > 0, `${what} is all zero`);
  const worst = wanted.reduce((most, x, n) => Math.max(most, Math.abs(x - got[n]!)), 0);
  assert.ok(worst <= TOLERANCE * largest, `${what} differs by ${worst}, the largest is ${largest}`);
}

/** A device for all, or nothing where this machine has no WebGPU; as in the other suites, CI does not accept that. */
export async function openDevice(): Promise<GPUDevice | undefined> {
  const adapter = await navigator.gpu?.requestAdapter();
  if (adapter) return await adapter.requestDevice();
  if (Deno.env.get("FLASHTILE_GPU") === "required") throw new Error("there is no GPU adapter");
  console.log("not run on webgpu: there is no adapter");
  return undefined;
}
