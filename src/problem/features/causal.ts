import { show } from "../../tensor/errors.ts";
import type { Feature } from "./feature.ts";
import { perSequence } from "./per_sequence.ts";

/** An offset for each batch element, or one of the two alignments. */
type CausalParams = "bottom-right" | "top-left" | { readonly offsets: readonly number[] };

/** Causal: query i sees keys up to i + offset, which is where the diagonal lies. */
export const causal: Feature<CausalParams> = {
  name: "causal",
  stage: "hide",
  source: "FlashAttention-2 (bottom-right), PyTorch SDPA (top-left), ONNX Attention (offset)",
  elsewhere: ["isCausal", "is_causal", "unidirectional"],
  perScore: false,
  parse({ causal }, { batch }, complaint) {
    if (causal === undefined || causal === false) return undefined;
    if (causal === true || causal === "bottom-right") return "bottom-right";
    if (causal === "top-left") return "top-left";
    const wanted = `must be a boolean, "bottom-right", "top-left" or { offset }`;
    if (typeof causal !== "object" || causal === null || !("offset" in causal)) {
      throw complaint.type(`causal is ${show(causal)} but ${wanted}`);
    }
    const unknown = Object.keys(causal).find((key) => key !== "offset");
    if (unknown !== undefined) {
      throw complaint.type(`causal has the unknown key ${show(unknown)}, wanted offset`);
    }
    return { offsets: perSequence("causal.offset", causal.offset, batch, complaint) };
  },
  span(params, span, index) {
    const offset = params === "bottom-right"
      ? span.offset
      : params === "top-left"
      ? 0
      : params.offsets[index]!;
    return { ...span, offset, high: Math.min(span.high, offset) };
  },
};
