// How the softmax state of a row begins and what its lse is, where features have a part in it. A state begins
// with their logit once: in the item that computes the row, or in that of its first KV split.
import { lseOf } from "../micro/rows";
import { LOG2E } from "../micro/vmath";
import { initState, STATE_FLAGS } from "./scores.gen";

/** Whether rows of an item begin with the logits of features; `split`: below 0 where the keys are whole. */
// @ts-ignore: decorator
@inline
export function beginsState(flags: i32, split: i32): bool {
  return (flags & STATE_FLAGS) != 0 && split <= 0;
}

/** Writes -m and l of a lane, whose bytes are zero: a logit is like a key whose v is 0. */
export function beginLane(task: usize, flags: i32, batch: i32, head: i32, i: i32, negativeM: usize, l: usize): void {
  const logit = initState(task, flags, batch, head, i);
  if (logit == -Infinity) return;
  store<f32>(negativeM, -logit * LOG2E);
  store<f32>(l, 1);
}

/** lse of a row whose state began with a logit: exactly that where nothing was added. */
export function lseOfBegun(task: usize, flags: i32, batch: i32, head: i32, i: i32, l: f32, negativeM: f32): f32 {
  const logit = initState(task, flags, batch, head, i);
  return l == 1 && negativeM == -logit * LOG2E ? logit : lseOf(l, negativeM);
}
