// The register tile that all kernels are made of: staging into workgroup memory, and two products.
//
// Thread (ty, tx) of an ny x nx workgroup, tx fastest, owns
//   rows     ty*tm + i       (i < tm)  of the row tile, kept as     rt[ty][i][d]
//   columns  tx + nx*j       (j < tn)  of the column tile, kept as  ct[j][x][d]
//   outputs  tx + nx*c       (c < oc)  vec4 columns of the result rows
// Both tiles are one chunk (of head or value columns) wide. i, j and c are literals in the text and have a
// dimension of their own, so only one index varies inside a loop: one bounds clamp a step in naga, constant
// offsets in the driver. Rows are padded by one vec4 (banks). Everything has a name: private arrays would
// leave the registers. See docs/decisions/009.
import { shaderName } from "../../src/tensor/operands.ts";
import type { Geometry } from "../abi.ts";
import type { BufferName } from "./bindings.ts";
import { LEAST, moveStatistics } from "./statistics.ts";
import { each, LOG2E, XYZW } from "./text.ts";

/** Declares the tiles; `chunks` of Q where it is resident. */
export function tileMemory({ c4, tm, ny, nx, tn, jv, resident }: Geometry, chunks = 1): string {
  const rows = (name: string, width: number) =>
    `var<workgroup> ${name}: array<array<array<vec4<f32>, ${width + 1}>, ${tm}>, ${ny}>;`;
  return `${rows("rt", resident ? chunks * c4 : c4)}
${resident ? rows("pt", jv * nx) : ""}
var<workgroup> ct: array<array<array<vec4<f32>, ${c4 + 1}>, ${nx}>, ${tn}>;`;
}

/** Where this thread stands; kernels begin with it. */
export function threadPlace({ nx, c4 }: Geometry): string {
  return `  let tx = li % ${nx}u; let ty = li / ${nx}u;
  let stage_row = li / ${c4}u; let stage_column = li % ${c4}u;`;
}

/** Rows that are staged: `row(r)` is the element where row r begins. */
export interface Source {
  /** First row, and one past the last that exists; rows past it are zero. */
  readonly first: string;
  readonly limit: string;
  /** The operand; `load_<name>` reads it. */
  readonly name: BufferName;
  row(index: string): string;
  /** Columns of the operand in vec4; those past them are zero. */
  readonly columns4: string;
  /** Factor on every value. */
  readonly factor?: string | undefined;
}

/**
 * Copies chunk `c0` (a vec4 column) of a source into a tile: all loads, then all stores. Names made here must
 * not meet those of kernels (a loop variable r0 once did).
 */
export function stage(
  g: Geometry,
  tile: "rt" | "ct",
  source: Source,
  c0: string,
  { skip = 0, count = tile === "rt" ? g.rows : g.columns, into = "" }: {
    skip?: number;
    count?: number;
    /** Column of the tile where the chunk goes. */
    into?: string;
  } = {},
): string {
  const stride = g.threads / g.c4, loads = Math.ceil(count / stride);
  const cell = (row: string) =>
    tile === "rt"
      ? `rt[(${row}) / ${g.tm}u][(${row}) % ${g.tm}u][${into}stage_column]`
      : `ct[(${row}) / ${g.nx}u][(${row}) % ${g.nx}u][stage_column]`;
  const row = (n: number) => n ? `stage_row + ${n * stride}u` : "stage_row";
  const factor = source.factor ? ` * ${source.factor}` : "";
  const partial = count % stride !== 0; // the last load is not for every thread
  return `  {
    let inside = ${c0} + stage_column < ${source.columns4};
${
    each(loads, (n) =>
      `    var x${n} = vec4<f32>(0.0); let from${n} = ${source.first} + ${
        skip + n * stride
      }u + stage_row;
    if (inside && from${n} < ${source.limit}) { x${n} = load_${shaderName(source.name)}(${
        source.row(`from${n}`)
      }, ${c0} + stage_column)${factor}; }`)
  }
${
    each(loads, (n) => {
      const store = `${cell(row(n))} = x${n};`;
      return partial && n === loads - 1
        ? `    if (${row(n)} < ${count}u) { ${store} }`
        : `    ${store}`;
    })
  }
  }`;
}

