/**
 * The unfused attention of bench/asm/unfused.ts, compiled and ready to call.
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

let compiled: Promise<WebAssembly.Module> | undefined;

/** One self-attention case with its operands resident in the kernel's own memory. */
export class Unfused {
  readonly #kernel: UnfusedExports;
  readonly #case: Case;
  readonly #views: Readonly<Record<"q" | "k" | "v" | "o", Float32Array>>;
  readonly #scratch: number;

  static async create(c: Case): Promise<Unfused> {
    const generated = { "bench/asm/unfused_tiles.ts": unfusedTiles() };
    compiled ??= compileAsm("bench/asm/unfused", generated);
    return new Unfused(await compiled, c);
  }

  private constructor(module: WebAssembly.Module, c: Case) {
    if (c.lengthQ !== c.lengthK || c.lengthK % 8 || c.headDim % 8 || c.kvHeads !== c.queryHeads) {
      throw new RangeError(
        `Cannot run ${c.name} unfused: plain self-attention, multiples of 8 only`,
      );
    }
    const memory = new WebAssembly.Memory({ initial: 1 });
    this.#kernel = new WebAssembly.Instance(module, { env: { memory } }).exports as UnfusedExports;
    this.#case = c;
    const count = c.batch * c.queryHeads * c.lengthK * c.headDim;
    const bytes = count * 4;
    this.#scratch = EXP_TABLE_BYTES + 4 * bytes;
    const total = this.#scratch + this.#kernel.scratchBytes(c.lengthK, c.headDim);
    memory.grow(Math.ceil(total / 65536));
    writeExpTable(memory, 0);
    const view = (i: number) => new Float32Array(memory.buffer, EXP_TABLE_BYTES + i * bytes, count);
    this.#views = { q: view(0), k: view(1), v: view(2), o: view(3) };
  }

  /** Copies the operands in. */
  load(data: Operands): void {
    this.#views.q.set(data.q);
    this.#views.k.set(data.k);
    this.#views.v.set(data.v);
  }

  run(): void {
    const { batch, queryHeads, lengthK, headDim } = this.#case, { q, k, v, o } = this.#views;
    const places = [q, k, v, o].map((view) => view.byteOffset);
    const sizes = [batch * queryHeads, lengthK, headDim, 1 / Math.sqrt(headDim)];
    this.#kernel.attend(...places, ...sizes, this.#scratch, 0);
  }

  /** A copy of the output. */
  output(): Float32Array {
    return this.#views.o.slice();
  }
}
