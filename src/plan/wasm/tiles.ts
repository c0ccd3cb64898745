// Tile sizes of the CPU kernels: the only home of block sizes. The budget is the second-level cache
// (1 MiB a core on the machine of the measurements); figures of 2026-11-20, Zen 4, Deno 2.9.6.
import { PanelBlock } from "../../../asm/abi.ts";

/** Query rows of a block and keys of a tile. */
export interface Tile {
  /** Query rows of a block. */
  readonly rows: number;
  /** Keys of a tile. */
  readonly keys: number;
}

const up = (n: number, to: number): number => Math.ceil(n / to) * to;

/**
 * Forward. V^T is packed, and K comes near, once for each block of rows, so blocks are as tall as the
 * packed rows and outputs leave room for in the cache. measured, interleaved medians in GFLOP/s:
 * D 64, L 1024: 256 / 512 / 1024 rows 50.4 / 51.3 / 51.7, keys 256 to 512 within 1 %; D 128: 256 x 384
 * 52.4, 512 x 192 52.8, 512 x 384 53.0 for 200 KiB more; D 256: 128 x 192 51.6, 256 x 96 52.8; D 512:
 * 32 x 96 47.4, 128 x 64 51.5. Keys are a multiple of 32 (mask chunks).
 */
export function forwardTile(
  { lengthQ, lengthK, headDim, valueDim }: {
    lengthQ: number;
    lengthK: number;
    headDim: number;
    valueDim: number;
  },
): Tile {
  const widest = Math.max(headDim, valueDim);
  const [rows, keys] = widest <= 64
    ? [1024, 384]
    : widest <= 128
    ? [512, 192]
    : widest <= 256
    ? [256, 96]
    : widest <= 512
    ? [128, 64]
    : widest <= 1024
    ? [64, 64]
    : [8, 32];
  return {
    rows: Math.max(8, Math.min(rows, up(lengthQ, 8))),
    keys: Math.max(32, Math.min(keys, up(lengthK, 32))),
  };
}

/**
 * Backward: query rows of a block; its keys are 48, fixed in asm/kernels/backward.ts. measured at D 64, L 2048,
 * interleaved: 128 rows 51.3 GFLOP/s, 256 rows 52.3; at D 128: 64 rows 51.4, 128 rows 52.6. Scratch stays
 * below 600 KiB.
 */
export function backwardTile(
  { lengthQ, headDim, valueDim }: { lengthQ: number; headDim: number; valueDim: number },
): Tile {
  const widest = Math.max(headDim, valueDim);
  const rows = widest <= 64
    ? 256
    : widest <= 128
    ? 128
    : widest <= 256
    ? 64
    : widest <= 512
    ? 32
    : 8;
  return { rows: Math.max(8, Math.min(rows, up(lengthQ, 8))), keys: 48 };
}

/** Query rows of a block where results are made of scores alone; those of a tile of keys share it in the cache. */
const INSIDE_ROWS = 256;
/** Bytes that the largest scores of a block, 8 bytes each, may take while they are looked for. */
const CHOSEN_BYTES = 2 ** 20;

/** Looking inside: the keys of forward, whose rows of K they are. */
export function insideTile(
  { lengthQ, lengthK, headDim, count }: {
    lengthQ: number;
    lengthK: number;
    headDim: number;
    count: number;
  },
): Tile {
  const { keys } = forwardTile({ lengthQ, lengthK, headDim, valueDim: headDim });
  const most = Math.min(INSIDE_ROWS, CHOSEN_BYTES / (8 * Math.max(1, count)));
  return { rows: Math.max(8, Math.min(Math.floor(most / 8) * 8, up(lengthQ, 8))), keys };
}

/** Late interaction: the rows of documents that meet all queries at a time, those of the register tile. */
export const DOCUMENT_TILE: Tile = { rows: 8, keys: 6 };

/** Keys of a block of decode whose rows are bytes: outputs are summed as integers for a block, whose rows of V stay near. */
const BYTES_KEYS = 128;
/**
 * Whether query rows of a kv group go through decode eight at a time (asm/kernels/group.ts), not four: where the last panel has
 * at least six. measured on an AMD EPYC (family 25 model 1), D 128, f32, time by quads over that by panels: 32 rows 1.12 to
 * 1.17, 8 rows 1.02 to 1.25, 5 rows 0.98, 12 rows 0.84.
 */
function inPanels(rows: number, dtype: string | undefined): boolean {
  return (rows - 1) % 8 > 4 && dtype !== "i8";
}

/**
 * Decode: keys of a block. measured, D 128, f32 from DRAM: 4 rows to a kv head, 32768 keys: 1024 keys
 * 18.2 ms, 4096 keys 17.6; one row, 4096 keys: 512 / 1024 / 4096 keys 22.3 / 22.9 / 24.2 GB/s.
 * Several quads read the block again from the second-level cache, so it shrinks.
 */
export function decodeTile(
  { rows, headDim, dtype }: { rows: number; headDim: number; dtype?: string | undefined },
): Tile {
  if (dtype === "i8") return { rows, keys: BYTES_KEYS };
  if (rows <= 4) return { rows, keys: 4096 };
  // six at a time, and their rows of V at a stride of 512 bytes stay within the ways of the first-level cache
  if (inPanels(rows, dtype)) return { rows, keys: PanelBlock.Keys };
  return { rows, keys: Math.max(64, Math.min(512, up(65536 / headDim, 64) / 2)) };
}

/**
 * Most queries of a head that decode takes: from sixteen on, two panels of eight queries are full. measured on an Intel
 * Xeon, D 128, 4096 keys, GFLOP/s of decode against forward: 8 heads, 8 / 12 / 16 queries 15.4 : 16.5, 17.4 : 16.7,
 * 20.0 : 22.4; 4 heads of 4 queries each 23.1 : 20.6, 24.5 : 19.0, 25.6 : 25.3, because they share what is read.
 */
export const DECODE_QUERIES: number = 15;
/** Most query rows of a kv group that decode takes: their outputs must stay in the first-level cache. */
export const DECODE_ROWS: number = 64;
