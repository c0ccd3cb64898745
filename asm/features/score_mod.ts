// Score function: what a user's function makes of scores, as a program of the tile interpreter. It is of natural scores,
// tiles are in base 2: the program itself has the factors.
import { Program } from "../tables.gen";
import { doesFade, hasSlope, padOf, runQuery, runTile, setTile, setUp, slopeOf } from "../expression/machine";
import { LOG2E } from "../micro/vmath";

/** Scores may come out as minus infinity, and their slopes as anything there. */
// @ts-ignore: decorator
@inline
export const HIDES: bool = true;

// Each thread has its own instance of this module.
let machine: usize = 0;

/** An item begins; returns the end of the scratch that is taken. */
export function beginItem(task: usize, scratch: usize): usize {
  machine = scratch;
  return setUp(machine, task, load<usize>(task, Program.ScoreMod));
}

/** A tile of keys begins. */
export function beginTile(batch: i32, key: i32, keys: i32, keysOfRow: i32): void {
  setTile(machine, batch, key, keys, keysOfRow);
}

/** n scores of all lanes, the first of them for key `key`; with `slope` the derivative goes there. */
export function scorePanel(sp: usize, pitch: usize, n: i32, key: i32, panel: usize, vectors: i32, slope: usize): void {
  runTile(machine, sp, pitch, n, key, panel, vectors, slope);
}

/** Whether most weights of a row may be tiny. */
export function fades(): bool {
  return doesFade(machine);
}

/** Whether the slope is not 1. */
export function slopes(): bool {
  return hasSlope(machine);
}

/** One score, natural units: in float32, as tiles have it. */
export function scoreOne(task: usize, s: f64, batch: i32, head: i32, i: i32, j: i32): f64 {
  const pad = padOf(machine);
  for (let v: usize = 0; v < 64; v += 4) store<f32>(pad + v, <f32>(s * <f64>LOG2E));
  runQuery(machine, batch, head, i, j, j + 1);
  return <f64>load<f32>(pad) / <f64>LOG2E;
}

/** The derivative of scoreOne by the score. */
export function slopeOne(task: usize, s: f64, batch: i32, head: i32, i: i32, j: i32): f64 {
  if (!hasSlope(machine)) return 1;
  scoreOne(task, s, batch, head, i, j);
  return <f64>load<f32>(slopeOf(machine));
}
