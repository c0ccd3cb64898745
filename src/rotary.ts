// The public call that rotates a tensor alone: check, run on an engine.
import { defaultEngine } from "./engine/create_engine.ts";
import { engineOf } from "./engine/engine_of.ts";
import type { ApplyRotaryOptions } from "./options.ts";
import type { AnyTensor, ResultOf } from "./tensor/tensor.ts";

/**
 * Rotates pairs of columns of `x` by the positions of its rows (Su et al. 2021, RoFormer): what the option `rotary` of
 * `attention` does to q and k, alone, for a cache of rotated keys for example. `x` is `[batch, length, heads, dim]`, in
 * layout `"bhsd"` `[batch, heads, length, dim]`. The result has its shape and storage type, and lives where it lives.
 * At once on both engines; a host tensor is rotated on the CPU.
 *
 * Pair p turns by `position * base^(-2p / dims)` radians, found in float64. `positions` is an Int32Array with one for each
 * row, `[length]` or `[batch, length]`, by default 0 to length - 1. With `inverse: true` it turns back: the gradient of x
 * from that of the result.
 *
 * @throws {TypeError} wrong type or rank. @throws {RangeError} sizes that do not fit, a position that tables do not have,
 * or out of memory.
 *
 * @example
 * ```ts
 * import { applyRotary } from "@flashtile/attention";
 * import assert from "node:assert/strict";
 *
 * // one head of two columns, (1, 0) in each of three rows: turned by 0, 1 and 2 radians
 * const x = { data: new Float32Array([1, 0, 1, 0, 1, 0]), shape: [1, 3, 1, 2] };
 * const { data } = applyRotary(x);
 * assert.deepEqual([...data], [0, 1, 2].flatMap((p) => [Math.cos(p), Math.sin(p)]).map(Math.fround));
 * ```
 */
export function applyRotary<T extends AnyTensor>(
  x: T,
  options: ApplyRotaryOptions = {},
): ResultOf<T> {
  return engineOf(options, "applyRotary", [x], defaultEngine).applyRotary(x, options);
}
