// dS of single pairs, for sums over them: one by one, so what hidden pairs hold cannot get in.
import type { FeatureName } from "../../src/problem/features/feature.ts";
import type { Geometry } from "../abi.ts";
import { headOf, queryOf } from "../parts/address.ts";
import { keysOf, outside } from "../parts/band.ts";
import { rowPower } from "../parts/powers.ts";
import { entropyTerm, gainAt } from "../parts/statistics.ts";
import { each, EMPTY_LSE, LOG2E } from "../parts/text.ts";
import type { Variant } from "../parts/variant.ts";
import { keptPairs, weighed } from "./probability.ts";
import { scoreOfPairs, slopeFactor } from "./score.ts";

/** Which of four numbers are infinite. */
export const IS_TOP: string =
  "fn is_top(x: vec4<f32>) -> vec4<bool> { return bitcast<vec4<u32>>(x) == vec4<u32>(0x7f800000u); }";

/** The rows of this thread, from `first` on, with what gradients take from each. */
export function gradientRows(v: Variant, g: Geometry): string {
  return each(
    g.tm,
    (i) =>
      `  let row${i} = first + ty * ${g.tm}u + ${i}u; let query${i} = ${
        queryOf(`row${i}`, v.grouped)
      };
  let head${i} = ${headOf(`row${i}`, v.grouped)};
  var lse${i} = ${EMPTY_LSE}; var delta${i} = 0.0; var low_sum${i} = 0.0;
  if (row${i} < row_count) { let x = stats[stats_base + row${i}]; lse${i} = x.x; delta${i} = x.y; low_sum${i} = x.z; }
${rowPower(g, i, `row${i} < row_count`, `stats_base + row${i}`)}${
        v.statistics
          ? `
  var gain${i} = 0.0; if (row${i} < row_count) { gain${i} = ${gainAt(`stats_base + row${i}`)}; }`
          : ""
      }`,
  );
}

/**
 * `ds` of the pairs (row i, column vector n), before the slope of the feature `of`, and `outside`, those that the band
 * does not have. `seen`: what declares those that are seen, where nothing has.
 */
export function gradientOfPairs(
  v: Variant,
  g: Geometry,
  of: FeatureName,
  [i, n]: readonly [number, number],
  { seen = "", learned = false }: { readonly seen?: string; readonly learned?: boolean } = {},
): string {
  const { least, most } = keysOf(`query${i}`, "end"), s = `s${i}_${n}`;
  const side = "rows are queries", bounds = { least: "lo", most: "hi" };
  return `    let hi = ${most}; let lo = ${least};
    let outside = ${outside(`key_${n}`, bounds, "vec4<i32>")};
${seen}
${scoreOfPairs(v, side, s, i, n, { slopes: true, learned })}
${keptPairs(v, g, side, i, n)}
    var log2p = fma(${s} - vec4<f32>(lse${i}), vec4<f32>(${LOG2E}), vec4<f32>(-low_sum${i}));
    // one infinite score: the limit of one that grows without end
    let limit_pair = is_top(${s}) & vec4<bool>(is_top(vec4<f32>(lse${i})).x);
    let p = select(exp2(log2p), vec4<f32>(1.0), limit_pair); log2p = select(log2p, vec4<f32>(0.0), limit_pair);
    let ds = p * (${weighed(v, `dp${i}_${n}`)} - vec4<f32>(delta${i})${
    entropyTerm(v.statistics, "log2p", `vec4<f32>(gain${i})`, "vec4<f32>")
  })${slopeFactor(v, of)};`;
}