/** A loop of `count` turns, `unroll` of them at a time; no loop when they are all. */
function unrolled(
  { unroll }: Geometry,
  count: number,
  name: string,
  body: (index: string) => string,
): string {
  const scope = (index: string) => `    {\n${body(index)}\n    }`;
  if (unroll >= count) return each(count, (u) => scope(`${u}u`));
  const turn = count % unroll === 0 ? unroll : 1;
  return `  for (var ${name} = 0u; ${name} < ${count}u; ${name} += ${turn}u) {
${each(turn, (u) => scope(u ? `${name} + ${u}u` : name))}
  }`;
}

/** acc[i][j] += row i . column j over one staged chunk: tm*tn*4 fma for tm+tn vec4 loads. */
function rowsDotColumns(g: Geometry, acc: string, rowColumn = ""): string {
  const vector = (v: number, x: string) =>
    `vec4<f32>(${[0, 1, 2, 3].map((j) => `b${4 * v + j}.${x}`).join(", ")})`;
  return unrolled(g, g.c4, "d", (d) =>
    [
      each(g.tn, (j) => `      let b${j} = ct[${j}][tx][${d}];`),
      each(g.tm, (i) => `      let a${i} = rt[ty][${i}][${rowColumn}${d}];`),
      ...XYZW.map((x) =>
        [
          each(g.jv, (v) => `      let b_${x}${v} = ${vector(v, x)};`),
          each(g.tm, (i) =>
            each(
              g.jv,
              (v) =>
                `      ${acc}${i}_${v} = fma(vec4<f32>(a${i}.${x}), b_${x}${v}, ${acc}${i}_${v});`,
            )),
        ].join("\n")
      ),
    ].join("\n"));
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
  const body = (c0: string) =>
    `  workgroupBarrier();
${g.resident ? "" : stage(g, "rt", rows, c0)}
${stage(g, "ct", columns, c0)}
  workgroupBarrier();
${rowsDotColumns(g, acc, g.resident && chunks > 1 ? `${c0} + ` : "")}`;
  // a loop of one turn as well: without it SwiftShader compiles for 16 to 65 s instead of 2
  return `${zero}
  for (var c0 = 0u; c0 < ${chunks * g.c4}u; c0 += ${g.c4}u) {
${body("c0")}
  }`;
}

/** Stages all chunks of the rows once, where they stay. */
export function stageResident(g: Geometry, rows: Source, chunks: number): string {
  if (!g.resident) return "";
  return each(chunks, (n) => stage(g, "rt", rows, `${n * g.c4}u`, { into: `${n * g.c4}u + ` }));
}

/** Declares the accumulators of `dotProducts`. */
export function scoreRegisters(g: Geometry, acc: string): string {
  return each(g.tm, (i) => each(g.jv, (v) => `  var ${acc}${i}_${v} = vec4<f32>(0.0);`));
}

/** out[i][c] += sum over columns x of P[i][x] * ct[x][c] for one chunk: tm*tn*4*cc fma. */
function probabilitiesTimesColumns(g: Geometry, out: string, chunk: number): string {
  const columns = g.tn / g.passes;
  return unrolled(g, g.nx, "x", (x) =>
    [
      each(columns, (j) =>
        each(g.cc, (c) => `      let b${j}_${c} = ct[${j}][${x}][tx + ${g.nx * c}u];`)),
      each(g.tm, (i) =>
        each(columns / 4, (v) =>
          `      let p${i}_${v} = ${g.resident ? "pt" : "rt"}[ty][${i}][${x} + ${g.nx * v}u];`)),
      each(columns, (j) =>
        each(g.tm, (i) =>
          each(g.cc, (c) => {
            const o = `${out}${i}_${chunk * g.cc + c}`, p = `p${i}_${j >> 2}.${XYZW[j & 3]}`;
            return `      ${o} = fma(vec4<f32>(${p}), b${j}_${c}, ${o});`;
          }))),
    ].join("\n"));
}

