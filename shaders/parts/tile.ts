// The register tile that all kernels are made of: its two products.
//
// Thread (ty, tx) of an ny x nx workgroup, tx fastest, owns
//   rows     ty*tm + i       (i < tm)  of the row tile,      kept as     rt[d][ty*tm/4 ..]
//   columns  tx + nx*j       (j < tn)  of the column tile,   kept as     ct[d][tx + nx*v], four of them in a vec4
//   outputs  tx + nx*c       (c < oc)  vec4 columns of the result rows
// Both tiles hold `depth` steps of a product. i, j and c are literals in the text. Everything has a name: private arrays
// would leave the registers.
import type { Geometry } from "../abi.ts";
import { cell, type Source, stageRows, stageSteps, type TileName } from "./stage.ts";
import { each, XYZW } from "./text.ts";

/** A loop over the staged steps; no loop when one turn is all. `body` gets the turn and the step of it. */
function steps(
  { depth, unroll }: Geometry,
  name: string,
  body: (turn: string, step: number) => string,
): string {
  const turn = (index: string) => each(unroll, (u) => `    {\n${body(index, u)}\n    }`);
  if (unroll === depth) return turn("0u");
  return `  for (var ${name} = 0u; ${name} < ${depth / unroll}u; ${name}++) {
${turn(name)}
  }`;
}

/** The tile that holds P: a product's rows, where Q does not stay in theirs. */
const tileOfP = ({ resident }: Geometry): TileName => resident ? "pt" : "rt";

/** What a product over the staged steps adds up, and where its rows lie: turns of the loop `before` them. */
interface Product {
  readonly tile: TileName;
  readonly before?: string;
  readonly loop: string;
  /** Names of the sums, `count` vec4 of columns a row, the first of them `from`. */
  readonly sums: string;
  readonly count: number;
  readonly from?: number;
}

/** sums[i][n] += row i . column n over the staged steps: tm * 4 count fma for tm / 4 + count vec4 loads. */
function multiply(
  g: Geometry,
  { tile, before = "", loop, sums, count, from = 0 }: Product,
): string {
  const row = (turn: string, step: number, w: number) =>
    `${tile}[${before}${turn}][${step}][ty * ${g.iv}u + ${w}u]`;
  const add = (i: number, n: number) => {
    const sum = `${sums}${i}_${from + n}`;
    return `      ${sum} = fma(vec4<f32>(a${i >> 2}.${XYZW[i & 3]}), b${n}, ${sum});`;
  };
  return steps(
    g,
    loop,
    (turn, step) =>
      `${each(g.iv, (w) => `      let a${w} = ${row(turn, step, w)};`)}
${each(count, (n) => `      let b${n} = ct[${turn}][${step}][tx + ${g.nx * n}u];`)}
${each(g.tm, (i) => each(count, (n) => add(i, n)))}`,
  );
}

/** Scores of all columns of two operands: acc = rows . columns over `chunks` chunks, staging both. */
export function dotProducts(
  g: Geometry,
  acc: string,
  rows: Source,
  columns: Source,
  chunks: number,
): string {
  const zero = each(g.tm, (i) => each(g.jv, (v) => `  ${acc}${i}_${v} = vec4<f32>(0.0);`));
  const before = g.resident ? `c0 * 4u / ${g.unroll}u + ` : "";
  // a loop of one turn as well: without it SwiftShader compiles for 16 to 65 s instead of 2
  return `${zero}
  for (var c0 = 0u; c0 < ${chunks * g.c4}u; c0 += ${g.d4}u) {
  workgroupBarrier();
${g.resident ? "" : stageSteps(g, "rt", rows, "c0")}
${stageSteps(g, "ct", columns, "c0")}
  workgroupBarrier();
${multiply(g, { tile: "rt", before, loop: "d", sums: acc, count: g.jv })}
  }`;
}

/** Declares the accumulators of `dotProducts`. */
export function scoreRegisters(g: Geometry, acc: string): string {
  return each(g.tm, (i) => each(g.jv, (v) => `  var ${acc}${i}_${v} = vec4<f32>(0.0);`));
}

/** Part `part` of P goes to its tile: columns of it are steps there. */
function storePart(g: Geometry, p: string, part: number): string {
  const tile = tileOfP(g), own = g.depth / g.nx;
  return each(own, (e) => {
    const column = part * own + e, vector = column >> 2, lane = XYZW[column & 3];
    return each(g.iv, (w) => {
      const rows = [0, 1, 2, 3].map((i) => `${p}${4 * w + i}_${vector}.${lane}`).join(", ");
      return `  ${
        cell(g, tile, `tx + ${g.nx * e}u`, `ty * ${g.iv}u + ${w}u`)
      } = vec4<f32>(${rows});`;
    });
  });
}

/**
 * out += P * columns over `chunks` chunks of result columns. P, named `p`, is in registers; part by part its columns
 * become steps, beside those rows of the operand.
 */
export function products(
  g: Geometry,
  out: string,
  p: string,
  columns: Source,
  { chunks, first = "0u" }: { chunks: number; first?: string },
): string {
  const product = { tile: tileOfP(g), loop: "x", sums: out, count: g.cc };
  return each(g.parts, (part) =>
    each(chunks, (chunk) => {
      const c0 = first === "0u" ? `${chunk * g.c4}u` : `(${first} + ${chunk * g.c4}u)`;
      return `  workgroupBarrier();
${chunk === 0 ? storePart(g, p, part) : ""}
${stageRows(g, columns, c0, part * g.depth)}
  workgroupBarrier();
${multiply(g, { ...product, from: chunk * g.cc })}`;
    }));
}

/** Declares the accumulators of `products`: `oc` vec4 a row. */
export function sumRegisters(g: Geometry, out: string, oc: number): string {
  return each(g.tm, (i) => each(oc, (c) => `  var ${out}${i}_${c} = vec4<f32>(0.0);`));
}

/** Column indices of score vector v, counted from `first`. */
export function columnIndices(g: Geometry, first: string, v: number): string {
  const lanes = [0, 1, 2, 3].map((j) => `${g.nx * (4 * v + j)}u`).join(", ");
  return `vec4<u32>(${first} + tx) + vec4<u32>(${lanes})`;
}
