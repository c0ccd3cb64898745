// Sink: a logit of each head that joins the softmax denominator and no value (StreamingLLM, gpt-oss). Minus
// infinity is none.
import { Operand } from "../tables.gen";
import { weight } from "../micro/rows";
import { rowAt } from "../micro/task";

/** The logit that joins the softmax state of a row, natural units. */
export function stateLogit(task: usize, batch: i32, head: i32, i: i32): f32 {
  return load<f32>(rowAt(task, Operand.Sink, batch, head, i));
}

// The sum over the rows of a head that the item at hand has seen; each thread has its own instance.
let sum: f64 = 0;

/** A head of an item begins. */
export function beginGradient(task: usize, batch: i32, head: i32, split: i32): void {
  sum = 0;
}

/** The sink's weight in query row i times `delta` as its logit has it; a row is given to one item only. */
export function stateGradient(task: usize, batch: i32, head: i32, i: i32, lse: f64, delta: f64): void {
  const sink = stateLogit(task, batch, head, i);
  if (sink == -Infinity) return;
  sum += weight(<f64>sink, lse) * delta;
}

/** Writes what the item has for a head. */
export function writeGradient(task: usize, batch: i32, head: i32, split: i32): void {
  store<f32>(rowAt(task, Operand.DSink, batch, head, split), <f32>-sum);
}
