// Dispatches of what looks inside attention: scores, the largest of each row, sums over the rows.
import { columnSumsShader, scoresShader } from "../../../shaders/kernels/inside.ts";
import { SORT_ROWS, sortKeysShader, topKeysShader } from "../../../shaders/kernels/top_keys.ts";
import { type Variant, variantKey } from "../../../shaders/parts/variant.ts";
import { visiblePairs } from "../../plan/visible.ts";
import { sortedAtOnce } from "../../plan/webgpu/tiles.ts";
import { type Step, variantOf } from "./dispatch.ts";
import type { RegionCall } from "./region_call.ts";

/** Rows of a tile are queries of one head. */
function insideVariant(r: RegionCall): Variant {
  return { ...variantOf(r.call.variant, r.call.plan.inside!, r.sizes), grouped: false };
}

/** What the product costs. */
function flops({ region, heads, sizes }: RegionCall): number {
  const { lengthQ, lengthK, headDim } = sizes;
  const pairs = region.spans.map((span) => visiblePairs(span, 0, lengthQ, 0, lengthK));
  return 2 * heads * headDim * pairs.reduce((a, b) => a + b, 0);
}

/** Scores of a rectangle, or weights where there is an lse. */
export function scoresStep(r: RegionCall): Step {
  const v = insideVariant(r), { rows, columns } = r.call.plan.inside!, { sizes, heads } = r;
  const weights = r.call.views.lse !== undefined;
  const { bindings, params } = r.bind({
    q: r.input("q"),
    k: r.input("k"),
    scores: r.result("scores"),
    ...(weights && { lse: r.input("lse") }),
  });
  return {
    kernel: {
      key: variantKey(weights ? "probabilities" : "scores", v),
      code: () => scoresShader(v, weights),
    },
    ...{ bindings, params },
    x: Math.ceil(sizes.lengthQ / rows) * Math.ceil(sizes.lengthK / columns),
    y: heads,
    z: sizes.batch,
    // what is hidden is written too
    flops: flops(r) + heads * sizes.batch * sizes.lengthQ * sizes.lengthK,
  };
}

/** Sums of weights over the rows. */
export function columnSumsStep(r: RegionCall): Step {
  const v = insideVariant(r), { sizes, heads } = r;
  const { bindings, params } = r.bind({
    q: r.input("q"),
    k: r.input("k"),
    lse: r.input("lse"),
    columnSums: r.result("columnSums"),
  });
  return {
    kernel: { key: variantKey("column sums", v), code: () => columnSumsShader(v) },
    bindings,
    params: { ...params, accumulate: r.region.rowBegin > 0 ? 1 : 0 },
    x: Math.ceil(sizes.lengthK / r.call.plan.inside!.columns),
    y: heads,
    z: sizes.batch,
    flops: flops(r),
  };
}

/** Heaps of the largest scores of each row. */
export function topKeysStep(r: RegionCall): Step {
  const v = insideVariant(r), { sizes, heads, region } = r;
  const { bindings, params } = r.bind({
    q: r.input("q"),
    k: r.input("k"),
    topKeys: r.result("topKeys"),
    topProbabilities: r.result("topProbabilities"),
  });
  return {
    kernel: { key: variantKey("top keys", v), code: () => topKeysShader(v) },
    bindings,
    params: {
      ...params,
      accumulate: region.moreKeys ? 1 : 0,
      count: r.call.problem.count,
    },
    x: Math.ceil(sizes.lengthQ / r.call.plan.inside!.rows),
    y: heads,
    z: sizes.batch,
    flops: flops(r),
  };
}

/** Heaps in their order, with weights; in several steps where a loop must not be long. */
export function sortKeysSteps(r: RegionCall): Step[] {
  const { sizes, heads, call: { problem: { count }, home } } = r;
  const { bindings, params } = r.bind({
    lse: r.input("lse"),
    topKeys: r.result("topKeys"),
    topProbabilities: r.result("topProbabilities"),
  });
  const steps: Step[] = [], size = sortedAtOnce(count, home.open.target);
  for (let last = count - 1; last >= 0; last -= size) {
    const range = { source_at: last, target_at: Math.max(0, last - size + 1) };
    steps.push({
      kernel: { key: "sort keys", code: sortKeysShader },
      bindings,
      params: { ...params, count, ...range },
      x: Math.ceil(sizes.lengthQ / SORT_ROWS),
      y: heads,
      z: sizes.batch,
      flops: 16 * Math.min(size, count) * heads * sizes.batch * sizes.lengthQ,
    });
  }
  return steps;
}
