/**
 * The unfused attention of bench/asm/unfused.ts, compiled and ready to call.
 * @module
 */

import { type Case, forwardFlops, type Operands, square } from "../cases.ts";
import { compileAsm } from "../compile_asm.ts";
import { EXP_TABLE_BYTES, writeExpTable } from "../limits/exp_table.ts";
import { type RaceOptions, timeAlone } from "../measure/race.ts";
import { unfusedTiles } from "./unfused_wasm_tiles.ts";

interface UnfusedExports extends WebAssembly.Exports {
  scratchBytes(length: number, columns: number): number;
  attend(
    q: number,
    k: number,
    v: number,
    o: number,
    heads: number,
    length: number,
    columns: number,
    scale: number,
    scratch: number,
    table: number,
  ): void;
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
    const c = this.#case;
    const { q, k, v, o } = this.#views;
    const heads = c.batch * c.queryHeads;
    const scale = 1 / Math.sqrt(c.headDim);
    this.#kernel.attend(
      q.byteOffset,
      k.byteOffset,
      v.byteOffset,
      o.byteOffset,
      heads,
      c.lengthK,
      c.headDim,
      scale,
      this.#scratch,
      0,
    );
  }

  /** A copy of the output. */
  output(): Float32Array {
    return this.#views.o.slice();
  }
}

/** GFLOP/s of the unfused kernel alone, for a look without the library. */
export async function unfusedSpeed(
  length: number,
  headDim: number,
  options: RaceOptions,
): Promise<number> {
  const c = square(`u${length}d${headDim}`, 12, length, headDim);
  const kernel = await Unfused.create(c);
  const timing = await timeAlone(c.name, () => kernel.run(), options);
  return forwardFlops(c) / timing.medianMs / 1e6;
}
