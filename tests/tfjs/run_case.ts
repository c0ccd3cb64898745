/** A case of `cases.ts` run with an op, and what comes of it compared; pages use it too. */

import * as tf from "@tensorflow/tfjs";
import { normalNumbers, seedOf } from "../random.ts";
import type { Case, Learned } from "./cases.ts";

type Op = (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, learned: Learned) => tf.Tensor;

/** The result of a case and the gradients of all its tensors, by name. */
export async function runCase(c: Case, op: Op): Promise<Map<string, Float32Array>> {
  const extra = Object.keys(c.learned ?? {});
  const inputs = [
    ...(["q", "k", "v"] as const).map((name) => normal(`${c.name} ${name}`, c[name])),
    ...extra.map((name) => normal(`${c.name} ${name}`, c.learned![name]!)),
  ];
  const call = (...given: tf.Tensor[]) => {
    const learned = Object.fromEntries(extra.map((name, n) => [name, given[3 + n]!]));
    return op(given[0]!, given[1]!, given[2]!, learned);
  };
  const out = call(...inputs), weights = normal(`${c.name} weights`, out.shape);
  const gradients = tf.grads((...given) => tf.sum(tf.mul(call(...given), weights)))(inputs);
  const values = await valuesOf([out, ...gradients]);
  const names = ["out", ...["q", "k", "v", ...extra].map((name) => `d ${name}`)];
  tf.disposeVariables();
  return new Map(names.map((name, n) => [name, values[n]!]));
}

/** Rounding of both sides in sums of up to 67 terms, of the largest value. */
const ALLOWED = 3e-6;

/** Throws unless values are those that are wanted. */
export function compare(got: Float32Array, want: Float32Array, name: string): void {
  if (got.length !== want.length) throw new Error(`${name} has ${got.length} values`);
  const size = Math.max(1, ...want.map(Math.abs));
  got.forEach((x, n) => {
    const error = Math.abs(x - want[n]!);
    if (error <= ALLOWED * size) return;
    throw new Error(
      `${name}[${n}] is ${x} but must be ${want[n]} (${error / size})`,
    );
  });
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
