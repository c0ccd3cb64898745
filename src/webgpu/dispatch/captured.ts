// Dispatches of the gradients of captured arrays: sums of items, as many as there is room for, and what they come to.
import { learningProgramOf } from "../../../shaders/expression/program.ts";
import {
  capturedSumShader,
  slotSumGroups,
  slotSumShader,
} from "../../../shaders/kernels/captured_sum.ts";
import { variantKey } from "../../../shaders/parts/variant.ts";
import { feature } from "../../problem/features/table.ts";
import { backwardInputs, backwardVariant, statsOf } from "./backward.ts";
import { type CallVariant, pairs, type Step, variantOf, wholeBuffer } from "./dispatch.ts";
import type { RegionCall } from "./region_call.ts";
import { accumulates } from "./sums.ts";

/** Bytes of the sums that are made at a time, and their number, at most: unless those of one item are more. */
const SLOT_BYTES = 2 ** 25, MOST_SLOTS = 2 ** 14;

/** The variant whose function says what its captured arrays learn. */
function learningVariant(r: RegionCall): CallVariant {
  const variant = backwardVariant(r), features = new Map(variant.features);
  for (const { name, params } of r.call.problem.features) {
    const traced = feature(name).learns ? feature(name).traced?.(params) : undefined;
    const program = traced && learningProgramOf(traced);
    if (program) features.set(name, program);
  }
  return { ...variant, features };
}

/** The gradients of captured arrays. */
export function capturedSumSteps(r: RegionCall): Step[] {
  const { sizes, region: { rowItems }, call: { problem, plan } } = r, { kvHeads } = sizes;
  const v = variantOf(learningVariant(r), plan.dq!, sizes), steps: Step[] = [];
  const bytes = 4 * problem.captured * kvHeads, { bindings, params } = r.bind(backwardInputs(r));
  const room = Math.min(SLOT_BYTES, r.call.home.open.target.limits.storageBinding);
  const most = Math.floor(Math.min(room / bytes, MOST_SLOTS / kvHeads));
  const items = Math.max(1, Math.min(rowItems.length, most));
  const slots = wholeBuffer(r.call.scratch(items * bytes), items * bytes);
  const result = r.bind({ dCaptured: r.result("dCaptured") }), count = problem.captured;
  for (let begin = 0; begin < rowItems.length; begin += items) {
    const end = Math.min(rowItems.length, begin + items), first = r.schedule.rowBase + begin;
    const all = 2 * pairs(rowItems.slice(begin, end)) * r.heads;
    steps.push({
      kernel: { key: variantKey("captured sum", v), code: () => capturedSumShader(v) },
      bindings: { ...bindings, stats: statsOf(r), slots },
      params: { ...params, item_base: first, target_at: first, count },
      x: end - begin,
      y: kvHeads,
      z: 1,
      flops: all * (sizes.headDim + sizes.valueDim + 16),
    }, {
      kernel: { key: "slot sum", code: slotSumShader },
      bindings: { ...result.bindings, slots },
      params: {
        ...result.params,
        ...{ count, num_splits: (end - begin) * kvHeads },
        accumulate: begin > 0 ? 1 : accumulates(r),
      },
      x: slotSumGroups(count),
      y: 1,
      z: 1,
      flops: count * (end - begin) * kvHeads,
    });
  }
  return steps;
}
