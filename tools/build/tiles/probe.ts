// Loops that tell whether an engine packs neighbours of 128 bits into one operation of 256.
import { range } from "./pitch.ts";

/** Enough for two pipes of four cycles where each is one operation of 256 bits. */
const PAIRS = 8;

/**
 * `turns` turns of multiply-adds in eight pairs of vectors, which are stored `apart` bytes from one another: neighbours, which
 * may be packed, or not. src/wasm/run/wide_probe.ts compares their times.
 */
export function probeLoop(name: string, apart: number): string {
  const all = range(2 * PAIRS);
  return [
    `export function ${name}(turns: i32): void {`,
    `  const p = probeRoom, x = v128.load(p), y = v128.load(p, 16), u = v128.load(p, 32), w = v128.load(p, 48);`,
    `  ${all.map((i) => `let c${i} = v128.load(p, ${64 + i * apart});`).join(" ")}`,
    `  for (; turns > 0; --turns) {`,
    `    ${all.map((i) => `c${i} = madd(${i & 1 ? "y, w" : "x, u"}, c${i});`).join(" ")}`,
    `  }`,
    `  ${all.map((i) => i ^ 1).map((i) => `v128.store(p, c${i}, ${64 + i * apart});`).join(" ")}`,
    `}`,
  ].join("\n");
}

/**
 * The same with dot products of bytes, which take as long as multiply-adds where each is one instruction, and twice as
 * long or more where it is several.
 */
export function dotLoop(name: string): string {
  const all = range(2 * PAIRS);
  return [
    `export function ${name}(turns: i32): void {`,
    `  const p = probeRoom, x = v128.load(p), y = v128.load(p, 16);`,
    `  ${all.map((i) => `let c${i} = v128.load(p, ${64 + i * 32});`).join(" ")}`,
    `  for (; turns > 0; --turns) {`,
    `    ${all.map((i) => `c${i} = dotFours(x, y, c${i}, x);`).join(" ")}`,
    `  }`,
    `  ${all.map((i) => `v128.store(p, c${i}, ${64 + i * 32});`).join(" ")}`,
    `}`,
  ].join("\n");
}

/** The room of the loops: zeros, which stay zeros. A variable: V8 packs nothing at addresses that it knows. */
export const PROBE_ROOM: string = `let probeRoom: usize = memory.data(${64 + 32 * 2 * PAIRS}, 16);`;
