// Mask function: what a user's condition hides, as a program of the tile interpreter.
import { Program } from "../tables.gen";
import { KEYS_AT_ONCE, runQuery, runTile, setTile, setUp } from "../expression/machine";
import { anyHidden, anyShown, clearFound } from "../expression/vector";

// Each thread has its own instance of this module.
let machine: usize = 0;

/** An item begins; returns the end of the scratch that is taken. */
export function beginItem(task: usize, scratch: usize): usize {
  machine = scratch;
  return setUp(machine, task, load<usize>(task, Program.MaskMod));
}

/** A tile of keys begins. */
export function beginTile(batch: i32, key: i32, keys: i32, keysOfRow: i32): void {
  setTile(machine, batch, key, keys, keysOfRow);
}

/** Hides scores of all lanes where the condition does not hold; returns whether there were any. */
export function hidePanel(sp: usize, pitch: usize, n: i32, key: i32, panel: usize, vectors: i32): bool {
  clearFound();
  runTile(machine, sp, pitch, n, key, panel, vectors, 0, 0);
  return anyHidden();
}

/** Whether query i may not attend to key j. */
export function hideOne(task: usize, batch: i32, head: i32, i: i32, j: i32): bool {
  return hideRow(task, batch, head, i, j, j + 1);
}

/** Whether query i may attend to no key in [from, to). */
export function hideRow(task: usize, batch: i32, head: i32, i: i32, from: i32, to: i32): bool {
  clearFound();
  for (; from < to && !anyShown(); from += KEYS_AT_ONCE) {
    runQuery(machine, batch, head, i, from, min(to, from + KEYS_AT_ONCE));
  }
  return !anyShown();
}
