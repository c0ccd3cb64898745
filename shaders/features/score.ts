// From products to scores: what the features of a variant do to pairs, in the order of the feature table. The same
// text serves forward and dQ, whose rows are queries, dK/dV, whose rows are keys, and kernels that look at one pair.
import type { FeatureName } from "../../src/problem/features/feature.ts";
import { shaderName } from "../../src/tensor/operands.ts";
import type { Geometry } from "../abi.ts";
import { queryOf } from "../parts/address.ts";
import { crossesBand, keysOf, outside } from "../parts/band.ts";
import { declare } from "../parts/bindings.ts";
import { each, SENTINELS } from "../parts/text.ts";
import type { Variant } from "../parts/variant.ts";
import type { KeyAt, PairAt, QueryAt, ScoreType, ShaderFeature, Side } from "./feature.ts";
import { stateDeclarations } from "./state.ts";
import { activeFeatures } from "./table.ts";

/** What the features of a variant need outside of `main`, and the schedule buffer. */
export function scoreDeclarations(
  v: Pick<Variant, "features">,
  type: ScoreType,
  side: Side = "rows are queries",
): string {
  return [
    SENTINELS,
    declare("schedule", "u32"),
    ...activeFeatures(v).map(({ name, declare }) =>
      declare?.(type, v.features.get(name)!, side) ?? ""
    ),
    stateDeclarations(v),
  ].join("\n");
}

/**
 * Factor of q as it is staged, always of q and never of k: backward then computes a score from the same roundings as
 * forward did, and what they have in common drops out of S - lse. Scores are in natural units for the same reason:
 * P = exp2((S - lse) log2 e) takes the difference before anything is rounded.
 */
export function stagedScale(v: Variant): string {
  return activeFeatures(v).reduce((scale, { load }) => load?.factor(scale) ?? scale, "U.scale");
}

/** Factor of dK, which sums rows of q that have the staged scale; with a space before, or empty. */
export function gradientFactor(v: Variant): string {
  return activeFeatures(v).map(({ load }) => load ? ` * ${load.undo}` : "").join("");
}

/** A name of WGSL for a value of a feature: `ofQuery` of row or column vector n, or `ofKey`. */
const shareName = ({ name }: ShaderFeature, share: string, of: "q" | "k", n: number) =>
  `${shaderName(name)}_${share}_${of}${n}`;

function shares(v: Variant, of: "q" | "k", n: number, at: QueryAt | KeyAt): string {
  return activeFeatures(v).flatMap((feature) => {
    const made = "key" in at ? feature.perKey?.(at) : feature.perQuery?.(at);
    return Object.entries(made ?? {}).map(([share, value]) =>
      `  let ${shareName(feature, share, of, n)} = ${value};`
    );
  }).join("\n");
}

/** What features make of row i, once a workgroup: of `head<i>`, `query<i>` or `key<i>`, in sequence `batch`. */
export function rowShares(g: Geometry, v: Variant, side: Side): string {
  const type = "f32", rest = { batch: "batch", offset: "offset" };
  return each(
    g.tm,
    (i) =>
      side === "rows are queries"
        ? shares(v, "q", i, { type, ...rest, head: `head${i}`, query: `query${i}` })
        : shares(v, "k", i, { type, batch: "batch", key: `key${i}` }),
  );
}

/** ... and of column vector n, once a tile: of `key_<n>`, or `head_<n>` and `query_<n>`. */
export function columnShares(g: Geometry, v: Variant, side: Side): string {
  const type = "vec4<f32>", rest = { batch: "batch", offset: "offset" };
  return each(
    g.jv,
    (n) =>
      side === "rows are queries"
        ? shares(v, "k", n, { type, batch: "batch", key: `key_${n}` })
        : shares(v, "q", n, { type, ...rest, head: `head_${n}`, query: `query_${n}` }),
  );
}

/** Whether a feature makes something of queries: then their heads are wanted. */
export function wantsQueries(v: Variant): boolean {
  return activeFeatures(v).some(({ perQuery }) => perQuery);
}

/** The pairs (row i, column vector n) of a tile. */
export function pairsAt(feature: ShaderFeature, side: Side, i: number, n: number): PairAt {
  const [q, k] = side === "rows are queries" ? [i, n] : [n, i];
  return {
    type: "vec4<f32>",
    ofQuery: (share) => shareName(feature, share, "q", q),
    ofKey: (share) => shareName(feature, share, "k", k),
  };
}

/** One pair: nothing is made ahead. */
export function pairAt(feature: ShaderFeature, query: Omit<QueryAt, "type">, key: string): PairAt {
  const type = "f32";
  return {
    type,
    ofQuery: (share) => `(${feature.perQuery!({ type, ...query })[share]})`,
    ofKey: (share) => `(${feature.perKey!({ type, batch: query.batch, key })[share]})`,
  };
}

