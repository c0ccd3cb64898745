import { lengthOf } from "../packing.ts";
import type { Feature } from "./feature.ts";
import { perSequence } from "./per_sequence.ts";

/** Key lengths: only the first n keys of each sequence are real, and the diagonal ends at n. */
export const keyLengths: Feature<readonly number[]> = {
  name: "keyLengths",
  stage: "hide",
  source: "FlashAttention seqused_k, ONNX Attention-24 nonpad_kv_seqlen",
  elsewhere: ["seqused_k", "seqlensK", "seqlens_k", "nonpad_kv_seqlen", "keyValueSeqLengths"],
  perScore: false,
  parse({ keyLengths }, { batch, lengthK, packed, cached }, complaint) {
    if (keyLengths === undefined) return undefined;
    const lengths = perSequence("keyLengths", keyLengths, batch, complaint);
    lengths.forEach((n, index) => {
      const own = packed?.keys ? lengthOf(packed.keys, index) : cached?.[index];
      const room = own ?? lengthK;
      if (n < 0 || n > room) {
        const what = own === undefined ? "lengthK" : "the rows of that sequence";
        throw complaint.range(
          `keyLengths[${index}] is ${n} but must be from 0 to ${what} = ${room}`,
        );
      }
    });
    return lengths;
  },
  span(lengths, span, index) {
    const lengthK = lengths[index]!;
    return { ...span, lengthK, offset: lengthK - span.lengthQ };
  },
};
