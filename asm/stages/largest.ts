// The largest scores of a row: a heap of 64-bit words whose root is the least of them. A word has the score above and the
// complement of its key below, so that one comparison of integers finds the larger score, and of equal ones the lower key.
import { FORWARD_PITCH } from "../micro/tiles.gen";
import { UPPER } from "../micro/records";

/** Bytes of a word. */
export const WORD: usize = 8;

/** The bits of a score as an integer of the same order; NaN is above all numbers. */
function ordered(score: f32): i32 {
  const bits = score != score ? 0x7fc00000 : reinterpret<i32>(score + 0); // -0 is 0
  return bits ^ (bits >> 31 & 0x7fffffff);
}

/** The score of a word. */
export function scoreOf(word: i64): f32 {
  const bits = <i32>(word >> 32);
  return reinterpret<f32>(bits ^ (bits >> 31 & 0x7fffffff));
}

/** The key of a word, -1 where there is none. */
export function keyOf(word: i64): i32 {
  return ~<i32>word;
}

function wordOf(score: f32, key: i32): i64 {
  return <i64>ordered(score) << 32 | <i64><u32>~key;
}

/** Fills n places with no key: what they hold is below the word of every key that is visible. */
export function clearLargest(heap: usize, n: i32): void {
  const none = wordOf(-Infinity, -1);
  for (const end = heap + <usize>n * WORD; heap < end; heap += WORD) store<i64>(heap, none);
}

/** Puts a word at the root of a heap of n, and everything in its order. */
function siftDown(heap: usize, n: i32, word: i64): void {
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= n) break;
    let least = load<i64>(heap + <usize>child * WORD);
    if (child + 1 < n && load<i64>(heap + <usize>(child + 1) * WORD) < least) {
      least = load<i64>(heap + <usize>++child * WORD);
    }
    if (word <= least) break;
    store<i64>(heap + <usize>at * WORD, least);
    at = child;
  }
  store<i64>(heap + <usize>at * WORD, word);
}

/** Brings a heap into its order, the largest first. */
export function sortLargest(heap: usize, n: i32): void {
  for (let last = n - 1; last > 0; --last) {
    const place = heap + <usize>last * WORD, word = load<i64>(place);
    store<i64>(place, load<i64>(heap));
    siftDown(heap, last, word);
  }
}

/**
 * Offers S of the keys [key, key + keys) to the heaps of `rows` rows, n words each. Scores are seldom among the largest:
 * one comparison of eight lanes, with the roots that are kept at `limits`, passes most keys by.
 */
export function offerTile(sp: usize, keys: i32, key: i32, heap: usize, n: i32, rows: i32, limits: usize): void {
  const bytes = <usize>n * WORD, all = (1 << rows) - 1;
  for (let lane: usize = 0; lane < 8; ++lane) {
    store<f32>(limits + (lane << 2), <i32>lane < rows ? scoreOf(load<i64>(heap + lane * bytes)) : Infinity);
  }
  let t0 = v128.load(limits), t1 = v128.load(limits, UPPER);
  for (const end = key + keys; key < end; ++key, sp += FORWARD_PITCH) {
    const below0 = f32x4.le(v128.load(sp), t0), below1 = f32x4.le(v128.load(sp, UPPER), t1);
    if (i32x4.all_true(v128.and(below0, below1))) continue;
    // NaN is not below anything
    for (let lanes = ~(i32x4.bitmask(below0) | i32x4.bitmask(below1) << 4) & all; lanes; lanes &= lanes - 1) {
      const lane = <usize>ctz(lanes), root = heap + lane * bytes, word = wordOf(load<f32>(sp + (lane << 2)), key);
      if (word <= load<i64>(root)) continue;
      siftDown(root, n, word);
      store<f32>(limits + (lane << 2), scoreOf(load<i64>(root)));
    }
    t0 = v128.load(limits);
    t1 = v128.load(limits, UPPER);
  }
}
