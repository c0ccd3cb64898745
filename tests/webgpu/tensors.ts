/** Tensors of tests, in GPU memory and back home. */

import assert from "node:assert/strict";
import type { AnyTensor, Engine, Tensor } from "../../mod.ts";
import type { GpuBuffer } from "../../src/webgpu/device/api.ts";
import { hostTensor } from "../backends.ts";
import { decode } from "../half.ts";
import type { TestTensor } from "../reference/problem.ts";
import { mapTuple } from "../tuples.ts";

/** A tensor of the engine with the values of a host tensor. */
export const place = (engine: Engine, { data, shape, dtype }: TestTensor): Tensor =>
  engine.tensor(data, shape, dtype);

/** The buffer of a result, as `engine.device` programs find it. */
export const bufferOf = (tensor: Tensor): GpuBuffer =>
  (tensor as unknown as { buffer: GpuBuffer }).buffer;

/** The bits of a tensor's values. */
function bitsOf({ data }: TestTensor): Uint16Array | Uint32Array {
  return data.BYTES_PER_ELEMENT === 4
    ? new Uint32Array(data.buffer, data.byteOffset, data.length)
    : new Uint16Array(data.buffer, data.byteOffset, data.length);
}

/** Fails unless shapes are the same and every value is within `bound`. */
export function close(got: TestTensor, want: TestTensor, bound: number, about: string): void {
  const [a, b] = mapTuple([got, want], ({ data, dtype }) => decode(data, dtype ?? "f32"));
  assert.equal(a.length, b.length, about);
  assert.deepEqual([...got.shape], [...want.shape], about);
  const worst = a.reduce((most, x, n) => Math.max(most, x === b[n] ? 0 : Math.abs(x - b[n]!)), 0);
  assert.ok(worst <= bound, `${about}: off by ${worst}`);
}

/** Fails with the first place where two tensors differ. */
export function sameBits(got: TestTensor, want: TestTensor, about: string): void {
  const [a, b] = [bitsOf(got), bitsOf(want)], place = a.findIndex((bits, n) => bits !== b[n]);
  assert.equal(a.length, b.length, about);
  assert.equal(place, -1, `${about} differs at element ${place}`);
}

/** A tensor wherever it is, in host memory. */
export async function home(tensor: AnyTensor): Promise<TestTensor> {
  if (!("read" in tensor)) return hostTensor(tensor);
  return hostTensor({ data: await tensor.read(), shape: tensor.shape, dtype: tensor.dtype });
}

/** Results of a call in host memory. */
export async function homes<R extends object>(
  results: R,
): Promise<Record<string, TestTensor> & { [name in keyof R]: TestTensor }> {
  const entries = Object.entries(results) as [string, AnyTensor][];
  const found = await Promise.all(
    entries.map(async ([name, tensor]) => [name, await home(tensor)] as const),
  );
  return Object.fromEntries(found) as Awaited<ReturnType<typeof homes<R>>>;
}
