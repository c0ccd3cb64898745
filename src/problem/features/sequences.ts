import type { Feature } from "./feature.ts";

/** Sequences of a KV cache that are read, each with the rows that it holds. */
export const sequences: Feature<readonly number[]> = {
  name: "sequences",
  stage: "hide",
  source: "FlashAttention kvcache, cache_batch_idx",
  elsewhere: ["cache_batch_idx", "batch_idx", "cacheBatchIdx"],
  perScore: false,
  forwardOnly: true,
  shown: "raw", // other keys do not exist
  parse: (_options, { cached }) => cached,
  span(lengths, span, index) {
    const lengthK = lengths[index]!;
    return { ...span, lengthK, offset: lengthK - span.lengthQ };
  },
};
