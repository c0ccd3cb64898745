// From products to scores: what each feature does to the pairs of a tile, in the order of the feature table.
// The same text serves forward and dQ, whose rows are queries, and dK/dV, whose rows are keys.
import { biasReader } from "./bias.ts";
import { ifAnySees, MASK, VOTE } from "./mask.ts";
import { SOFTCAP } from "./softcap.ts";
import { queryOf } from "../parts/item.ts";
import { declare } from "../parts/storage.ts";
import { each, SENTINELS } from "../parts/text.ts";
import type { Geometry } from "../abi.ts";
import type { Variant } from "../parts/variant.ts";

/** What the score features of a variant need outside of `main`. `bias`: the binding that is free for it. */
export function scoreDeclarations(v: Variant, bindings: { tables: number; bias: number }): string {
  return [
    SENTINELS,
    declare(bindings.tables, "tables", "u32"),
    v.softcap ? SOFTCAP : "",
    v.bias ? biasReader(bindings.bias, v.bias) : "",
    v.mask ? MASK : "",
    v.mask ? VOTE : "",
  ].join("\n");
}

/**
 * Factor of q as it is staged, always of q and never of k: backward then computes a score from the same roundings as
 * forward did, and what they have in common drops out of S - lse. Scores are in natural units for the same reason:
 * P = exp2((S - lse) log2 e) takes the difference before anything is rounded.
 */
export function stagedScale({ softcap }: Variant): string {
  return softcap ? "(U.scale / U.softcap)" : "U.scale";
}

/** Which axis of the tile the queries are on. */
export type Side = "rows are queries" | "rows are keys";

const BROADCAST = (v: Variant) =>
  [v.bias && "bias", v.mask && "mask"].filter((name) => name !== undefined && name !== false) as (
    | "bias"
    | "mask"
  )[];

/** Element of bias or mask: the share of row i of the tile, once a workgroup. Batch b is in `batch`. */
export function rowShares(g: Geometry, v: Variant, side: Side): string {
  return BROADCAST(v).map((name) =>
    each(
      g.tm,
      (i) =>
        side === "rows are queries"
          ? `  let ${name}_r${i} = ${name}_row(batch, head${i}, query${i});`
          : `  let ${name}_r${i} = ${name}_row(batch, 0u, 0u) + key${i} * U.${name}_column;`,
    )
  ).join("\n");
}

/** ... and the share of the columns, once a tile. */
export function columnShares(g: Geometry, v: Variant, side: Side): string {
  return BROADCAST(v).map((name) =>
    each(
      g.jv,
      (n) =>
        side === "rows are queries"
          ? `  let ${name}_c${n} = key_${n} * U.${name}_column;`
          : `  let ${name}_c${n} = head_${n} * U.${name}_head + query_${n} * U.${name}_row;`,
    )
  ).join("\n");
}

/** Runs `body` where the mask lets some pair of the tile through; `exists`: pairs that are there at all. */
export function maskTile(
  g: Geometry,
  v: Variant,
  exists: (i: number, n: number) => string,
  body: string,
): string {
  if (!v.mask) return body;
  const seen = each(
    g.tm,
    (i) =>
      each(
        g.jv,
        (n) => `  let seen${i}_${n} = mask4(vec4<u32>(mask_r${i}) + mask_c${n}) & ${exists(i, n)};`,
      ),
  );
  const names = Array.from(
    { length: g.tm * g.jv },
    (_, n) => `any(seen${Math.floor(n / g.jv)}_${n % g.jv})`,
  );
  return `${seen}\n${ifAnySees(names.join(" || "), body)}`;
}

/**
 * Turns the product in `s` into the score of pairs (row i, column vector n); declares `hide`, and with
 * `slope` also that, d(score) / d(product). `absent`: columns that are not there.
 */
export function scoreOfPairs(
  v: Variant,
  s: string,
  i: number,
  n: number,
  { slope = false, absent }: { readonly slope?: boolean; readonly absent?: string } = {},
): string {
  // what bias holds for rows that are not there could be anything
  const hides = [v.bias && "is_hole(b)", v.bias && absent, v.mask && `!seen${i}_${n}`]
    .filter(Boolean);
  return [
    v.softcap && slope ? `    let slope = tanh_slope4(${s});` : "",
    v.softcap ? `    ${s} = tanh4(${s}) * U.softcap;` : "",
    v.bias ? `    let b = bias4(vec4<u32>(bias_r${i}) + bias_c${n});` : "",
    v.bias ? `    ${s} += b;` : "",
    hides.length ? `    let hide = ${hides.map((h) => `(${h})`).join(" | ")};` : "",
  ].filter(Boolean).join("\n");
}

/** Whether `scoreOfPairs` declares `hide`. */
export function hidesPairs(v: Variant): boolean {
  return v.bias !== undefined || v.mask;
}

/** Where rows are queries: the first and last query of the tile. */
export function queriesOfTile(g: Geometry, { grouped }: Variant): string {
  return `  let last = min(first + ${g.rows}u, row_count) - 1u;
  let first_query = i32(${queryOf("first", grouped)}); let last_query = i32(${
    queryOf("last", grouped)
  });`;
}

/** Where rows are queries: the keys of column vector n that are there, for a row that is. */
export function pairExists(i: number, n: number): string {
  return `(key_${n} < select(vec4<u32>(0u), vec4<u32>(end), row${i} < row_count))`;
}

/**
 * Where rows are queries: gives pairs outside the band the value `hidden` in registers `name`. Tiles that lie inside
 * it do not run this.
 */
export function hideOutsideBand(g: Geometry, name: string, hidden: string): string {
  return `  if (k0 + ${g.columns}u > end || i32(k0) + ${
    g.columns - 1
  } > first_query + high || i32(k0) < last_query + low) {
${
    each(g.tm, (i) =>
      `    let hi${i} = vec4<i32>(min(i32(end) - 1, i32(query${i}) + high)); let lo${i} = vec4<i32>(i32(query${i}) + low);
${
        each(g.jv, (n) =>
          `    ${name}${i}_${n} = select(${name}${i}_${n}, vec4<f32>(${hidden}), (vec4<i32>(key_${n}) > hi${i}) | (vec4<i32>(key_${n}) < lo${i}));`)
      }`)
  }
  }`;
}
