/** What the tests of `precision: "int8"` and `"int8-pv"` share. */

import type { HostTensor } from "../mod.ts";
import { plainTensor } from "./inputs.ts";
import type { TestTensor } from "./reference/problem.ts";

export const int8 = { precision: "int8" } as const;
export const int8pv = { precision: "int8-pv" } as const;
/** Both, in order. */
export const both: readonly { readonly precision: "int8" | "int8-pv" }[] = [int8, int8pv];

export const q: TestTensor = plainTensor(1, [1, 60, 2, 32]);
export const k: TestTensor = plainTensor(2, [1, 250, 2, 32]);
export const v: TestTensor = plainTensor(3, [1, 250, 2, 32]);

export const numbers = ({ data }: HostTensor): Float32Array => data as Float32Array;
export const copy = ({ data, shape }: HostTensor): HostTensor => {
  return { data: Float32Array.from(data as Float32Array), shape };
};
export const largest = (x: Float32Array): number => x.reduce((a, b) => Math.max(a, Math.abs(b)), 0);

/** Largest difference of the rows of head 0, by row of q. */
export function differences(a: HostTensor, b: HostTensor): number[] {
  const [, rows, heads, columns] = a.shape as [number, number, number, number];
  return Array.from({ length: rows }, (_, i) => {
    const at = i * heads * columns, x = numbers(a).subarray(at, at + columns);
    return x.reduce((most, y, n) => Math.max(most, Math.abs(y - numbers(b)[at + n]!)), 0);
  });
}
