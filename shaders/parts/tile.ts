// The register tile that all kernels are made of: its two products.
//
// Thread (ty, tx) of an ny x nx workgroup, tx fastest, owns
//   rows     ty*tm + i       (i < tm)  of the row tile,      kept as     rt[d][ty*tm/4 ..]
//   columns  tx + nx*j       (j < tn)  of the column tile,   kept as     ct[d][tx + nx*v], four of them in a vec4
//   outputs  tx + nx*c       (c < oc)  vec4 columns of the result rows
// Both tiles hold `depth` steps of a product. i, j and c are literals in the text. Everything has a name: private arrays
// would leave the registers.
//
// Operands that are halves are multiplied and added up in f16 for HALF_RUN steps, two columns an instruction where the
// hardware has such; each run then joins its sum in f32. Runs past the last step that exists are left out: they are zeros. That
// their number is not known to compilers matters as well: NAK unrolls a loop of two runs of 16 steps, to 140 KB of code in dK/dV.
import { type Geometry, HALF_RUN } from "../abi.ts";
import { findRowPowers, readRowPowers } from "./powers.ts";
import { cell, type Source, stageRows, stageSteps, type TileName, tileValue } from "./stage.ts";
import { each, XYZW } from "./text.ts";

/** A text for each step of a turn; `body` gets the turn and the step of it. */
const turnOf = ({ unroll }: Geometry, turn: string, body: (turn: string, step: number) => string) =>
  each(unroll, (u) => `    {\n${body(turn, u)}\n    }`);

