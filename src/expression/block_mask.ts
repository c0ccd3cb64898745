// Block masks: which blocks of queries × keys hold no visible pair, some, or only visible ones, found once for many
// calls (FlexAttention's BlockMask; here without a look at every pair).
import { Complaint, show } from "../tensor/errors.ts";
import { type BlockCounts, BlockGrid } from "./block_grid.ts";
import {
  type BlockSides,
  type BlockSize,
  checkBlockSize,
  checkCount,
  checkInteger,
  checkRange,
  gridSides,
} from "./block_sizes.ts";
import { atPlace, type BlockGrids, withBlocks } from "./block_traced.ts";
import { classifyBlocks } from "./classify.ts";
import type { Domain, ExtremesOf } from "./intervals.ts";
import { reachable } from "./node.ts";
import { type MaskMod, maskOf } from "./score_mod.ts";
import { VARIES } from "./symbols.ts";
import { type BlockMaskSizes, carryBlocks, type Traced, tracedOf } from "./traced.ts";
import { ALWAYS, MIXED, NEVER, type Verdict } from "./verdict.ts";

export type { BlockCounts, BlockSize };

/** What `createBlockMask` is told of the calls that the mask is for. */
export interface BlockMaskOptions {
  /** How many queries each sequence has. */
  readonly lengthQ: number;
  /** How many keys each sequence has. */
  readonly lengthK: number;
  /** Number of sequences, where the mask depends on the sequence. Default 1. */
  readonly batch?: number | undefined;
  /** Number of query heads, where the mask depends on the head. Default 1. */
  readonly queryHeads?: number | undefined;
  /** Number of kv heads, where the mask depends on those. Default `queryHeads`. */
  readonly kvHeads?: number | undefined;
  /** Rows and keys of a block, or one number for both. Default 128. */
  readonly blockSize?: BlockSize | undefined;
  /** The diagonal of query i is i + diagonal. Default `lengthK - lengthQ`. */
  readonly diagonal?: number | undefined;
}

/** Which blocks of queries × keys are visible: what `createBlockMask` and `blockMaskFromLists` return. */
export interface BlockMask {
  /** Queries of the calls that it is for. */
  readonly lengthQ: number;
  /** Keys of the calls that it is for. */
  readonly lengthK: number;
  /** Rows and keys of a block; those at the ends may be smaller. */
  readonly blockSize: readonly [rows: number, keys: number];
  /** Blocks that are not empty over all blocks, of all sequences and heads that it tells apart; 0 without blocks. */
  readonly density: number;
  /**
   * Counts the blocks of the first sequence and head that rows and keys [first, end) touch. Throws a `RangeError` where
   * a range leaves the lengths, a `TypeError` where it is no pair.
   */
  describe(
    rows: readonly [first: number, end: number],
    keys: readonly [first: number, end: number],
  ): BlockCounts;
  /**
   * A drawing of the first sequence and head, a line for each row of blocks: `█` full, `▒` partial, `·` empty. Of more
   * than 64 blocks on a side, each character stands for several.
   */
  toString(): string;
}

/** Most characters of a drawing, along each side. */
const MOST_CELLS = 64;
const CELLS: Readonly<Record<Verdict, string>> = { [NEVER]: "·", [ALWAYS]: "█", [MIXED]: "▒" };

/** A block mask of grids, and of the pairs that `mask` shows; in mixed blocks `inner` says which. */
export class GridMask implements BlockMask {
  readonly lengthQ: number;
  readonly lengthK: number;
  readonly blockSize: BlockSides;
  readonly #grids: readonly BlockGrid[];

  constructor(sizes: BlockMaskSizes, blocks: BlockGrids, mask: Traced, inner: Traced) {
    this.lengthQ = sizes.lengthQ;
    this.lengthK = sizes.lengthK;
    this.blockSize = blocks.blockSize;
    this.#grids = blocks.grids;
    Object.assign(this, carryBlocks({ sizes, traced: withBlocks(mask, inner, blocks) }));
  }

  get density(): number {
    let seen = 0, all = 0;
    for (const grid of this.#grids) {
      const { rows, columns } = grid, { partial, full } = grid.count(0, rows, 0, columns);
      seen += partial + full;
      all += rows * columns;
    }
    return seen / Math.max(1, all);
  }

  describe(rows: readonly [number, number], keys: readonly [number, number]): BlockCounts {
    const complaint = new Complaint("describe"), [height, width] = this.blockSize;
    const [firstRow, endRow] = checkRange("rows", rows, this.lengthQ, complaint);
    const [firstKey, endKey] = checkRange("keys", keys, this.lengthK, complaint);
    const end = (first: number, end: number, size: number) =>
      end > first ? Math.ceil(end / size) : 0;
    return this.#grids[0]!.count(
      Math.floor(firstRow / height),
      end(firstRow, endRow, height),
      Math.floor(firstKey / width),
      end(firstKey, endKey, width),
    );
  }

  toString(): string {
    const grid = this.#grids[0]!, { rows, columns } = grid, [height, width] = this.blockSize;
    const scale = Math.max(1, Math.ceil(Math.max(rows, columns) / MOST_CELLS));
    const cells = (n: number) =>
      Array.from({ length: Math.ceil(n / scale) }, (_, at) =>
        [
          at * scale,
          Math.min(n, (at + 1) * scale),
        ] as const);
    const lines = cells(rows).map((row) =>
      cells(columns).map((column) => CELLS[grid.over(...row, ...column) ?? MIXED]).join("")
    );
    const title =
      `${this.lengthQ} queries × ${this.lengthK} keys in blocks of ${height} × ${width}, ` +
      `${(100 * this.density).toFixed(1)} % visible`;
    return [title, ...lines].join("\n");
  }
}

