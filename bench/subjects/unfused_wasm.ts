/**
 * The unfused attention of bench/asm/unfused.ts, compiled and ready to call: one self-attention case
 * with its operands resident in the kernel's own memory.
 * @module
 */

import type { Case, Operands } from "../cases.ts";
import { compileAsm } from "../compile_asm.ts";
import { EXP_TABLE_BYTES, writeExpTable } from "../limits/exp_table.ts";
import { unfusedTiles } from "./unfused_wasm_tiles.ts";

interface UnfusedExports extends WebAssembly.Exports {
  scratchBytes(length: number, columns: number): number;
  /** q, k, v, o, heads, length, columns, scale, scratch, exponential table. */
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
  const generated = { "bench/asm/unfused_tiles.ts": unfusedTiles() };
  compiled ??= compileAsm("bench/asm/unfused", generated);
  const memory = new WebAssembly.Memory({ initial: 1 });
  const instance = new WebAssembly.Instance(await compiled, { env: { memory } });
  const kernel = instance.exports as UnfusedExports;
  const count = batch * queryHeads * lengthK * headDim;
  const scratch = EXP_TABLE_BYTES + 4 * 4 * count;
  memory.grow(Math.ceil((scratch + kernel.scratchBytes(lengthK, headDim)) / 65536));
  writeExpTable(memory, 0);
  const [q, k, v, o] = [0, 1, 2, 3]
    .map((i) => new Float32Array(memory.buffer, EXP_TABLE_BYTES + i * 4 * count, count));
  const places = [q, k, v, o].map((view) => view.byteOffset);
  const sizes = [batch * queryHeads, lengthK, headDim, 1 / Math.sqrt(headDim)];
  return {
    load(data) {
      q.set(data.q);
      k.set(data.k);
      v.set(data.v);
    },
    run: () => kernel.attend(...places, ...sizes, scratch, 0),
    output: () => o.slice(),
  };
}
