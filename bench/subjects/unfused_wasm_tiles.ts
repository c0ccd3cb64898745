/**
 * Text of the register tiles that bench/asm/unfused.ts is made of. AssemblyScript has neither macros nor
 * arrays of registers, so a tile is written out: `rows` rows of A against a panel of eight columns.
 * Six rows fill twelve accumulators; with two vectors of B and one of A that is every register V8
 * can hand out.
 * @module
 */

const STEPS = 8;
const PANEL_BYTES = 32;

/** The source of all tiles, imported by bench/asm/unfused.ts as `./unfused_tiles`. */
export function unfusedTiles(): string {
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
