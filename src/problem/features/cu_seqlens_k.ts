import { parseStarts } from "../packing.ts";
import type { Feature } from "./feature.ts";

/** Packed keys: sequences lie one behind the other, and each has a length of its own. */
export const cuSeqlensK: Feature<readonly number[]> = {
  name: "cuSeqlensK",
  stage: "hide",
  source: "FlashAttention varlen, cu_seqlens_k",
  elsewhere: ["cu_seqlens_k", "cuSeqlensKV", "cu_seqlens_kv", "cu_seq_k"],
  perScore: false,
  parse: (options, _dims, complaint) => parseStarts("keys", options, complaint),
  span(starts, span, index) {
    const lengthK = starts[index + 1]! - starts[index]!;
    return { ...span, lengthK, offset: lengthK - span.lengthQ };
  },
};
