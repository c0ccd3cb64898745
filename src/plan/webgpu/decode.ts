// Few query rows: which calls the decode kernel takes, and its shape.
import { decodeBytes, type DecodeShape } from "../../../shaders/abi.ts";
import type { WebGpuTarget } from "../target.ts";

/** Most rows (queries times heads of a group) that decode takes: each has an accumulator in every thread. */
const DECODE_ROWS = 16;
/** Most queries: from eight on a tile of the forward kernel is worth filling. */
const DECODE_QUERIES = 7;

/** Sums of dot products that a thread of decode keeps in registers: one for each of its keys and each row. */
const DECODE_SUMS = 32;

/** Keys of a thread at a time and turns of a block, the most that fits. */
type DecodeBlock = readonly [keys: number, turns: number];
const ONE_ROW: readonly DecodeBlock[] = [[4, 1], [2, 1], [1, 2], [1, 1]];
/** measured on an H200, 32768 keys, D 128: four keys instead of two take 1.2 to 1.25 times as long with 4 and with 8 rows. */
const MORE_ROWS: readonly DecodeBlock[] = [[2, 1], [1, 2], [1, 1]];
/** Software adapters compile a long text for seconds, and a barrier costs them more than memory does. */
const SOFTWARE_DECODE: readonly DecodeBlock[] = [[1, 8], [1, 4], [1, 2], [1, 1]];

/** The decode kernel's shape, where it can take a problem. */
export function decodeShape(
  { lengthQ, group, headDim, valueDim }: {
    lengthQ: number;
    group: number;
    headDim: number;
    valueDim: number;
  },
  { limits, software }: WebGpuTarget,
): DecodeShape | undefined {
  const rows = lengthQ * group, threads = Math.min(128, limits.workgroupThreads);
  const sizes = { head4: Math.ceil(headDim / 4), value4: Math.ceil(valueDim / 4) };
  if (rows < 1 || rows > DECODE_ROWS || lengthQ > DECODE_QUERIES) return undefined;
  if (sizes.value4 > threads) return undefined;
  return (software ? SOFTWARE_DECODE : rows === 1 ? ONE_ROW : MORE_ROWS)
    .map(([keys, turns]) => ({ rows, ...sizes, threads, keys, turns }))
    .find((shape) =>
      shape.keys * rows <= Math.max(rows, DECODE_SUMS) &&
      decodeBytes(shape) <= limits.workgroupBytes
    );
}
