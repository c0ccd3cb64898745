// Powers of two that keep gradients within the range of f16, where operands of products are halves. f16 has 2^-24 to 2^16 and
// half as many bits below 2^-14; gradients of a loss are 1e-7 as often as 1. A factor that is a power of two rounds nothing, so
// rows are moved to where f16 is best and their products moved back, in f32.
//
//   a = 2^-e           for each row of dOut, e the exponent of its largest element: then that is in [1, 2)
//   dP = (a dOut) Vᵀ / a                      a is of a row of the product, or of a column: dP is in f32 and takes 1 / a there
//   dQ += dS K = (b dS) K / b                 b = 2^(3 - e), for each row of dS in the tile, e that of the largest there: [8, 16)
//   dK += dSᵀ Q                               likewise: rows are keys
//   dV += Pᵀ dOut = (b (Pᵀ / a)) (a dOut) / b
//
// In dV the rows of dOut are what is summed over, and each has an a of its own: so 1 / a goes into P, in f32, and the rows of
// that are moved as those of dS are. A row of dOut far larger than others then decides b only for keys that it sees.
//
// What is lost: elements of dOut below 2^-14 of the largest in their row, and of dS and P / a below 2^-17 of the largest in
// their row of the tile, have fewer bits, and below 2^-25 and 2^-28 of it none. A sum of 32 products of 16 times k, q or a dOut
// stays within f16 while |k| and |q scale| are below 127, whatever their signs are; where they are larger it may come to
// infinity, and repair.ts makes the row again.
import type { Geometry } from "../abi.ts";
import { each } from "./text.ts";

/** How far above [1, 2) the largest element of a row of P or dS is: what is 2^17 times smaller is a normal number of f16. */
const LIFT = 3;

/** The largest of four sizes. */
export const SIZE4 = `fn size4(x: vec4<f32>) -> f32 {
  let size = abs(x); return max(max(size.x, size.y), max(size.z, size.w));
}`;

/** `power_to`: the power of two that brings `top` into [1, 2), or 2^lift times that. Both it and its inverse are normal numbers. */
export const POWER_TO = `fn power_to(top: f32, lift: u32) -> f32 {
  return bitcast<f32>((254u + lift - clamp(bitcast<u32>(top) >> 23u, lift + 1u, 253u)) << 23u);
}`;

const INVERSE =
  `fn inverse_power(x: f32) -> f32 { return bitcast<f32>(0x7f000000u - bitcast<u32>(x)); }`;

/** What the kernels of gradients declare for their halves: `count` rows of dOut; with `moved` rows of P or dS as well. */
export function powerMemory(g: Geometry, count: number, moved = false): string {
  if (!g.halves) return "";
  const rows = `${POWER_TO}
${SIZE4}
var<workgroup> row_tops: array<array<array<f32, ${g.nx + 1}>, ${g.tm}>, ${g.ny}>;
var<workgroup> row_powers: array<f32, ${g.rows}>;`;
  return `${INVERSE}
var<workgroup> dout_powers: array<f32, ${count}>;
${moved ? rows : ""}`;
}

/** Where the power of a row of dOut lies: behind the stats of all rows. */
const powerAt = (row: string) => `stats[U.split_rows + ${row}].z`;

/** The power of query row i, `row` of the stats where `exists`; every thread of the row has `undo<i>`, its inverse. */
export function rowPower(g: Geometry, i: number, exists: string, row: string): string {
  if (!g.halves) return "";
  return `  var power${i} = 1.0; if (${exists}) { power${i} = ${powerAt(row)}; }
  let undo${i} = inverse_power(power${i});
  if (tx == 0u) { dout_powers[ty * ${g.tm}u + ${i}u] = power${i}; }`;
}

/** The powers of the query rows from r0 on, which are columns. */
export function columnPowers(g: Geometry): string {
  if (!g.halves) return "";
  return `  for (var t = li; t < ${g.columns}u; t += ${g.threads}u) {
    var power = 1.0; if (r0 + t < end) { power = ${powerAt("stats_base + r0 + t")}; }
    dout_powers[t] = power;
  }`;
}

/** Their inverses, as `undo_<n>`, behind a barrier. */
export function columnUndo(g: Geometry): string {
  if (!g.halves) return "";
  return each(g.jv, (n) => {
    const at = [0, 1, 2, 3].map((j) => `inverse_power(dout_powers[tx + ${g.nx * (4 * n + j)}u])`);
    return `  let undo_${n} = vec4<f32>(${at.join(", ")});`;
  });
}

/** dP of (a dOut) becomes that of dOut; `undo`: 1 / a of row i and column vector n. */
export function undoPowers(g: Geometry, undo: (i: number, n: number) => string): string {
  if (!g.halves) return "";
  return each(g.tm, (i) => each(g.jv, (n) => `  dp${i}_${n} *= ${undo(i, n)};`));
}

/** Where rows of dOut are rows of the tile. */
export const undoRows = (g: Geometry): string => undoPowers(g, (i) => `undo${i}`);

/** ... and where they are columns. */
export const undoColumns = (g: Geometry): string => undoPowers(g, (_, n) => `undo_${n}`);

/** Finds b of the rows of `p` in a tile; behind the next barrier they are in row_powers. */
export function findRowPowers(g: Geometry, p: string): string {
  const top = (i: number) =>
    Array.from({ length: g.jv }, (_, n) => `size4(${p}${i}_${n})`)
      .reduce((all, next) => `max(${all}, ${next})`);
  return `  // the largest of each row
${each(g.tm, (i) => `  row_tops[ty][${i}][tx] = ${top(i)};`)}
  workgroupBarrier();
  for (var t = li; t < ${g.rows}u; t += ${g.threads}u) {
    var top = 0.0;
${each(g.nx, (x) => `    top = max(top, row_tops[t / ${g.tm}u][t % ${g.tm}u][${x}]);`)}
    row_powers[t] = power_to(top, ${LIFT}u);
  }`;
}

/** Reads them, as `lift<i>` and its inverse `lower<i>`. */
export function readRowPowers(g: Geometry): string {
  return each(
    g.tm,
    (i) =>
      `  let lift${i} = row_powers[ty * ${g.tm}u + ${i}u]; let lower${i} = inverse_power(lift${i});`,
  );
}
