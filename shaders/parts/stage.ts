// Staging: a piece of an operand comes to workgroup memory, `depth` steps of a product at a time.
//
//   steps    tile[d][row]    four rows of a step in a vec4: columns of the operand are the steps of a dot product, and a
//                            thread turns 4 x 4 of its elements, in registers
//   rows     tile[row][c]    as they lie: rows of the operand are the steps
//
// Either way a thread that needs tm rows and tn columns of a step reads (tm + tn) / 4 vec4 for tm tn multiply-adds, and
// few registers hold what it read. A step is [turn of the loop][step of the turn]: the second is a literal in products,
// so one index varies and one bounds clamp is left of naga. See docs/decisions/009.
//
// All loads come before all stores, and none stands behind a branch: what does not exist is read from the last row or
// column, and 0 is stored.
//
// Tiles hold f32, or f16 where operands are halves: half the memory, and products of two at a time. A value that f16 does not
// have becomes NaN there, and so do the rows that it meets; repair.ts computes these again from the operands themselves.
import { shaderName } from "../../src/tensor/operands.ts";
import type { Geometry } from "../abi.ts";
import type { BufferName } from "./bindings.ts";
import { NOT_A_NUMBER } from "./floats.ts";
import { each, XYZW } from "./text.ts";

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
  /** Factor on every value of row `local` of the tile. */
  factor?(local: string): string;
}

/** The tiles: of rows, of columns, and of P where Q stays. */
export type TileName = "rt" | "ct" | "pt";

/** What a kernel begins with: the extensions that it uses. */
export function directives({ halves }: Geometry): string {
  return halves ? "enable f16;" : "";
}

/** Four elements of a tile. */
export function tileVector({ halves }: Geometry): "vec4<f16>" | "vec4<f32>" {
  return halves ? "vec4<f16>" : "vec4<f32>";
}

/** Four values in f32 as elements of a tile. */
export function tileValue({ halves }: Geometry, value: string): string {
  return halves ? `to_halves(${value})` : value;
}

/** `to_halves`: rounds to f16. One NaN is enough for four columns, whose row and column it spoils. */
const TO_HALVES = `fn to_halves(x: vec4<f32>) -> vec4<f16> {
  let size = abs(x); let largest = max(max(size.x, size.y), max(size.z, size.w));
  return vec4<f16>(vec4<f32>(select(x.x, ${NOT_A_NUMBER}, largest > 65504.0), x.yzw));
}`;

/** Declares the tiles; `chunks` of Q where it is resident. */
export function tileMemory(g: Geometry, chunks = 1): string {
  const { unroll, depth, chunk, rowPitch, columnPitch, resident, halves } = g;
  const vector = tileVector(g);
  const tile = (name: TileName, steps: number, pitch: number) =>
    `var<workgroup> ${name}: array<array<array<${vector}, ${pitch}>, ${unroll}>, ${
      steps / unroll
    }>;`;
  return `${tile("rt", resident ? chunks * chunk : depth, rowPitch)}
${resident ? tile("pt", depth, rowPitch) : ""}
${tile("ct", depth, columnPitch)}
${halves ? TO_HALVES : ""}`;
}

/** Where this thread stands; kernels begin with it. */
export function threadPlace({ nx, c4, d4 }: Geometry): string {
  return `  let tx = li % ${nx}u; let ty = li / ${nx}u;
  let stage_row = li / ${c4}u; let stage_column = li % ${c4}u;
  let stage_slot = li % 4u + 4u * (li / ${4 * d4}u); let stage_step = (li / 4u) % ${d4}u;`;
}

/** A place of a tile; `before`: turns of the loop that come before. */
export function cell(
  { unroll }: Geometry,
  tile: TileName,
  step: string,
  at: string,
  before = "",
): string {
  return `${tile}[${before}(${step}) / ${unroll}u][(${step}) % ${unroll}u][${at}]`;
}

/** Reads of rows that may not exist: none is past the last. */
const loadOf = ({ name, row }: Source, at: string, column: string) =>
  `load_${shaderName(name)}(${row(`min(${at}, last_row)`)}, ${column})`;

const timesFactor = ({ factor }: Source, local: string) => factor ? ` * ${factor(local)}` : "";

/**
 * Declares `from<n>`, a row, and `x<n>`, what is loaded of it. Halves are 0 already where it is not there: selected as they
 * are stored they are moved about (NAK, forward, D 64: 4221 slots a tile instead of 4139).
 */
