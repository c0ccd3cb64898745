// Tile sizes of the CPU kernels: the only home of block sizes. The budget is the second-level cache
// (1 MiB a core on the machine of the measurements); figures of 2026-11-20, Zen 4, Deno 2.9.6.

/** Query rows of a block and keys of a tile. */
export interface Tile {
  /** Query rows of a block. */
  readonly rows: number;
  /** Keys of a tile. */
  readonly keys: number;
}

const up = (n: number, to: number): number => Math.ceil(n / to) * to;

/**
 * Forward. measured at D 64, L 2048, best of 40 interleaved: 512 rows 51.3 GFLOP/s, 256 rows 50.9, and
 * in the prototype 128 rows 1 % and 64 rows (V^T packed more often) 3 % less; D 32: 46.6 against 46.0.
 * At D 128 512 rows give 0.4 % for 250 KiB more of scratch. Keys 192 to 576 within 1 %; a multiple of
 * 32 (mask chunks).
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
    ? [512, 384]
    : widest <= 128
    ? [256, 384]
    : widest <= 256
    ? [128, 192]
    : widest <= 1024
    ? [32, 96]
    : [8, 96];
  return {
    rows: Math.max(8, Math.min(rows, up(lengthQ, 8))),
    keys: Math.max(32, Math.min(keys, up(lengthK, 32))),
  };
}

/**
 * Backward: query rows of a block; its keys are 48, fixed in asm/backward.ts. measured at D 64,
 * L 2048: 32 / 64 / 96 / 128 rows 47 / 50 / 50.7 / 51.3; at D 128: 64 rows 50.6, 128 rows 52 but
 * 375 KiB of scratch.
 */
export function backwardTile(
  { lengthQ, headDim, valueDim }: { lengthQ: number; headDim: number; valueDim: number },
): Tile {
  const widest = Math.max(headDim, valueDim);
  const rows = widest <= 64
    ? 128
    : widest <= 128
    ? 64
    : widest <= 256
    ? 32
    : widest <= 512
    ? 16
    : 8;
  return { rows: Math.max(8, Math.min(rows, up(lengthQ, 8))), keys: 48 };
}

/**
 * Decode: keys of a block. measured, D 128, f32 from DRAM: 4 rows to a kv head, 32768 keys: 1024 keys
 * 18.2 ms, 4096 keys 17.6; one row, 4096 keys: 512 / 1024 / 4096 keys 22.3 / 22.9 / 24.2 GB/s. Several quads read the block again from the second-level cache, so it shrinks.
 */
export function decodeTile({ rows, headDim }: { rows: number; headDim: number }): Tile {
  if (rows <= 4) return { rows, keys: 4096 };
  return { rows, keys: Math.max(64, Math.min(512, up(65536 / headDim, 64) / 2)) };
}

/**
 * Most queries of a head that decode takes: from eight on, panels of eight queries are full. measured,
 * D 64, 8 heads, 256 keys: 4 queries 29.2 against 17.4 GFLOP/s, 8 queries 32.3 against 32.7, 16 queries
 * 33.7 against 40.6.
 */
export const DECODE_QUERIES: number = 7;
/** Most query rows of a kv group that decode takes: their outputs must stay in the first-level cache. */
export const DECODE_ROWS: number = 64;