/** Turns the product in `s` into the score of one pair, unless `hide` is set, and sets it where features hide it. */
export function scoreOfPair(
  v: Variant,
  s: string,
  query: Omit<QueryAt, "type">,
  key: string,
): string {
  const lines = activeFeatures(v).flatMap((feature) => {
    const at = pairAt(feature, query, key), { read, score, hide, sees } = feature;
    return [
      read?.(at),
      score?.(s, at),
      hide && `hide = hide | ${hide(at)};`,
      sees && `hide = hide | !${sees(at)};`,
    ];
  }).filter((line) => line !== undefined);
  if (lines.length === 0) return "";
  return `    // what operands hold for pairs outside could be anything
    if (!hide) {\n${lines.map((line) => `      ${line}`).join("\n")}\n    }`;
}

/** S becomes scores, hidden pairs `hidden`, in a tile whose rows are queries. */
export function scoresOfTile(v: Variant, g: Geometry, hidden: string): string {
  const pair = (s: string, i: number, n: number) =>
    `  {\n${scoreOfPairs(v, "rows are queries", s, i, n)}
${hidesPairs(v) ? `    ${s} = select(${s}, vec4<f32>(${hidden}), hide);` : ""}\n  }`;
  return `  // S = features(S)
${each(g.tm, (i) => each(g.jv, (n) => pair(`s${i}_${n}`, i, n)))}`;
}

/** Which pairs (row i, column vector n) features see, as `seen<i>_<n>`. */
export function seenPairs(v: Variant, side: Side, i: number, n: number): string {
  const conditions = activeFeatures(v).flatMap((feature) =>
    feature.sees ? [feature.sees(pairsAt(feature, side, i, n))] : []
  );
  return conditions.length === 0 ? "" : `  let seen${i}_${n} = ${conditions.join(" & ")};`;
}

/** What `scoreOfPairs` declares beside. */
interface ScoreOptions {
  readonly slopes?: boolean;
  readonly learned?: boolean;
  /** Columns that are not there, for which operands could hold anything. */
  readonly absent?: string;
}

/** The feature whose captured arrays learn, and in how many places it reads them. */
export function learnedBy(v: Variant): { name: FeatureName; terms: number } | undefined {
  const found = activeFeatures(v).find(({ learned }) => learned);
  return found && { name: found.name, terms: found.learned!.length };
}

/**
 * Turns the product in `s` into the score of pairs (row i, column vector n); declares `hide` where features hide
 * pairs, with `slopes` those of `slopeFactor`, and with `learned` what captured arrays learn.
 */
export function scoreOfPairs(
  v: Variant,
  side: Side,
  s: string,
  i: number,
  n: number,
  { slopes = false, learned = false, absent }: ScoreOptions = {},
): string {
  const hides: string[] = [];
  const lines = activeFeatures(v).flatMap((feature) => {
    const at = pairsAt(feature, side, i, n);
    if (feature.hide) hides.push(feature.hide(at));
    if (absent && (feature.hide || feature.anyValue)) hides.push(absent);
    return [
      ...(learned ? feature.learned ?? [] : []).flatMap(({ share, place }, t) => [
        `let learned_share${t} = ${share(s, at)};`,
        `let learned_place${t} = ${place(at)};`,
      ]),
      slopes && feature.slope ? `let ${slopeName(feature)} = ${feature.slope(s, at)};` : undefined,
      feature.read?.(at),
      feature.score?.(s, at),
    ];
  });
  if (activeFeatures(v).some(({ sees }) => sees)) hides.push(`!seen${i}_${n}`);
  if (hides.length) lines.push(`let hide = ${hides.map((hide) => `(${hide})`).join(" | ")};`);
  return lines.filter((line) => line !== undefined).map((line) => `    ${line}`).join("\n");
}

const slopeName = ({ name }: ShaderFeature) => `slope_${shaderName(name)}`;

/** d(score) / d(product), as a factor, of the features behind `after` or of all; empty where that is 1. */
export function slopeFactor(v: Variant, after?: FeatureName): string {
  const active = activeFeatures(v), from = active.findIndex(({ name }) => name === after) + 1;
  return active.slice(from).map((f) => f.slope ? ` * ${slopeName(f)}` : "").join("");
}

/** Whether `scoreOfPairs` declares `hide`; `absent`: where it is told which columns are not there. */
export function hidesPairs(v: Variant, absent = false): boolean {
  return activeFeatures(v).some(({ hide, sees, anyValue }) => hide || sees || (absent && anyValue));
}

/** Whether `scoreOfPairs` does anything. */
export function actsOnPairs(v: Variant): boolean {
  return hidesPairs(v) || activeFeatures(v).some(({ score }) => score);
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
  const crosses = crossesBand({ first: "first_query", last: "last_query" }, {
    first: "i32(k0)",
    last: `i32(k0) + ${g.columns - 1}`,
  });
  return `  // hide pairs outside the band
  if (k0 + ${g.columns}u > end || ${crosses}) {
${
    each(g.tm, (i) => {
      const { least, most } = keysOf(`query${i}`, "end");
      const bounds = { least: `lo${i}`, most: `hi${i}` };
      return `    let hi${i} = ${most}; let lo${i} = ${least};
${
        each(g.jv, (n) =>
          `    ${name}${i}_${n} = select(${name}${i}_${n}, vec4<f32>(${hidden}), ${
            outside(`key_${n}`, bounds, "vec4<i32>")
          });`)
      }`;
    })
  }
  }`;
}
