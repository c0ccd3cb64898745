// Rows of K or V projected to fewer, Linformer's E · X, by the product's own output tile: a row of E
// takes the place of a query's probabilities. E is stored as the tile reads it, [panel][key][8 rows].
// rows, length and columns are multiples of 8.

import { packTranspose, unpackPanel } from "../../asm/micro/pack";
import { outputRows, PADDING, PANEL } from "./unfused";

/** Bytes of scratch: X transposed, one panel of results, eight factors. */
export function scratchBytes(length: i32, columns: i32): i32 {
  return 4 * (columns * (length + PADDING) + 8 * columns + 8);
}

/** o[rows][columns] = e · x, with x[length][columns]. */
export function project(
  e: usize, x: usize, o: usize,
  rows: i32, length: i32, columns: i32, scratch: usize,
): void {
  const row = <usize>columns << 2, pitch = <usize>(length + PADDING) << 2;
  const panelOut = scratch + <usize>columns * pitch, ones = panelOut + <usize>columns * PANEL;
  for (let i: usize = 0; i < PANEL; i += 4) store<f32>(ones + i, 1);
  packTranspose(x, row, scratch, 0, length, columns, pitch);
  for (let p = 0; p < rows / 8; ++p) {
    memory.fill(panelOut, 0, <usize>columns * PANEL);
    outputRows(scratch, pitch, e + <usize>p * <usize>length * PANEL, panelOut, length, columns);
    unpackPanel(panelOut, ones, o + <usize>(8 * p) * row, row, 8, columns);
  }
}
