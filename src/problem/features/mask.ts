import { arrayKind } from "../../tensor/dtype.ts";
import { show } from "../../tensor/errors.ts";
import { checkBroadcast } from "./broadcast.ts";
import type { Feature } from "./feature.ts";

/** Mask: a byte for each (query, key), 1 = may attend. Tiles that hold no 1 are skipped. */
export const mask: Feature<true> = {
  name: "mask",
  stage: "hide",
  source: "PyTorch SDPA attn_mask (bool), ONNX Attention attn_mask (bool)",
  elsewhere: ["attnMask", "attn_mask"],
  operands: ["mask"],
  perScore: true,
  parse({ mask }, dims, complaint) {
    if (mask === undefined) return undefined;
    checkBroadcast("mask", mask, dims, complaint);
    if ("data" in mask && arrayKind(mask.data) !== "Uint8Array") {
      throw complaint.type(`mask.data is ${show(mask.data)} but must be a Uint8Array`);
    }
    return true;
  },
  exact: (_, { values }) => {
    const at = values("mask");
    return { shows: ({ batch, head, query, key }) => at(batch, head, query, key) !== 0 };
  },
};
