// Boolean mask: one byte for each (query, key), 1 = may attend. Rows are padded with zeros to a
// multiple of 16 bytes when they are staged, so whole vectors can be read. Forward and backward look at
// its summary first; see blocks.ts.
import { Operand } from "../tables.gen";
import { rowAt } from "../micro/task";

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
export function hideTile(task: usize, sp: usize, pitch: usize, n: i32, key: i32, panel: usize, rows: usize): bool {
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

/** Whether query i may not attend to key j. */
export function hideOne(task: usize, batch: i32, head: i32, i: i32, j: i32): bool {
  return !load<u8>(rowAt(task, Operand.Mask, batch, head, i) + j);
}

/** Whether query i may attend to no key in [from, to). */
export function hideRow(task: usize, batch: i32, head: i32, i: i32, from: i32, to: i32): bool {
  const row = rowAt(task, Operand.Mask, batch, head, i);
  let p = row + from;
  const end = row + to;
  for (; p + 16 <= end; p += 16) if (v128.any_true(v128.load(p))) return false;
  for (; p < end; ++p) if (load<u8>(p)) return false;
  return true;
}

/**
 * Whether none of `lanes` rows may attend to a key in [key, end), rounded up to 16 keys; `key` is a
 * multiple of 16.
 */
export function hideAll(rows: usize, lanes: i32, key: i32, end: i32): bool {
  let last: usize = 0;
  for (let lane = 0; lane < lanes; ++lane) {
    const row = load<usize>(rows + (<usize>lane << 2));
    if (row == last) continue; // lanes that repeat the last row, and rows the mask broadcasts
    last = row;
    for (let j = row + key; j < row + end; j += 16) {
      if (v128.any_true(v128.load(j))) return false;
    }
  }
  return true;
}
