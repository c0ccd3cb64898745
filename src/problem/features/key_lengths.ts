import { show } from "../../tensor/errors.ts";
import type { Feature } from "./feature.ts";

/** Key lengths: only the first n keys of each sequence are real, and the diagonal ends at n. */
export const keyLengths: Feature<Int32Array> = {
  name: "keyLengths",
  stage: "hide",
  source: "FlashAttention seqused_k, ONNX Attention-24 nonpad_kv_seqlen",
  perScore: false,
  parse({ keyLengths }, dims, complaint) {
    if (keyLengths === undefined) return undefined;
    if (!(keyLengths instanceof Int32Array)) {
      throw complaint.type(`keyLengths is ${show(keyLengths)} but must be an Int32Array`);
    }
    if (keyLengths.length !== dims.batch) {
      throw complaint.range(
        `keyLengths has ${keyLengths.length} entries but batch is ${dims.batch}`,
      );
    }
    keyLengths.forEach((n, index) => {
      if (n < 0 || n > dims.lengthK) {
        throw complaint.range(
          `keyLengths[${index}] is ${n} but must be from 0 to lengthK = ${dims.lengthK}`,
        );
      }
    });
    return keyLengths.slice();
  },
  span: (lengths, span, index) => ({
    ...span,
    lengthK: lengths[index],
    offset: lengths[index] - span.lengthQ,
  }),
};