/** A loop over the staged steps; no loop when one turn is all. */
function steps(
  g: Geometry,
  name: string,
  body: (turn: string, step: number) => string,
  turns = `${g.depth / g.unroll}u`,
): string {
  if (g.unroll === g.depth) return turnOf(g, "0u", body);
  return `  for (var ${name} = 0u; ${name} < ${turns}; ${name}++) {
${turnOf(g, name, body)}
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
  /** Steps from the first that is staged to the last that exists: maybe none, maybe more than are staged. */
  readonly left: string;
  /** A factor of what row i adds. */
  factor?(i: number): string;
}

/** sums[i][n] += row i . column n over the staged steps: tm * 4 count fma for tm / 4 + count vec4 loads. */
function multiply(
  g: Geometry,
  { tile, before = "", loop, sums, count, from = 0, left, factor }: Product,
): string {
  const row = (turn: string, step: number, w: number) =>
    `${tile}[${before}${turn}][${step}][ty * ${g.iv}u + ${w}u]`;
  const sum = (i: number, n: number) => `${sums}${i}_${from + n}`;
  const factors = (i: number, n: number) => [`a${i >> 2}.${XYZW[i & 3]}`, `b${n}`];
  const pairs = (line: (i: number, n: number) => string) =>
    each(g.tm, (i) => each(count, (n) => line(i, n)));
  const step = (turn: string, step: number, add: (i: number, n: number) => string) =>
    `${each(g.iv, (w) => `      let a${w} = ${row(turn, step, w)};`)}
${each(count, (n) => `      let b${n} = ct[${turn}][${step}][tx + ${g.nx * n}u];`)}
${pairs(add)}`;
  if (g.halves) return multiplyHalves(g, loop, { step, factors, pairs, sum, left, factor });
  return steps(g, loop, (turn, u) =>
    step(turn, u, (i, n) => {
      const [a, b] = factors(i, n);
      return `      ${sum(i, n)} = fma(vec4<f32>(${a}), ${b}, ${sum(i, n)});`;
    }));
}

/** The parts of a product's text, by row i and vec4 of columns n. */
interface Parts {
  step(turn: string, step: number, add: (i: number, n: number) => string): string;
  factors(i: number, n: number): readonly string[];
  pairs(line: (i: number, n: number) => string): string;
  sum(i: number, n: number): string;
  readonly left: string;
  readonly factor: Product["factor"];
}

/** The same of halves: f16 adds up the products of a run, then runs, and the sums take what they come to. */
function multiplyHalves(
  g: Geometry,
  loop: string,
  { step, factors, pairs, sum, left, factor }: Parts,
): string {
  const next = (i: number, n: number, begins: boolean) => {
    const [a, b] = factors(i, n), run = `run${i}_${n}`;
    return `      ${run} = ${begins ? `${a} * ${b}` : `fma(vec4<f16>(${a}), ${b}, ${run})`};`;
  };
  const join = pairs((i, n) => `    runs${i}_${n} += run${i}_${n};`);
  // a turn has whole runs, or a run whole turns
  const whole = g.unroll >= HALF_RUN, turns = HALF_RUN / g.unroll, number = `${loop}_run`;
  const ends = (u: number) => u % HALF_RUN === HALF_RUN - 1;
  const text = whole
    ? steps(
      g,
      loop,
      (turn, u) =>
        `${step(turn, u, (i, n) => next(i, n, u % HALF_RUN === 0))}${ends(u) ? `\n${join}` : ""}`,
      "runs_left",
    )
    : `  for (var ${number} = 0u; ${number} < runs_left; ${number}++) {
${pairs((i, n) => `    run${i}_${n} = vec4<f16>(0.0);`)}
  for (var ${loop} = ${number} * ${turns}u; ${loop} < (${number} + 1u) * ${turns}u; ${loop}++) {
${turnOf(g, loop, (turn, u) => step(turn, u, (i, n) => next(i, n, false)))}
  }
${join}
  }`;
  const add = (i: number, n: number) => {
    const to = sum(i, n), runs = `vec4<f32>(runs${i}_${n})`;
    return factor ? `${to} = fma(${runs}, vec4<f32>(${factor(i)}), ${to});` : `${to} += ${runs};`;
  };
  return `  {
${
    g.unroll === g.depth
      ? ""
      : `    let runs_left = min((${left} + ${HALF_RUN - 1}u) / ${HALF_RUN}u, ${
        g.depth / HALF_RUN
      }u);`
  }
${pairs((i, n) => `    var run${i}_${n}: vec4<f16>; var runs${i}_${n} = vec4<f16>(0.0);`)}
${text}
${pairs((i, n) => `    ${add(i, n)}`)}
  }`;
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
  const left = `4u * (max(${rows.columns4}, c0) - c0)`;
  // a loop of one turn as well: without it SwiftShader compiles for 16 to 65 s instead of 2
  return `${zero}
  for (var c0 = 0u; c0 < ${chunks * g.c4}u; c0 += ${g.d4}u) {
  workgroupBarrier();
${g.resident ? "" : stageSteps(g, "rt", rows, "c0")}
${stageSteps(g, "ct", columns, "c0")}
  workgroupBarrier();
${multiply(g, { tile: "rt", before, loop: "d", sums: acc, count: g.jv, left })}
  }`;
}

/** Declares the accumulators of `dotProducts`. */
export function scoreRegisters(g: Geometry, acc: string): string {
  return each(g.tm, (i) => each(g.jv, (v) => `  var ${acc}${i}_${v} = vec4<f32>(0.0);`));
}

/** Part `part` of P goes to its tile: columns of it are steps there; `moved`: with factors of its rows. */
function storePart(g: Geometry, p: string, part: number, moved: boolean): string {
  const tile = tileOfP(g), own = g.depth / g.nx;
  return each(own, (e) => {
    const column = part * own + e, vector = column >> 2, lane = XYZW[column & 3];
    return each(g.iv, (w) => {
      const row = (i: number) => `${p}${i}_${vector}.${lane}${moved ? ` * lift${i}` : ""}`;
      const rows = [0, 1, 2, 3].map((i) => row(4 * w + i)).join(", ");
      return `  ${cell(g, tile, `tx + ${g.nx * e}u`, `ty * ${g.iv}u + ${w}u`)} = ${
        tileValue(g, `vec4<f32>(${rows})`)
      };`;
    });
  });
}

/**
 * out += P * columns over `chunks` chunks of result columns. P, named `p`, is in registers; part by part its columns
 * become steps, beside those rows of the operand. `moved`: rows of halves are brought to where f16 is best, see powers.ts.
 */
export function products(
  g: Geometry,
  out: string,
  p: string,
  columns: Source,
  { chunks, first = "0u", moved = false }: { chunks: number; first?: string; moved?: boolean },
): string {
  const moves = moved && g.halves === true;
  const factor = moves ? { factor: (i: number) => `lower${i}` } : {};
  const product = { tile: tileOfP(g), loop: "x", sums: out, count: g.cc, ...factor };
  const text = each(g.parts, (part) =>
    each(chunks, (chunk) => {
      const c0 = first === "0u" ? `${chunk * g.c4}u` : `(${first} + ${chunk * g.c4}u)`;
      const row = part === 0 ? columns.first : `(${columns.first} + ${part * g.depth}u)`;
      const left = `(max(${columns.limit}, ${row}) - ${row})`;
      return `  workgroupBarrier();
${moves && chunk === 0 && part === 0 ? readRowPowers(g) : ""}
${chunk === 0 ? storePart(g, p, part, moves) : ""}
${stageRows(g, columns, c0, part * g.depth)}
  workgroupBarrier();
${multiply(g, { ...product, from: chunk * g.cc, left })}`;
    }));
  return moves ? `  {\n${findRowPowers(g, p)}\n${text}\n  }` : text;
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
