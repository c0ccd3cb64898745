// The end of a row's softmax state, where features add logits to it: like keys whose v is 0. They are added
// once, by the item that computes the row or by that of its first KV split, and not before the end: a state
// that began with a logit far from the scores would round them away.
import { aboveScore, naturalOf } from "../micro/range";
import { lseOf } from "../micro/rows";
import { BENT_FLAGS, STATE_FLAGS, stateLogit } from "./scores.gen";
import { exp, log } from "../micro/real";

/** Whether an item adds the logits of features to its rows; `split`: below 0 where the keys are whole. */
// @ts-ignore: decorator
@inline
export function addsLogits(flags: i32, split: i32): bool {
  return (flags & STATE_FLAGS) != 0 && split <= 0;
}

/**
 * lse of a row with the logit of features; the factor of its outputs, 1 / l, is at `factor` and changes. What
 * is not finite comes out so, and is repaired.
 */
export function addLogit(task: usize, flags: i32, batch: i32, head: i32, i: i32, l: f32, negativeM: f32, factor: usize): f32 {
  const logit = stateLogit(task, flags, batch, head, i);
  const bent = (flags & BENT_FLAGS) != 0;
  if (logit == -Infinity) return lseOf(l, negativeM, bent);
  if (l == 0) return logit;
  const m = naturalOf(-negativeM, bent), above = aboveScore(logit, -negativeM, bent);
  const a = above > 0 ? exp(-above) : 1, b = above > 0 ? 1 : exp(above);
  const sum = <f64>l * a + b;
  store<f32>(factor, <f32>(a / sum));
  return <f32>((above > 0 ? <f64>logit : m) + log(sum));
}