function loaded(g: Geometry, source: Source, n: string, row: string, local: string): string {
  const value = `${loadOf(source, `from${n}`, "from_column")}${timesFactor(source, local)}`;
  const real = `inside & (from${n} < ${source.limit})`;
  return `    let from${n} = ${source.first} + ${row}; let x${n} = ${
    g.halves ? tileValue(g, `select(vec4<f32>(0.0), ${value}, ${real})`) : value
  };`;
}

/** Names of what exists, before loads from vec4 column `column` on. */
function bounds({ limit, columns4 }: Source, column: string): string {
  return `    let last_row = max(${limit}, 1u) - 1u; let last_column = ${columns4} - 1u;
    let inside = ${column} <= last_column; let from_column = min(${column}, last_column);`;
}

/**
 * Copies the columns from vec4 column `c0` on into a tile by steps. Slot s of a tile of rows holds rows 4s .. 4s + 3; of a
 * tile of columns those that one thread owns, nx apart. Names made here must not meet those of kernels.
 */
export function stageSteps(
  g: Geometry,
  tile: "rt" | "ct",
  source: Source,
  c0: string,
  before = "",
): string {
  const slots = (tile === "rt" ? g.rows : g.columns) / 4, stride = g.threads / g.d4;
  const count = Math.ceil(slots / stride), vector = tileVector(g);
  const slot = (n: number) => n ? `(stage_slot + ${n * stride}u)` : "stage_slot";
  const row = (n: number, j: number) =>
    tile === "rt"
      ? `4u * ${slot(n)} + ${j}u`
      : `${slot(n)} % ${g.nx}u + ${g.nx}u * (4u * (${slot(n)} / ${g.nx}u) + ${j}u)`;
  const load = (n: number) => each(4, (j) => loaded(g, source, `${n}_${j}`, row(n, j), row(n, j)));
  const lanes = (of: (j: number) => string) => [0, 1, 2, 3].map(of).join(", ");
  const store = (n: number) =>
    `${
      g.halves
        ? ""
        : `    let real${n} = vec4<bool>(inside) & vec4<bool>(${
          lanes((j) => `from${n}_${j} < ${source.limit}`)
        });`
    }
${
      each(4, (e) => {
        const at = cell(g, tile, `4u * stage_step + ${e}u`, slot(n), before);
        const value = `${vector}(${lanes((j) => `x${n}_${j}.${XYZW[e]}`)})`;
        const real = g.halves ? value : `select(${vector}(0.0), ${value}, real${n})`;
        return `    ${at} = ${real};`;
      })
    }`;
  const text = `${each(count, load)}\n${each(count, store)}`;
  const partial = slots % stride !== 0; // some threads have nothing to do
  return `  {
${bounds(source, `(${c0} + stage_step)`)}
${partial ? `    if (${slot(count - 1)} < ${slots}u) {\n${text}\n    }` : text}
  }`;
}

/** Copies rows `skip` to `skip + depth` of a chunk that begins at vec4 column `c0` into the tile of columns. */
export function stageRows(g: Geometry, source: Source, c0: string, skip: number): string {
  const stride = g.threads / g.c4, loads = Math.ceil(g.depth / stride);
  const partial = g.depth % stride !== 0; // the last load is not for every thread
  const row = (n: number) => n ? `stage_row + ${n * stride}u` : "stage_row";
  return `  {
${bounds(source, `(${c0} + stage_column)`)}
${
    each(loads, (n) =>
      loaded(
        g,
        source,
        `${n}`,
        `${skip + n * stride}u + stage_row`,
        skip ? `${skip}u + ${row(n)}` : row(n),
      ))
  }
${
    each(loads, (n) => {
      const value = g.halves
        ? `x${n}`
        : `select(${tileVector(g)}(0.0), x${n}, inside & (from${n} < ${source.limit}))`;
      const store = `${cell(g, "ct", row(n), "stage_column")} = ${value};`;
      return partial && n === loads - 1
        ? `    if (${row(n)} < ${g.depth}u) { ${store} }`
        : `    ${store}`;
    })
  }
  }`;
}

/** Stages all chunks of the rows once, where they stay. */
export function stageResident(g: Geometry, rows: Source, chunks: number): string {
  if (!g.resident) return "";
  return each(
    chunks * g.chunk / g.depth,
    (n) => stageSteps(g, "rt", rows, `${n * g.d4}u`, `${n * g.depth / g.unroll}u + `),
  );
}
