import type { Feature } from "./feature.ts";
import { checkScalar } from "./scalar.ts";

/** Kernels hold scores in base 2: this times log2 e is a float32 still. Larger ones change no score that is below 1e34. */
const LARGEST = 2 ** 127;

/** Softcap: `s = softcap * tanh(s / softcap)`, first thing after the scale. */
export const softcap: Feature<number> = {
  name: "softcap",
  stage: "score",
  source: "FlashAttention-2, ONNX Attention-23, Gemma 2",
  elsewhere: ["logitsSoftCap", "logits_soft_cap"],
  perScore: true,
  slope: true,
  shown: "softcapped",
  parse({ softcap }, _dims, complaint) {
    if (softcap === undefined) return undefined;
    const cap = checkScalar("softcap", softcap, complaint);
    return cap === 0 ? undefined : cap; // 0 means off, as in FlashAttention and ONNX
  },
  exact: (softcap) => ({
    score: (s) => softcap * Math.tanh(s / softcap),
    slope: (s) => 1 - Math.tanh(s / softcap) ** 2,
  }),
  scalars: { softcap: (softcap) => Math.min(softcap, LARGEST) },
};
