import { parseStarts } from "../packing.ts";
import type { Feature } from "./feature.ts";

/** Packed queries: sequences lie one behind the other, and each has a length of its own. */
export const cuSeqlensQ: Feature<readonly number[]> = {
  name: "cuSeqlensQ",
  stage: "hide",
  source: "FlashAttention varlen, cu_seqlens_q",
  elsewhere: ["cu_seqlens_q", "cuSeqlens", "cu_seqlens", "cu_seq_q"],
  perScore: false,
  parse: (options, _dims, complaint) => parseStarts("queries", options, complaint),
  span(starts, span, index) {
    const lengthQ = starts[index + 1]! - starts[index]!;
    return { ...span, lengthQ, offset: span.lengthK - lengthQ };
  },
};
