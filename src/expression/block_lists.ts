// Block masks from lists of visible blocks.
import { arrayKind } from "../tensor/dtype.ts";
import { Complaint, show } from "../tensor/errors.ts";
import { BlockGrid } from "./block_grid.ts";
import { type BlockMask, GridMask } from "./block_mask.ts";
import { type BlockSize, checkBlockSize, checkInteger, gridSides } from "./block_sizes.ts";
import { atPlace, ofVerdicts } from "./block_traced.ts";
import { type MaskMod, maskOf } from "./score_mod.ts";
import { tracedOf } from "./traced.ts";
import { ALWAYS, MIXED, type Verdict } from "./verdict.ts";

/** Blocks in compressed rows: those of row r are `columns[offsets[r]]` to before `columns[offsets[r + 1]]`. */
export interface BlockList {
  /** One more than there are rows of blocks, rising from 0. */
  readonly offsets: Int32Array;
  /** Numbers of blocks along the keys, rising within each row. */
  readonly columns: Int32Array;
}

/** What `blockMaskFromLists` is given. */
export interface BlockLists {
  /** How many queries each sequence has. */
  readonly lengthQ: number;
  /** How many keys each sequence has. */
  readonly lengthK: number;
  /** Rows and keys of a block, or one number for both. */
  readonly blockSize: BlockSize;
  /** Blocks of which all pairs are visible. */
  readonly full: BlockList;
  /** Blocks of which `maskMod` shows some pairs; without it all. */
  readonly partial: BlockList;
  /** Which pairs of partial blocks are visible; the same for all sequences and heads. Its diagonal is i + lengthK - lengthQ. */
  readonly maskMod?: MaskMod | undefined;
}

/** A list, read once. Throws unless it has two arrays that fit together. */
function checkList(name: string, list: unknown, rows: number, complaint: Complaint): BlockList {
  const { offsets, columns } = (list ?? {}) as BlockList;
  if (arrayKind(offsets) !== "Int32Array" || arrayKind(columns) !== "Int32Array") {
    throw complaint.type(
      `${name} is ${show(list)} but must be { offsets, columns }, two Int32Arrays`,
    );
  }
  if (offsets.length !== rows + 1) {
    throw complaint.range(
      `${name}.offsets has ${offsets.length} entries but must have ${rows + 1}, one more than ` +
        "there are rows of blocks",
    );
  }
  for (const [at, wanted] of [[0, 0], [rows, columns.length]] as const) {
    if (offsets[at] === wanted) continue;
    throw complaint.range(`${name}.offsets[${at}] is ${offsets[at]} but must be ${wanted}`);
  }
  return { offsets, columns };
}

/** Writes the blocks of a list into a grid. Throws where one is out of order, out of range or there already. */
function writeList(
  name: string,
  { offsets, columns }: BlockList,
  verdict: Verdict,
  grid: BlockGrid,
  complaint: Complaint,
): void {
  for (let row = 0; row < grid.rows; row++) {
    const begin = offsets[row]!, end = offsets[row + 1]!;
    if (end < begin || end > columns.length) {
      throw complaint.range(
        `${name}.offsets[${row + 1}] is ${end} but must be from ${begin} to ${columns.length}`,
      );
    }
    for (let at = begin; at < end; at++) {
      const column = columns[at]!, what = () => `${name}.columns[${at}] is ${column}`;
      if (column < 0 || column >= grid.columns) {
        throw complaint.range(`${what()} but must be from 0 to ${grid.columns - 1}`);
      }
      if (at > begin && column <= columns[at - 1]!) {
        throw complaint.range(`${what()} but must be above ${columns[at - 1]}, the one before it`);
      }
      if (grid.has(row, column)) {
        throw complaint.range(`${what()} but row ${row} of full has that block already`);
      }
      grid.set(row, column, verdict);
    }
  }
}

/**
 * Makes a block mask from lists of visible blocks in compressed rows, the same for all sequences and heads: pass it as
 * the option `blockMask` to calls with these lengths. The lists are read here and not kept (FlexAttention BlockMask,
 * FlashAttention block-sparse).
 *
 * @throws {TypeError} Where a list or an option is missing, or of the wrong kind.
 * @throws {RangeError} Where blocks are out of order, out of range, or listed twice.
 *
 * @example Every query sees the first block of keys and its own
 * ```ts
 * import { attention, blockMaskFromLists } from "@flashtile/attention";
 *
 * const full = {
 *   offsets: Int32Array.of(0, 1, 3, 5, 7),
 *   columns: Int32Array.of(0, 0, 1, 0, 2, 0, 3),
 * };
 * const partial = { offsets: new Int32Array(5), columns: new Int32Array(0) };
 * const sizes = { lengthQ: 256, lengthK: 256, blockSize: 64 };
 * const blockMask = blockMaskFromLists({ ...sizes, full, partial });
 * const x = { data: new Float32Array(256 * 32).fill(0.1), shape: [1, 256, 1, 32] };
 * const { out } = await attention(x, x, x, { blockMask });
 * console.log(out.shape, blockMask.density); // [1, 256, 1, 32] 0.4375
 * ```
 */
export function blockMaskFromLists(lists: BlockLists): BlockMask {
  const complaint = new Complaint("blockMaskFromLists");
  if (typeof lists !== "object" || lists === null) {
    throw complaint.type(`its argument is ${show(lists)} but must be an object`);
  }
  const lengthQ = checkInteger("lengthQ", lists.lengthQ, complaint);
  const lengthK = checkInteger("lengthK", lists.lengthK, complaint);
  const blockSize = checkBlockSize(lists.blockSize, complaint), offset = lengthK - lengthQ;
  const [rows, columns] = gridSides(lengthQ, lengthK, blockSize, 1, complaint);
  const { maskMod: given } = lists, mask = given && tracedOf(given, "maskMod");
  if (given !== undefined && !mask) {
    throw complaint.type(
      `maskMod is ${show(given)} but must be what maskMod() returns, or one of masks`,
    );
  }
  const grid = new BlockGrid(rows, columns);
  for (const [name, verdict] of [["full", ALWAYS], ["partial", mask ? MIXED : ALWAYS]] as const) {
    const { [name]: list } = lists;
    writeList(name, checkList(name, list, rows, complaint), verdict, grid, complaint);
  }
  grid.close();
  const place = { lengthQ, lengthK, offset }, within = mask && atPlace(mask.graph, place);
  const pairs = maskOf(ofVerdicts(grid, blockSize, within));
  return new GridMask(
    { lengthQ, lengthK, batch: undefined, queryHeads: undefined, kvHeads: undefined },
    { blockSize, grids: [grid], batches: 1, heads: 1 },
    pairs,
    within ? maskOf(within) : pairs,
  );
}
