/** Which tiles of a mask are empty, partial and full, and the pairs of one tile. */
import {
  attentionScores,
  type BlockMask,
  createBlockMask,
  type Engine,
  type MaskMod,
} from "@flashtile/attention";
import { floats } from "../../../byte_lm/floats.ts";

/** How a tile is seen; the numbers are those of `Tiles.kinds`. */
export const TILE = { empty: 0, partial: 1, full: 2 } as const;

/** The tiles of a mask. */
export interface Tiles {
  readonly blockMask: BlockMask;
  /** Tiles on a side. */
  readonly side: number;
  /** `[side, side]`, each one of `TILE`. */
  readonly kinds: Uint8Array;
  readonly counts: {
    readonly empty: number;
    readonly partial: number;
    readonly full: number;
  };
  /** Milliseconds that `createBlockMask` took. */
  readonly milliseconds: number;
}

/** Asks a mask about its tiles. No pair is evaluated. */
export function tilesOf(mask: MaskMod, length: number, blockSize: number): Tiles {
  const start = performance.now();
  const blockMask = createBlockMask(mask, { lengthQ: length, lengthK: length, blockSize });
  const milliseconds = performance.now() - start;
  const side = Math.ceil(length / blockSize), kinds = new Uint8Array(side * side);
  const range = (n: number): [number, number] => [
    n * blockSize,
    Math.min(length, (n + 1) * blockSize),
  ];
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      const { partial, full } = blockMask.describe(range(row), range(column));
      kinds[row * side + column] = full ? TILE.full : partial ? TILE.partial : TILE.empty;
    }
  }
  const counts = blockMask.describe([0, length], [0, length]);
  return { blockMask, side, kinds, counts, milliseconds };
}

/** The pairs of one tile: 1 where the query sees the key. */
export async function pairsOf(
  mask: MaskMod,
  length: number,
  blockSize: number,
  [row, column]: readonly [row: number, column: number],
  engine: Engine,
): Promise<{ rows: number; keys: number; seen: Uint8Array }> {
  const range = (n: number): [number, number] => [
    n * blockSize,
    Math.min(length, (n + 1) * blockSize),
  ];
  const rows = range(row), keys = range(column);
  // all scores are 0, so that what is not hidden is 0
  const x = { data: new Float32Array(length), shape: [1, length, 1, 1] };
  const scores = floats(
    await attentionScores(x, x, { maskMod: mask, stage: "masked", rows, keys, engine }),
  );
  return {
    rows: rows[1] - rows[0],
    keys: keys[1] - keys[0],
    seen: Uint8Array.from(scores, (score) => score === 0 ? 1 : 0),
  };
}
