// What a block mask is made for: lengths, heads, the size of its blocks. Every value is checked here.
import { type Complaint, show } from "../tensor/errors.ts";

/** Rows and keys of a block, or one number for both. */
export type BlockSize = number | readonly [rows: number, keys: number];

/** The same as a pair. */
export type BlockSides = readonly [rows: number, keys: number];

/** As long as sequences may be. */
const MOST = 2 ** 30;

/** An integer option from `least` on. Throws unless it is one. */
export function checkInteger(
  name: string,
  value: unknown,
  complaint: Complaint,
  least = 0,
): number {
  const wanted = `must be an integer from ${least} to below 2^30`;
  if (typeof value !== "number") {
    throw complaint.type(`${name} is ${show(value)} but ${wanted}`);
  }
  if (Number.isSafeInteger(value) && value >= least && value < MOST) return value;
  throw complaint.range(`${name} is ${value} but ${wanted}`);
}

/** A number of sequences or heads: 1 where it is missing. */
export function checkCount(name: string, value: unknown, complaint: Complaint): number {
  return value === undefined ? 1 : checkInteger(name, value, complaint, 1);
}

/** Rows and keys of a block. Throws unless both are at least 1. */
export function checkBlockSize(size: unknown, complaint: Complaint): BlockSides {
  if (!Array.isArray(size)) {
    const side = checkInteger("blockSize", size, complaint, 1);
    return [side, side];
  }
  if (size.length !== 2) {
    throw complaint.type(`blockSize is ${show(size)} but must be a number or [rows, keys]`);
  }
  return [
    checkInteger("blockSize[0]", size[0], complaint, 1),
    checkInteger("blockSize[1]", size[1], complaint, 1),
  ];
}

/** More blocks than a grid can have: two bits of each are 2 GiB. */
const MOST_BLOCKS = 2 ** 33;

/** Rows and columns of blocks of the grid. Throws where there would be too many; `planes`: grids in all. */
export function gridSides(
  lengthQ: number,
  lengthK: number,
  [height, width]: BlockSides,
  planes: number,
  complaint: Complaint,
): [rows: number, columns: number] {
  const rows = Math.ceil(lengthQ / height), columns = Math.ceil(lengthK / width);
  if (rows * columns * planes <= MOST_BLOCKS) return [rows, columns];
  throw complaint.range(
    `blockSize is ${show([height, width])}, which makes ${rows * columns * planes} blocks, but ` +
      `at most ${MOST_BLOCKS} are possible: make blocks larger`,
  );
}

/** A range of rows or keys. Throws unless it is [first, end) within a length. */
export function checkRange(
  name: string,
  range: unknown,
  length: number,
  complaint: Complaint,
): readonly [first: number, end: number] {
  const wanted = `a pair [first, end] with 0 <= first <= end <= ${length}`;
  if (!Array.isArray(range) || range.length !== 2) {
    throw complaint.type(`${name} is ${show(range)} but must be ${wanted}`);
  }
  const [first, end] = range as [number, number];
  const whole = Number.isSafeInteger(first) && Number.isSafeInteger(end);
  if (whole && first >= 0 && first <= end && end <= length) return [first, end];
  throw complaint.range(`${name} is ${show(range)} but must be ${wanted}`);
}
