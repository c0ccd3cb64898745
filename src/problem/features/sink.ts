import { checkHeads } from "./heads.ts";
import type { Feature } from "./feature.ts";

/** Sink: a learned logit of each head that joins the softmax denominator, and no value. */
export const sink: Feature<true> = {
  name: "sink",
  stage: "state",
  source: "StreamingLLM (Xiao et al. 2023), gpt-oss sinks",
  elsewhere: ["sinks", "s_aux", "head_sink"],
  operands: ["sink"],
  perScore: false,
  parse({ sink }, dims, complaint) {
    if (sink === undefined) return undefined;
    checkHeads("sink", sink, dims, false, complaint);
    return true;
  },
  exact: (_, { values }) => ({ joins: ({ batch, head }) => values("sink")(batch, head, 0, 0) }),
};
