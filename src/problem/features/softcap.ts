import { show } from "../../tensor/errors.ts";
import type { Feature } from "./feature.ts";

/** Softcap: `s = softcap * tanh(s / softcap)`, first thing after the scale. */
export const softcap: Feature<number> = {
  name: "softcap",
  stage: "score",
  source: "FlashAttention-2, ONNX Attention-23, Gemma 2",
  perScore: true,
  slope: true,
  parse({ softcap }, _dims, complaint) {
    if (softcap === undefined) return undefined;
    if (typeof softcap !== "number") {
      throw complaint.type(`softcap is ${show(softcap)} but must be a number`);
    }
    if (!(softcap >= 0 && softcap < Infinity)) {
      throw complaint.range(`softcap is ${softcap} but must be a finite number >= 0`);
    }
    return softcap === 0 ? undefined : softcap; // 0 means off, as in FlashAttention and ONNX
  },
  scalars: { softcap: (softcap) => softcap },
};
