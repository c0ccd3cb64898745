// sink: a logit of each head that joins the denominator of its rows and brings no value. It is a float in the
// schedule buffer. The host gives its address to the region alone that has the first keys of the rows.
import { LOG2E } from "../parts/text.ts";
import type { ShaderFeature } from "./feature.ts";

export const sink: ShaderFeature = {
  name: "sink",
  present: "U.sink_at > 0u",
  lowers: true,
  declare: () =>
    `fn sink_of(head: u32) -> f32 { return bitcast<f32>(schedule[U.sink_at + head * U.sink_head]); }
fn sink_logit(head: u32, split: u32) -> f32 {
  if (split > 0u || U.sink_at == 0u) { return U.neg_inf; }
  return sink_of(head);
}
// its share of the row: 0 where there is none, 1 where it is infinite and so all
fn sink_share(sink: f32, lse: f32, m: f32, log2l: f32) -> f32 {
  let bits = bitcast<u32>(sink);
  if (bits == 0xff800000u) { return 0.0; }
  if (bits == 0x7f800000u && bitcast<u32>(lse) == bits) { return 1.0; }
  return exp2(fma(sink - m, ${LOG2E}, -log2l));
}`,
  logit: (head, split) => `sink_logit(${head}, ${split})`,
  gradient: {
    operand: "dSink",
    row: ({ head, lse, m, log2l, delta }) =>
      `-sink_share(sink_of(${head}), ${lse}, ${m}, ${log2l}) * ${delta}`,
  },
};
