// Loops whose times tell what an engine makes of instructions.
import { TURN_FLOPS } from "../../../src/wasm/run/loop_probe.ts";
import { range } from "./pitch.ts";

/** Enough for two pipes of four cycles where each is one operation of 256 bits: eight pairs of vectors of four, two operations each. */
const PAIRS = TURN_FLOPS / (2 * 4 * 2);

/**
 * `turns` turns of `step` in eight pairs of vectors, which are stored `apart` bytes from one another: neighbours, which may be
 * packed, or not. src/wasm/run/loop_probe.ts compares their times.
 */
function loop(name: string, apart: number, step: (i: number) => string): string {
  const all = range(2 * PAIRS);
  return [
    `export function ${name}(turns: i32): void {`,
    `  const p = probeRoom, x = v128.load(p), y = v128.load(p, 16), u = v128.load(p, 32), w = v128.load(p, 48);`,
    `  ${all.map((i) => `let c${i} = v128.load(p, ${64 + i * apart});`).join(" ")}`,
    `  for (; turns > 0; --turns) {`,
    `    ${all.map((i) => `c${i} = ${step(i)};`).join(" ")}`,
    `  }`,
    `  ${all.map((i) => i ^ 1).map((i) => `v128.store(p, c${i}, ${64 + i * apart});`).join(" ")}`,
    `}`,
  ].join("\n");
}

/** Of multiply-adds. */
export const probeLoop = (name: string, apart: number): string =>
  loop(name, apart, (i) => `madd(${i & 1 ? "y, w" : "x, u"}, c${i})`);

/**
 * Of dot products of bytes, which take as long as multiply-adds where each is one instruction, and twice as long or more
 * where it is several.
 */
export const dotLoop = (name: string): string =>
  loop(name, 32, (i) => `dotFours(${i & 1 ? "y, w" : "x, u"}, c${i}, x)`);

/** The room of the loops: zeros, which stay zeros. A variable: V8 packs nothing at addresses that it knows. */
export const PROBE_ROOM: string = `let probeRoom: usize = memory.data(${64 + 32 * 2 * PAIRS}, 16);`;
