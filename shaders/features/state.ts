// The softmax state of a row, (m, l): largest logit so far, and the sum of exp(logit - m). Pairs are not all that
// joins it: features may bring logits of their own, once a row.
import { LOG2E } from "../parts/text.ts";
import type { Variant } from "../parts/variant.ts";
import { activeFeatures } from "./table.ts";

const joining = (v: Pick<Variant, "features">) => activeFeatures(v).filter(({ logit }) => logit);

/** Whether a row may have a state without a pair; rows below the range of the fast path are then looked at again. */
export function joinsRows(v: Pick<Variant, "features">): boolean {
  return joining(v).length > 0;
}

/** What `startState` needs outside of `main`. */
export function stateDeclarations(v: Pick<Variant, "features">): string {
  if (!joinsRows(v)) return "";
  return `// infinities and NaN by their bits: compilers may assume that there are none
fn joining(logit: f32) -> f32 { return select(logit, HIDDEN, bitcast<u32>(logit) == 0xff800000u); }
// exp(logit - top); what is not finite stays so, and the row is repaired
fn joining_weight(logit: f32, top: f32) -> f32 {
  if ((bitcast<u32>(logit) & 0x7f800000u) == 0x7f800000u) { return logit; }
  return exp2((logit - top) * ${LOG2E});
}`;
}

/** Joins what features bring to the state in `m` and `l`; `holds`: whether this thread's share of l has it. */
export function startState(
  v: Variant,
  { m, l, head, split, holds }: {
    readonly m: string;
    readonly l: string;
    readonly head: string;
    readonly split: string;
    readonly holds: string;
  },
): string {
  return joining(v).map(({ logit }) =>
    `  { let s = joining(${logit!(head, split)}); let top = max(${m}, s);
    ${l} = ${l} * exp2((${m} - top) * ${LOG2E}) + select(0.0, joining_weight(s, top), ${holds}); ${m} = top; }`
  ).join("\n");
}

/** The logits that features bring, as expressions: f32, minus infinity where there is none. */
export function logitsOf(v: Variant, head: string, split: string): string[] {
  return joining(v).map(({ logit }) => logit!(head, split));
}
