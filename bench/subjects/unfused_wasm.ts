/**
 * The unfused attention of bench/asm/unfused.ts, compiled and ready to call: one self-attention case
 * with its operands resident in the kernel's own memory.
 * @module
 */

import { type Case, type Operands, shapes } from "../cases.ts";
import { asmModule, instantiate, OPERANDS } from "./asm.ts";

interface UnfusedKernel {
  scratchBytes(length: number, columns: number): number;
  /** q, k, v, o, heads, length, columns, scale, scratch. */
  attend(...operands: number[]): void;
}

export interface Unfused {
  /** Copies the operands in. */
  load(data: Operands): void;
  run(): void;
  /** A copy of the output. */
  output(): Float32Array;
}

let compiled: Promise<WebAssembly.Module> | undefined;

export async function prepareUnfused(c: Case): Promise<Unfused> {
  const { batch, queryHeads, kvHeads, lengthQ, lengthK, headDim } = c;
  if (lengthQ !== lengthK || lengthK % 8 || headDim % 8 || kvHeads !== queryHeads) {
    throw new RangeError(`Cannot run ${c.name} unfused: plain self-attention, multiples of 8 only`);
  }
  const module = await (compiled ??= asmModule("unfused"));
  const count = shapes(c).q.reduce((a, b) => a * b, 1), scratch = OPERANDS + 4 * 4 * count;
  const { kernel, memory } = instantiate<UnfusedKernel>(module, 4 * 4 * count);
  memory.grow(Math.ceil(kernel.scratchBytes(lengthK, headDim) / 65536));
  const [q, k, v, o] = [0, 1, 2, 3]
    .map((i) => new Float32Array(memory.buffer, OPERANDS + i * 4 * count, count));
  const places = [q, k, v, o].map((view) => view.byteOffset);
  const sizes = [batch * queryHeads, lengthK, headDim, 1 / Math.sqrt(headDim)];
  return {
    load(data) {
      q.set(data.q);
      k.set(data.k);
      v.set(data.v);
    },
    run: () => kernel.attend(...places, ...sizes, scratch),
    output: () => o.slice(),
  };
}
