// P on its way to v: features that keep some pairs and drop the others. Which ones is asked for eight keys of a query
// at once, and the workgroup asks for all pairs of a tile together, because the pairs of one thread lie apart. Numbers
// of batch elements, heads, queries and keys count in the whole call there, whatever the region.
import { type Geometry, KEPT_KEYS, keptGroups } from "../abi.ts";
import { columnIndices } from "../parts/tile.ts";
import type { Variant } from "../parts/variant.ts";
import type { Side } from "./feature.ts";
import { activeFeatures } from "./table.ts";

const keeping = (v: Pick<Variant, "features">) =>
  activeFeatures(v).filter(({ probability }) => probability);

/** Whether some pairs are dropped. */
export function dropsPairs(v: Pick<Variant, "features">): boolean {
  return keeping(v).length > 0;
}

/** A pair, or a group of keys of a query, as expressions in the numbers of the region. */
const IN_CALL = {
  batch: "U.batch_begin + batch",
  head: "U.head_begin + head",
  query: "U.query_begin + query",
};

/** `kept_bits`: those of a group of keys. */
const keptBits = (v: Variant) =>
  `fn kept_bits(batch: u32, head: u32, query: u32, group: u32) -> u32 {
  return ${
    keeping(v).map(({ probability }) => probability!.kept({ ...IN_CALL, group: "group" })).join(
      " & ",
    )
  };
}`;

const declares = (v: Variant) => keeping(v).map(({ probability }) => probability!.declare);

/**
 * `kept_one`: what P of one pair is multiplied with, 0 where it is dropped. `ask`: features that may be there are asked
 * for, and there may be none.
 */
export function keptOne(v: Variant, ask = false): string {
  if (!dropsPairs(v) && !ask) return "";
  const steps = keeping(v).map(({ present, probability }) => {
    const bits = probability!.kept({ ...IN_CALL, group: `key_in_call / ${KEPT_KEYS}u` });
    const step = `z *= select(0.0, ${
      probability!.scale
    }, ((${bits} >> (key_in_call % ${KEPT_KEYS}u)) & 1u) == 1u);`;
    return ask && present ? `  if (${present}) { ${step} }` : `  ${step}`;
  });
  return `${declares(v).join("\n")}
fn kept_one(batch: u32, head: u32, query: u32, key: u32) -> f32 {
  let key_in_call = U.key_begin + key; var z = 1.0;
${steps.join("\n")}
  return z;
}`;
}

const sides = ({ rows, columns }: Geometry, side: Side) =>
  side === "rows are queries" ? { queries: rows, keys: columns } : { queries: columns, keys: rows };

/** What a tile needs outside of `main`: bits of its pairs, and `kept_pairs`, the factors of four of them. */
export function keptMemory(v: Variant, g: Geometry, side: Side): string {
  if (!dropsPairs(v)) return "";
  const { queries, keys } = sides(g, side);
  const scale = keeping(v).map(({ probability }) => probability!.scale).join(" * ");
  return `${declares(v).join("\n")}
${keptBits(v)}
var<workgroup> kept: array<array<u32, ${keptGroups(keys)}>, ${queries}>;
fn kept_pairs(query: vec4<u32>, key: vec4<u32>) -> vec4<f32> {
  let group = key / vec4<u32>(${KEPT_KEYS}u);
  let bits = vec4<u32>(kept[query.x][group.x], kept[query.y][group.y], kept[query.z][group.z], kept[query.w][group.w])
    >> (key % vec4<u32>(${KEPT_KEYS}u));
  return select(vec4<f32>(0.0), vec4<f32>(${scale}), (bits & vec4<u32>(1u)) == vec4<u32>(1u));
}
// a dropped pair has none of x, whatever that is
fn weighed(x: vec4<f32>, z: vec4<f32>) -> vec4<f32> { return select(vec4<f32>(0.0), x * z, z > vec4<f32>(0.0)); }`;
}

/** Finds the bits of a tile; they are there from the first barrier of its products on. */
export function keepTile(
  v: Variant,
  g: Geometry,
  side: Side,
  { firstQuery, head, query, firstKey }: {
    /** The first row of queries of the tile, and what head and query of a row are. */
    readonly firstQuery: string;
    head(row: string): string;
    query(row: string): string;
    readonly firstKey: string;
  },
): string {
  if (!dropsPairs(v)) return "";
  const { queries, keys } = sides(g, side);
  return `  // which pairs of the tile are kept, by groups of keys
  let kept_key = U.key_begin + ${firstKey}; let kept_shift = kept_key % ${KEPT_KEYS}u;
  let kept_groups = (kept_shift + ${keys + KEPT_KEYS - 1}u) / ${KEPT_KEYS}u;
  workgroupBarrier();
  for (var t = li; t < ${queries}u * kept_groups; t += ${g.threads}u) {
    let row = ${firstQuery} + t / kept_groups; let group = t % kept_groups;
    kept[t / kept_groups][group] = kept_bits(batch, ${head("row")}, ${
    query("row")
  }, kept_key / ${KEPT_KEYS}u + group);
  }`;
}

/** Declares `z`, the factors of the pairs (row i, column vector n). */
export function keptPairs(v: Variant, g: Geometry, side: Side, i: number, n: number): string {
  if (!dropsPairs(v)) return "";
  const row = `vec4<u32>(ty * ${g.tm}u + ${i}u)`, column = columnIndices(g, "0u", n);
  const [query, key] = side === "rows are queries" ? [row, column] : [column, row];
  return `    let z = kept_pairs(${query}, ${key} + vec4<u32>(kept_shift));`;
}

/** P or dP with the factors in `z`. */
export function weighed(v: Variant, x: string): string {
  return dropsPairs(v) ? `weighed(${x}, z)` : x;
}
