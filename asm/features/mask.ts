// Boolean mask: one byte for each (query, key), 1 = may attend. Rows are padded with zeros to a
// multiple of 16 bytes when they are staged, so whole vectors can be read.
//
// What panels ask of a mask is summed up once, when it is staged: a byte for every 16 keys of every 8
// query rows, HIDDEN, MIXED or WHOLE. Heads that share the mask share the answer, and blocks that are
// hidden or whole cost one byte instead of 128.

// @ts-ignore: decorator
@inline
const MASKED: f32 = -Infinity;

/** Eight mask bytes hold no zero. */
// @ts-ignore: decorator
@inline
function allSet(bytes: u64): bool {
  return ((bytes - 0x0101010101010101) & ~bytes & 0x8080808080808080) == 0;
}

/**
 * Sets n scores of four lanes, the first for key `key`, to minus infinity where their byte is 0. Returns
 * whether there was such a byte: eight keys that all lanes see cost four loads.
 */
export function maskTile(sp: usize, pitch: usize, n: i32, key: i32, rows: usize): bool {
  const r0 = load<usize>(rows) + key, r1 = load<usize>(rows, 4) + key, r2 = load<usize>(rows, 8) + key, r3 = load<usize>(rows, 12) + key;
  const masked = f32x4.splat(MASKED), zero = i32x4.splat(0);
  let any = false;
  for (let j: usize = 0; j < <usize>n; j += 8, sp += pitch << 3) {
    if (allSet(load<u64>(r0 + j)) && allSet(load<u64>(r1 + j)) && allSet(load<u64>(r2 + j)) && allSet(load<u64>(r3 + j))) continue;
    any = true;
    let p = sp;
    for (let t = j, end = min(j + 8, <usize>n); t < end; ++t, p += pitch) {
      const m = i32x4(load<u8>(r0 + t), load<u8>(r1 + t), load<u8>(r2 + t), load<u8>(r3 + t));
      v128.store(p, v128.bitselect(masked, v128.load(p), i32x4.eq(m, zero)));
    }
  }
  return any;
}

/**
 * Whether any of `lanes` rows may attend to a key in [key, end), rounded up to 16 keys; `key` is a
 * multiple of 16.
 */
export function maskAny(rows: usize, lanes: i32, key: i32, end: i32): bool {
  let last: usize = 0;
  for (let lane = 0; lane < lanes; ++lane) {
    const row = load<usize>(rows + (<usize>lane << 2));
    if (row == last) continue; // lanes that repeat the last row, and rows the mask broadcasts
    last = row;
    for (let j = row + key; j < row + end; j += 16) {
      if (v128.any_true(v128.load(j))) return true;
    }
  }
  return false;
}

// @ts-ignore: decorator
@inline
const HIDDEN: u32 = 0;
// @ts-ignore: decorator
@inline
const MIXED: u32 = 1;
// @ts-ignore: decorator
@inline
const WHOLE: u32 = 2;

/** Sums up n rows of `keys` mask bytes, `pitch` apart: dst[panel of 8 rows][16 keys]. For the host. */
export function maskBlocks(rows: usize, pitch: usize, n: i32, keys: i32, dst: usize): void {
  const blocks = (keys + 15) >> 4, tail = tailOf(keys & 15);
  for (let first = 0; first < n; first += 8, rows += pitch << 3) {
    const count = min(8, n - first);
    for (let block = 0; block < blocks; ++block, ++dst) {
      let any = i8x16.splat(0), whole = true, p = rows + (<usize>block << 4);
      for (let i = 0; i < count; ++i, p += pitch) {
        const v = v128.load(p);
        any = v128.or(any, v);
        whole = whole && i8x16.all_true(block + 1 < blocks ? v : v128.or(v, tail));
      }
      store<u8>(dst, v128.any_true(any) ? (whole ? WHOLE : MIXED) : HIDDEN);
    }
  }
}

/** Ones where the last block of a row holds no keys but padding; `used` keys, 0 for all. */
function tailOf(used: i32): v128 {
  if (used == 0) return i8x16.splat(0);
  const lanes = i8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  return i8x16.ge_s(lanes, i8x16.splat(<i8>used));
}

/** Whether all the blocks of 16 keys that meet [key, end) are whole; `row`: the blocks of the panel. */
export function allWhole(row: usize, key: i32, end: i32): bool {
  for (let block = key >> 4; block << 4 < end; ++block) {
    if (load<u8>(row + <usize>block) != WHOLE) return false;
  }
  return true;
}

/** The first key in [key, end) whose block of 16 shows anything. */
export function firstShown(row: usize, key: i32, end: i32): i32 {
  while (key < end) {
    const block = row + <usize>(key >> 4);
    if (key + 128 <= end && load<u64>(block) == 0) key = (key & ~15) + 128;
    else if (load<u8>(block) == HIDDEN) key = (key & ~15) + 16;
    else break;
  }
  return min(key, end);
}

/** The first key in [key, end) whose block of 16 shows nothing. */
export function firstHidden(row: usize, key: i32, end: i32): i32 {
  while (key < end && load<u8>(row + <usize>(key >> 4)) != HIDDEN) key = (key & ~15) + 16;
  return min(key, end);
}

/** One past the last key in [key, end) whose block of 16 shows anything. */
export function endShown(row: usize, key: i32, end: i32): i32 {
  while (key < end && load<u8>(row + <usize>((end - 1) >> 4)) == HIDDEN) end = (end - 1) & ~15;
  return end;
}
