// mergeAttention: partial results over disjoint keys become one.
import { defaultEngine, type Engine } from "./engine.ts";
import { Complaint, show } from "./errors.ts";
import { viewHeads, viewRows } from "./operand.ts";
import type { AttentionResult, Layout } from "./options.ts";
import type { AnyTensor, ResultOf } from "./tensor.ts";

/** Options of `mergeAttention`. */
export interface MergeOptions {
  /** Order of the axes of the parts. Default `"bshd"`. */
  readonly layout?: Layout;
  /** An engine other than the default one; needed when parts are resident on it. */
  readonly engine?: Engine;
}

/**
 * Merges results of the same queries over disjoint keys into the result over all of them, exactly: the
 * softmax state (out, lse) is associative. This is the combine step of flash-decoding, ring attention
 * and shared prefixes (FlashInfer `merge_state`).
 *
 * `out` of each part is `[batch, lengthQ, queryHeads, valueDim]` (or `"bhsd"`), `lse` is
 * `[batch, queryHeads, lengthQ]`. A part with lse −∞ saw no key and weighs nothing.
 *
 * @throws {RangeError} no parts, or parts of different shapes.
 *
 * @example
 * ```ts
 * import { attentionSync, mergeAttention } from "@flashtile/attention";
 * import assert from "node:assert/strict";
 *
 * const part = (...x: number[]) => ({ data: new Float32Array(x), shape: [1, x.length, 1, 1] });
 * const q = part(1);
 * const left = attentionSync(q, part(0.5, 1), part(1, 2));
 * const right = attentionSync(q, part(2), part(3));
 * const whole = attentionSync(q, part(0.5, 1, 2), part(1, 2, 3));
 * const { out } = mergeAttention([left, right]);
 * assert.ok(Math.abs(out.data[0] - whole.out.data[0]) < 1e-6);
 * ```
 */
export function mergeAttention<T extends AnyTensor>(
  parts: readonly { readonly out: T; readonly lse: AnyTensor }[],
  options: MergeOptions = {},
): AttentionResult<ResultOf<T>> {
  const complaint = new Complaint("mergeAttention");
  if (!Array.isArray(parts)) {
    throw complaint.type(`parts is ${show(parts)} but must be an array of { out, lse }`);
  }
  if (parts.length === 0) throw complaint.range("parts has 0 entries but at least 1 was wanted");
  const { layout = "bshd", engine = defaultEngine() } = options;
  if (layout !== "bshd" && layout !== "bhsd") {
    throw complaint.type(`layout is ${show(layout)} but must be "bshd" or "bhsd"`);
  }
  const views = parts.map((part, index) => {
    if (typeof part !== "object" || part === null) {
      throw complaint.type(`parts[${index}] is ${show(part)} but must be { out, lse }`);
    }
    return {
      out: viewHeads("out", part.out, layout, complaint),
      lse: viewRows("lse", part.lse, complaint),
    };
  });
  const [batch, heads, length, valueDim] = views[0].out.size;
  views.forEach(({ out, lse }, index) => {
    if (`${out.size}` !== `${views[0].out.size}`) {
      throw complaint.range(
        `parts[${index}].out has shape ${show(parts[index].out.shape)} but parts[0].out has ` +
          show(parts[0].out.shape),
      );
    }
    if (`${lse.size}` !== `${[batch, heads, length, 1]}`) {
      throw complaint.range(
        `parts[${index}].lse has shape ${show(parts[index].lse.shape)} but ` +
          `${show([batch, heads, length])} was wanted`,
      );
    }
  });
  return engine.mergeParts(views, { layout, batch, heads, length, valueDim });
}
