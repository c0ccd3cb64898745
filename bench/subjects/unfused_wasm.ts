/**
 * The unfused attention of bench/asm/unfused.ts, compiled and ready to call: one self-attention case
 * with its operands resident in the kernel's own memory.
 * @module
 */

import type { Case, Operands } from "../cases.ts";
import { compileAsm } from "../compile_asm.ts";
import { EXP_TABLE_BYTES, writeExpTable } from "../limits/exp_table.ts";

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

const STEPS = 8;
const PANEL_BYTES = 32;

/**
 * The source of the register tiles, imported by bench/asm/unfused.ts as `./unfused_tiles`.
 * AssemblyScript has neither macros nor arrays of registers, so a tile is written out: `rows` rows of
 * A against a panel of eight columns. Six rows fill twelve accumulators; with two vectors of B and one
 * of A that is every register V8 can hand out.
 */
function unfusedTiles(): string {
  return [[6, false], [4, false], [6, true], [4, true]]
    .map(([rows, adds]) => tile(Number(rows), Boolean(adds))).join("\n");
}

/**
 * `c[rows][8] = a[rows][depth] · b[depth][8]`, or `+=`; depth is a multiple of eight. The rows of A
 * lie `pitch` bytes apart; b and c are dense panels. One pointer per row with small offsets lets V8
 * share the address arithmetic of its bounds checks between the rows.
 */
function tile(rows: number, adds: boolean): string {
  const each = (make: (row: number) => string) => Array.from({ length: rows }, (_, r) => make(r));
  const start = (r: number, half: number) =>
    adds ? `v128.load(c, ${r * PANEL_BYTES + half * 16})` : "f32x4.splat(0)";
  const step = (s: number) => [
    `b0 = v128.load(b, ${s * PANEL_BYTES}); b1 = v128.load(b, ${s * PANEL_BYTES + 16});`,
    ...each((r) =>
      `x = v128.load_splat<f32>(a${r}, ${s * 4}); ` +
      `s${r} = f32x4.relaxed_madd(x, b0, s${r}); t${r} = f32x4.relaxed_madd(x, b1, t${r});`
    ),
  ];
  return `
export function ${adds ? "add" : "set"}${rows}(
  a: usize, pitch: usize, b: usize, c: usize, depth: i32,
): void {
  ${each((r) => `let s${r} = ${start(r, 0)}, t${r} = ${start(r, 1)};`).join("\n  ")}
  ${each((r) => `let a${r} = a + pitch * ${r};`).join(" ")}
  let b0: v128, b1: v128, x: v128;
  const end = a + (<usize>depth << 2);
  do {
    ${Array.from({ length: STEPS }, (_, s) => step(s)).flat().join("\n    ")}
    b += ${STEPS * PANEL_BYTES}; ${each((r) => `a${r} += ${STEPS * 4};`).join(" ")}
  } while (a0 < end);
  ${
    each((r) =>
      `v128.store(c, s${r}, ${r * PANEL_BYTES}); v128.store(c, t${r}, ${r * PANEL_BYTES + 16});`
    ).join("\n  ")
  }
}
`;
}
