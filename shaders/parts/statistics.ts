// Statistics of rows in the pass that makes them: entropy, largest probability, expected key. With f = 1 / l,
// p = f P and ln p = S - m + ln f, so that
//
//   entropy = -f (sum of P (S - m) + sum of P ln f),    max p = f max P,    expected key = f sum of P j
//
// `row_statistics` has them as a vec4 for each element of lse, with the sum of p, which is less than 1 where something
// joins the row without a pair. Rows over disjoint keys are joined by their shares w: p is w times that of the part.
import { declare } from "./bindings.ts";
import { LN2 } from "./text.ts";

/** The sums of a row, as registers: of P (S - m), the largest P, of P j, of P over pairs alone. */
export const SUMS = ["ps", "top", "pj", "pairs"] as const;

/** S - m, and log2 p, below which P is 0: a score of minus infinity must not make 0 times infinity of it. */
export const LEAST = "-200.0";

/** Declares the sums of row `i`. */
export function statisticRegisters(i: number): string {
  return SUMS.map((sum) => `var ${sum}${i} = 0.0;`).join(" ");
}

/** Brings the sums of row `i` from m to n, by the factor `a` of P. */
export function moveStatistics(i: number, m: string, n: string): string {
  return `ps${i} = a * fma(${m} - ${n}, pairs${i}, ps${i}); top${i} *= a; pj${i} *= a; pairs${i} *= a;`;
}

/** Declares the buffer, and the functions on what it holds. */
export function statisticDeclarations(): string {
  return `${declare("rowStatistics", "vec4<f32>", "read_write")}
${ROW_STATISTICS}`;
}

/** `row_of`: from the sums of a row and its l; `joined`: two parts of a row with their shares. */
const ROW_STATISTICS = `fn row_of(ps: f32, top: f32, pj: f32, pairs: f32, l: f32) -> vec4<f32> {
  if (l == 0.0) { return vec4<f32>(0.0); }
  let f = 1.0 / l;
  return vec4<f32>(max(0.0, f * fma(pairs, log2(l) * ${LN2}, -ps)), min(1.0, f * top), f * pj, f * pairs);
}
fn weighted(x: vec4<f32>, w: f32) -> vec4<f32> {
  if (w == 0.0) { return vec4<f32>(0.0); }
  return w * vec4<f32>(fma(-x.w, log2(w) * ${LN2}, x.x), x.y, x.z, x.w);
}
fn joined(x: vec4<f32>, y: vec4<f32>) -> vec4<f32> {
  return vec4<f32>(x.x + y.x, max(x.y, y.y), x.z + y.z, x.w + y.w);
}`;

/** What the gradient of the entropy adds to dP - delta of a pair. `gain`: that of its row, times ln 2. */
export function entropyTerm(on: boolean, log2p: string, gain: string, type: string): string {
  return on ? ` - ${gain} * max(${log2p}, ${type}(${LEAST}))` : "";
}

/** Where that gain lies: behind the stats of all rows, with the gradient itself. */
export function gainAt(row: string): string {
  return `stats[U.split_rows + ${row}].x`;
}
