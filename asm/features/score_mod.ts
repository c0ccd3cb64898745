// Score function: what a user's function makes of scores, as a program of the tile interpreter. It is of natural scores,
// tiles are in base 2: the program itself has the factors. Gradients of what it captured are a program of their own.
import { Operand, Program } from "../tables.gen";
import { doesFade, hasSlope, padOf, runQuery, runTile, setSums, setTile, setUp, slopeOf } from "../expression/machine";
import { rowAt } from "../micro/task";
import { LOG2E } from "../micro/vmath";

/** Scores may come out as minus infinity, and their slopes as anything there. */
// @ts-ignore: decorator
@inline
export const HIDES: bool = true;

// Each thread has its own instance of this module.
let machine: usize = 0, gradients: usize = 0;

/** An item begins; returns the end of the scratch that is taken. */
export function beginItem(task: usize, scratch: usize): usize {
  const program = load<usize>(task, Program.ScoreModGradient);
  machine = scratch;
  scratch = setUp(machine, task, load<usize>(task, Program.ScoreMod));
  gradients = program ? scratch : 0;
  return program ? setUp(gradients, task, program) : scratch;
}

/** A tile of keys begins. */
export function beginTile(batch: i32, key: i32, keys: i32, keysOfRow: i32): void {
  setTile(machine, batch, key, keys, keysOfRow);
  if (gradients) setTile(gradients, batch, key, keys, keysOfRow);
}

/**
 * n scores of all lanes, the first of them for key `key`; with `slope` the derivative goes there, and what gradients
 * need of the scores as they were to `before`.
 */
export function scorePanel(sp: usize, pitch: usize, n: i32, key: i32, panel: usize, vectors: i32, slope: usize, before: usize): void {
  runTile(machine, sp, pitch, n, key, panel, vectors, slope, before);
}

/** Whether most weights of a row may be tiny. */
export function fades(): bool {
  return doesFade(machine);
}

/** Whether the slope is not 1. */
export function slopes(): bool {
  return hasSlope(machine);
}

/** A tile's rows hold one score. */
function fill(at: usize, s: f64): void {
  for (let v: usize = 0; v < 64; v += 4) store<f32>(at + v, <f32>s);
}

/** One score, natural units: in float32, as tiles have it. */
export function scoreOne(task: usize, s: f64, batch: i32, head: i32, i: i32, j: i32): f64 {
  fill(padOf(machine), s * <f64>LOG2E);
  runQuery(machine, batch, head, i, j, j + 1);
  return <f64>load<f32>(padOf(machine)) / <f64>LOG2E;
}

/** The derivative of scoreOne by the score. */
export function slopeOne(task: usize, s: f64, batch: i32, head: i32, i: i32, j: i32): f64 {
  if (!hasSlope(machine)) return 1;
  scoreOne(task, s, batch, head, i, j);
  return <f64>load<f32>(slopeOf(machine));
}

/** A head of an item begins: its sums lie in a place of their own. */
export function beginGradient(task: usize, batch: i32, head: i32, split: i32): void {
  setSums(gradients, rowAt(task, Operand.DCaptured, batch, head, split));
}

/** Adds up what n keys of all lanes bring to captured arrays; lanes past the last row hold 0. */
export function gradientPanel(dsp: usize, pitch: usize, n: i32, key: i32, panel: usize, before: usize): void {
  runTile(gradients, dsp, pitch, n, key, panel, 2, 0, before);
}

/** The same of one pair, whose score was s before. */
export function gradientOne(task: usize, ds: f64, s: f64, batch: i32, head: i32, i: i32, j: i32): void {
  fill(padOf(gradients), 0);
  store<f32>(padOf(gradients), <f32>ds);
  fill(slopeOf(gradients), s * <f64>LOG2E);
  runQuery(gradients, batch, head, i, j, j + 1);
}