/** What a mask tells apart of sequences and heads. */
function apartOf({ graph }: Traced) {
  const nodes = reachable([graph.root]);
  const varies = nodes.reduce((bits, node) => bits | node.varies, 0);
  return {
    batches: (varies & VARIES.batch) !== 0,
    heads: (varies & VARIES.head) !== 0,
    kvHeads: nodes.some(({ symbol }) => symbol === "kvHead"),
  };
}

/** Options as they were checked. */
function checkOptions(options: BlockMaskOptions, complaint: Complaint) {
  if (typeof options !== "object" || options === null) {
    throw complaint.type(`options is ${show(options)} but must be an object`);
  }
  const lengthQ = checkInteger("lengthQ", options.lengthQ, complaint);
  const lengthK = checkInteger("lengthK", options.lengthK, complaint);
  const blockSize = checkBlockSize(options.blockSize ?? 128, complaint);
  const batch = checkCount("batch", options.batch, complaint);
  const queryHeads = checkCount("queryHeads", options.queryHeads, complaint);
  const kvHeads = checkCount("kvHeads", options.kvHeads ?? queryHeads, complaint);
  const offset: unknown = options.diagonal ?? lengthK - lengthQ;
  if (typeof offset !== "number") {
    throw complaint.type(`diagonal is ${show(offset)} but must be an integer`);
  }
  if (!(Number.isSafeInteger(offset) && Math.abs(offset) < 2 ** 30)) {
    throw complaint.range(`diagonal is ${offset} but must be an integer within ±2^30`);
  }
  if (queryHeads % kvHeads !== 0) {
    throw complaint.range(
      `queryHeads is ${queryHeads} but must be a multiple of the ${kvHeads} kvHeads`,
    );
  }
  return { lengthQ, lengthK, blockSize, batch, queryHeads, kvHeads, offset };
}

/**
 * Finds which blocks of queries × keys a mask leaves empty, shows in part or shows whole, once for all calls with these
 * lengths: pass it as the option `blockMask`, alone or beside `causal` and the other masks, forward and backward. The
 * mask is looked at by ranges, from coarse to fine: no pair is evaluated. The diagonal and the lengths that the mask sees
 * are those given here. What the mask captured must not change while the block mask is in use (FlexAttention
 * create_block_mask).
 *
 * @throws {TypeError} Where `mask` is no mask, or an option is of the wrong kind.
 * @throws {RangeError} Where an option is out of its range, or an index of a captured array could be.
 *
 * @example A causal mask of documents, looked at once
 * ```ts
 * import { attention, createBlockMask, masks } from "@flashtile/attention";
 *
 * const ids = Int32Array.from({ length: 512 }, (_, n) => n < 200 ? 0 : 1);
 * const mask = masks.causal().and(masks.documents(ids));
 * const blockMask = createBlockMask(mask, { lengthQ: 512, lengthK: 512 });
 * console.log(String(blockMask), blockMask.density); // 0.5
 * const x = { data: new Float32Array(512 * 32).fill(0.1), shape: [1, 512, 1, 32] };
 * const { out } = await attention(x, x, x, { blockMask });
 * console.log(out.shape);
 * ```
 */
export function createBlockMask(mask: MaskMod, options: BlockMaskOptions): BlockMask {
  const complaint = new Complaint("createBlockMask"), traced = tracedOf(mask, "maskMod");
  if (!traced) {
    throw complaint.type(
      `mask is ${show(mask)} but must be what maskMod() returns, or one of masks`,
    );
  }
  const checked = checkOptions(options, complaint), { lengthQ, lengthK, blockSize } = checked;
  const { batch, queryHeads, kvHeads, offset } = checked, apart = apartOf(traced);
  const batches = apart.batches ? batch : 1, heads = apart.heads ? queryHeads : 1;
  const [rows, columns] = gridSides(lengthQ, lengthK, blockSize, batches * heads, complaint);
  const domainOf = (batch: Domain["batch"], head: Domain["head"]): Domain => ({
    batch,
    head,
    kvHead: [
      Math.floor(head[0] * kvHeads / queryHeads),
      Math.floor(head[1] * kvHeads / queryHeads),
    ],
    lengthQ: [lengthQ, lengthQ],
    lengthK: [lengthK, lengthK],
    offset: [offset, offset],
  });
  traced.checked([domainOf([0, batch - 1], [0, queryHeads - 1])], complaint);
  const known: ExtremesOf = new Map();
  const grids = Array.from({ length: batches * heads }, (_, n) => {
    const b = Math.floor(n / heads), head = n % heads, grid = new BlockGrid(rows, columns);
    classifyBlocks(grid, traced.graph, domainOf([b, b], [head, head]), blockSize, known);
    return grid;
  });
  const sizes = {
    ...{ lengthQ, lengthK, batch: apart.batches ? batch : undefined },
    queryHeads: apart.heads ? queryHeads : undefined,
    kvHeads: apart.kvHeads ? kvHeads : undefined,
  };
  const pairs = maskOf(atPlace(traced.graph, { lengthQ, lengthK, offset }));
  return new GridMask(sizes, { blockSize, grids, batches, heads }, pairs, pairs);
}
