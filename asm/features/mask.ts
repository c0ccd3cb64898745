// Boolean mask: one byte for each (query, key), 1 = may attend. Rows are padded with zeros to a
// multiple of 16 bytes when they are staged, so whole vectors can be read.

// @ts-ignore: decorator
@inline
const MASKED: f32 = -Infinity;

/** Sets n scores of four lanes, the first for key `key`, to minus infinity where their byte is 0. */
export function maskTile(sp: usize, pitch: usize, n: i32, key: i32, rows: usize): void {
  const r0 = load<usize>(rows) + key, r1 = load<usize>(rows, 4) + key, r2 = load<usize>(rows, 8) + key, r3 = load<usize>(rows, 12) + key;
  const masked = f32x4.splat(MASKED), zero = i32x4.splat(0);
  for (let j: usize = 0; j < <usize>n; ++j) {
    const m = i32x4(load<u8>(r0 + j), load<u8>(r1 + j), load<u8>(r2 + j), load<u8>(r3 + j));
    v128.store(sp, v128.bitselect(masked, v128.load(sp), i32x4.eq(m, zero)));
    sp += pitch;
  }
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
