import { show } from "../../tensor/errors.ts";
import type { Feature } from "./feature.ts";

/** An offset for each batch element, or one of the two alignments. */
type CausalParams = "bottom-right" | "top-left" | { readonly offset: number | Int32Array };

/** Causal: query i sees keys up to i + offset, which is where the diagonal lies. */
export const causal: Feature<CausalParams> = {
  name: "causal",
  stage: "hide",
  source: "FlashAttention-2 (bottom-right), PyTorch SDPA (top-left), ONNX Attention (offset)",
  perScore: false,
  parse({ causal }, dims, complaint) {
    if (causal === undefined || causal === false) return undefined;
    if (causal === true || causal === "bottom-right") return "bottom-right";
    if (causal === "top-left") return "top-left";
    const wanted = `must be a boolean, "bottom-right", "top-left" or { offset }`;
    if (typeof causal !== "object" || causal === null || !("offset" in causal)) {
      throw complaint.type(`causal is ${show(causal)} but ${wanted}`);
    }
    const { offset } = causal;
    if (offset instanceof Int32Array) {
      if (offset.length !== dims.batch) {
        throw complaint.range(
          `causal.offset has ${offset.length} entries but batch is ${dims.batch}`,
        );
      }
      return { offset: offset.slice() };
    }
    if (typeof offset !== "number") {
      throw complaint.type(
        `causal.offset is ${show(offset)} but must be an integer or an Int32Array`,
      );
    }
    if (!Number.isSafeInteger(offset)) {
      throw complaint.range(`causal.offset is ${offset} but must be an integer`);
    }
    return { offset };
  },
  span(params, span, index) {
    const offset = params === "bottom-right"
      ? span.offset
      : params === "top-left"
      ? 0
      : typeof params.offset === "number"
      ? params.offset
      : params.offset[index];
    return { ...span, offset, high: Math.min(span.high, offset) };
  },
};