/**
 * out += P * columns over `chunks` chunks. P, named `p`, goes to the row tile as one vec4 a thread and row:
 * P[row][tx + nx*v] holds columns tx + nx*(4v .. 4v+3), so nothing is transposed and no vec4 is written by two
 * threads. `staged`: the last chunk of these columns is still in `ct`, and so goes first.
 */
export function products(
  g: Geometry,
  out: string,
  p: string,
  columns: Source,
  { chunks, first = "0u", staged = false }: { chunks: number; first?: string; staged?: boolean },
): string {
  const text: string[] = [];
  for (let pass = 0; pass < g.passes; pass++) {
    for (let n = 0; n < chunks; n++) {
      const start = pass === 0 && n === 0, chunk = staged && pass === 0 ? chunks - 1 - n : n;
      text.push("  workgroupBarrier();");
      if (n === 0) {
        text.push(
          each(
            g.tm,
            (i) =>
              each(
                g.jv / g.passes,
                (v) =>
                  `  ${g.resident ? "pt" : "rt"}[ty][${i}][tx + ${g.nx * v}u] = ${p}${i}_${
                    pass + v
                  };`,
              ),
          ),
        );
      }
      if (!(start && staged)) {
        const c0 = first === "0u" ? `${chunk * g.c4}u` : `(${first} + ${chunk * g.c4}u)`;
        const part = { skip: pass * 4 * g.nx, count: g.columns / g.passes };
        text.push(stage(g, "ct", columns, c0, part));
      }
      text.push("  workgroupBarrier();", probabilitiesTimesColumns(g, out, chunk));
    }
  }
  return text.join("\n");
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

/** The sums of statistics of the pairs (row i, column vector n), whose S - m is in `x<n>`. */
function addStatistics(i: number, n: number): string {
  const p = `s${i}_${n}`;
  return `
    ps${i} += dot(${p}, max(x${n}, vec4<f32>(${LEAST}))); pj${i} += dot(${p}, vec4<f32>(key_${n})); pairs${i} += (${p}.x + ${p}.y) + (${p}.z + ${p}.w);
    top${i} = max(max(top${i}, max(${p}.x, ${p}.y)), max(${p}.z, ${p}.w));`;
}

/**
 * One tile of the online softmax: S becomes P; the state (m, l) of each row and its `columns` columns of O are brought
 * up to date, and with `statistics` their sums.
 */
export function softmaxOfTile(g: Geometry, columns: number, statistics = false): string {
  const largest = (i: number) =>
    Array.from(
      { length: g.jv },
      (_, n) => `max(max(s${i}_${n}.x, s${i}_${n}.y), max(s${i}_${n}.z, s${i}_${n}.w))`,
    )
      .reduce((all, next) => `max(${all}, ${next})`, `m${i}`);
  return `  // m' = max(m, rowmax S)
${each(g.tm, (i) => `  rm[ty][${i}][tx] = ${largest(i)};`)}
  workgroupBarrier(); // the chunks of Q and K are free as well
${each(g.tm, (i) => `  var n${i} = m${i};`)}
${each(g.nx, (x) => each(g.tm, (i) => `  n${i} = max(n${i}, rm[ty][${i}][${x}]);`))}
  // P = exp(S - m'), l = l exp(m - m') + rowsum P, O = O exp(m - m')
${
    each(g.tm, (i) =>
      `  { let a = exp2((m${i} - n${i}) * ${LOG2E});${
        statistics ? ` ${moveStatistics(i, `m${i}`, `n${i}`)}` : ""
      } m${i} = n${i}; l${i} *= a;
${
        each(g.jv, (n) =>
          `${
            statistics ? `    let x${n} = s${i}_${n} - vec4<f32>(n${i});\n` : ""
          }    s${i}_${n} = exp2((s${i}_${n} - vec4<f32>(n${i})) * ${LOG2E}); l${i} += (s${i}_${n}.x + s${i}_${n}.y) + (s${i}_${n}.z + s${i}_${n}.w);${
            statistics ? addStatistics(i, n) : ""
          }`)
      }
${
        each(columns, (c) => `    o${i}_${c} *= a;`)
      }
  }`)
  }`;
}
