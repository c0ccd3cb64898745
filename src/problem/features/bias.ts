import { checkBroadcast } from "./broadcast.ts";
import type { Feature } from "./feature.ts";

/** Bias: an additive term for each (query, key); minus infinity masks. */
export const bias: Feature<true> = {
  name: "bias",
  stage: "score",
  source: "PyTorch SDPA attn_mask (float), ONNX Attention attn_mask (float), T5, Swin",
  elsewhere: ["attnMask", "attn_mask", "attnBias", "attn_bias"],
  operands: ["bias"],
  perScore: true,
  hides: true,
  parse({ bias }, dims, complaint) {
    if (bias === undefined) return undefined;
    checkBroadcast("bias", bias, dims, complaint);
    return true;
  },
  exact: (_, { values }) => {
    const at = values("bias");
    return { score: (s, { batch, head, query, key }) => s + at(batch, head, query, key) };
  },
};
