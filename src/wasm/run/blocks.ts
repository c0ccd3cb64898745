// The summary of hidden pairs by blocks, which lies behind their staged rows: for every 8 query rows a byte for
// every 16 keys (asm/features/blocks.ts). Axes that the rows broadcast, it broadcasts too.
import { Operand } from "../../../asm/tables.gen.ts";
import { type Axes, forAxes, placeOf } from "../../tensor/view.ts";
import type { Pieces } from "../memory/pieces.ts";
import type { KernelExports } from "../module/module.ts";
import type { OperandWords } from "./task_record.ts";

/** Rows of bytes in linear memory, 1 = visible: [batch, head, row, key], at a pitch of whole vectors. */
export interface StagedPairs {
  readonly pointer: number;
  readonly begin: Axes;
  readonly size: Axes;
  readonly strides: Axes;
}

/** log2 of the rows of a panel. */
const PANEL_SHIFT = 3;
const panelsOf = (rows: number): number => Math.ceil(rows / 8);
const blocksOf = (keys: number): number => Math.ceil(keys / 16);

/** Bytes of the summary of a box; kernels read whole words of it. */
export function blocksBytes([batches, heads, rows, keys]: Axes): number {
  return batches * heads * panelsOf(rows) * blocksOf(keys) + 8;
}

/** Pairs of a piece of work: a millisecond or two. */
const PIECE = 2 ** 22;

/** Writes the summary to `target`, with pauses. */
export function* summarizeBlocks(
  kernels: KernelExports,
  pairs: StagedPairs,
  target: number,
): Pieces {
  const { pointer, size: [batches, heads, rows, keys], strides } = pairs;
  for (let b = 0; b < batches; b++) {
    for (let h = 0; h < heads; h++) {
      const from = pointer + b * strides[0] + h * strides[1];
      const to = target + (b * heads + h) * panelsOf(rows) * blocksOf(keys);
      const step = Math.max(8, Math.floor(PIECE / keys / 8) * 8);
      for (let row = 0; row < rows; row += step) {
        const n = Math.min(step, rows - row), panel = row / 8 * blocksOf(keys);
        kernels.summarizeBlocks(from + row * strides[2], strides[2], n, keys, to + panel);
        yield "work";
      }
    }
  }
}

/** The operand record of a summary at `target`; `full`: the size of the whole operand, 1 where it broadcasts. */
export function blocksWords(
  { begin, size: [, heads, rows, keys] }: StagedPairs,
  full: Axes,
  target: number,
): OperandWords {
  const panel = blocksOf(keys), head = panelsOf(rows) * panel;
  const dense: Axes = [heads * head, head, panel, 0];
  const strides = forAxes((axis) => full[axis] === 1 ? 0 : dense[axis]);
  // regions of rows begin at multiples of 32, chunks of keys at multiples of 96
  const first: Axes = [begin[0], begin[1], begin[2] / 8, 0], before = begin[3] / 16;
  return [Operand.Blocks, [
    target - before - placeOf(first, strides),
    ...strides.slice(0, 3),
    PANEL_SHIFT,
  ]];
}
