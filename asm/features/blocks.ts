// Which pairs are visible, by blocks: a byte for every 16 keys of every 8 query rows or more (a power of two,
// Task.BlockShift), EMPTY, PARTIAL or FULL. Features that hide single pairs are summed up so once, when they are
// staged. Heads that share them share the answer, and blocks that are empty or full cost one byte instead of 128.
import { Task } from "../abi";
import { Operand } from "../tables.gen";
import { rowsOf, rowStride } from "../micro/task";

// @ts-ignore: decorator
@inline
const EMPTY: u32 = 0;
// @ts-ignore: decorator
@inline
const PARTIAL: u32 = 1;
// @ts-ignore: decorator
@inline
const FULL: u32 = 2;

// The summary of the item at hand; each thread has its own instance of this module.
let rows: usize = 0, stride: usize = 0, shift: i32 = 0;

/** The summary of a head. */
export function setBlocks(task: usize, batch: i32, head: i32): void {
  rows = rowsOf(task, Operand.Blocks, batch, head);
  stride = rowStride(task, Operand.Blocks);
  shift = load<i32>(task, Task.BlockShift);
}

/** The blocks of the panel of query row i, from `key` on, a multiple of 16. */
// @ts-ignore: decorator
@inline
export function blocksOfPanel(i: i32, key: i32): usize {
  return rows + <usize>(i >> shift) * stride + <usize>(key >> 4);
}

/** Keys that are looked through at a time, row by row: one row may be empty for long where another sees the next key. */
// @ts-ignore: decorator
@inline
const REACH: i32 = 2048;

/** The first key in [key, endKey) whose block of 16 some query row in [begin, end) sees; `key` is a multiple of 16. */
export function firstSeen(begin: i32, end: i32, key: i32, endKey: i32): i32 {
  const first = blocksOfPanel(begin, 0), last = stride == 0 ? first : blocksOfPanel(end - 1, 0);
  for (; key < endKey; key += REACH) {
    const limit = min(endKey, key + REACH);
    let found = firstNonEmpty(first, key, limit);
    for (let row = first; row < last && found > key;) {
      row += stride;
      found = firstNonEmpty(row, key, found);
    }
    if (found < limit) return found;
  }
  return endKey;
}

/** Sums up n rows of `keys` bytes, 1 = visible, `pitch` apart: dst[panel of 8 rows][16 keys]. For the host. */
export function summarizeBlocks(pairs: usize, pitch: usize, n: i32, keys: i32, dst: usize): void {
  const blocks = (keys + 15) >> 4, tail = tailOf(keys & 15);
  for (let first = 0; first < n; first += 8, pairs += pitch << 3) {
    const count = min(8, n - first);
    for (let block = 0; block < blocks; ++block, ++dst) {
      let any = i8x16.splat(0), full = true, p = pairs + (<usize>block << 4);
      for (let i = 0; i < count; ++i, p += pitch) {
        const v = v128.load(p);
        any = v128.or(any, v);
        full = full && i8x16.all_true(block + 1 < blocks ? v : v128.or(v, tail));
      }
      store<u8>(dst, v128.any_true(any) ? (full ? FULL : PARTIAL) : EMPTY);
    }
  }
}

/** Ones where the last block of a row holds no keys but padding; `used` keys, 0 for all. */
function tailOf(used: i32): v128 {
  if (used == 0) return i8x16.splat(0);
  const lanes = i8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  return i8x16.ge_s(lanes, i8x16.splat(<i8>used));
}

/** Whether all the blocks of 16 keys that meet [key, end) are full; `row`: the blocks of the panel. */
export function allFull(row: usize, key: i32, end: i32): bool {
  for (let block = key >> 4; block << 4 < end; ++block) {
    if (load<u8>(row + <usize>block) != FULL) return false;
  }
  return true;
}

/** The first key in [key, end) whose block of 16 is not empty. */
export function firstNonEmpty(row: usize, key: i32, end: i32): i32 {
  while (key < end) {
    const block = row + <usize>(key >> 4);
    if (key + 128 <= end && load<u64>(block) == 0) key = (key & ~15) + 128;
    else if (load<u8>(block) == EMPTY) key = (key & ~15) + 16;
    else break;
  }
  return min(key, end);
}

/** The first key in [key, end) whose block of 16 is empty. */
export function firstEmpty(row: usize, key: i32, end: i32): i32 {
  while (key < end && load<u8>(row + <usize>(key >> 4)) != EMPTY) key = (key & ~15) + 16;
  return min(key, end);
}

/** One past the last key in [key, end) whose block of 16 is not empty. */
export function endNonEmpty(row: usize, key: i32, end: i32): i32 {
  while (key < end && load<u8>(row + <usize>((end - 1) >> 4)) == EMPTY) end = (end - 1) & ~15;
  return end;
}
