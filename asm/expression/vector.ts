// Instructions of the interpreter that are no single expression.

/** floor(a / b), 0 where b is 0. Exact: a quotient of 32-bit integers is an integer or further from one than float64 rounds. */
export function floorDiv(a: v128, b: v128): v128 {
  const ah = v128.shuffle<i32>(a, a, 2, 3, 2, 3), bh = v128.shuffle<i32>(b, b, 2, 3, 2, 3);
  const low = f64x2.floor(f64x2.div(f64x2.convert_low_i32x4_s(a), f64x2.convert_low_i32x4_s(b)));
  const high = f64x2.floor(f64x2.div(f64x2.convert_low_i32x4_s(ah), f64x2.convert_low_i32x4_s(bh)));
  // the one quotient beyond 32 bits, 2^31, wraps
  const top = f64x2.splat(2147483648), wrapped = f64x2.splat(-2147483648);
  const l = i32x4.trunc_sat_f64x2_s_zero(v128.bitselect(wrapped, low, f64x2.eq(low, top)));
  const h = i32x4.trunc_sat_f64x2_s_zero(v128.bitselect(wrapped, high, f64x2.eq(high, top)));
  return v128.andnot(v128.shuffle<i32>(l, h, 0, 1, 4, 5), i32x4.eq(b, i32x4.splat(0)));
}

/** a - b floor(a / b), 0 where b is 0. */
export function mod(a: v128, b: v128): v128 {
  const rest = i32x4.sub(a, i32x4.mul(b, floorDiv(a, b)));
  return v128.andnot(rest, i32x4.eq(b, i32x4.splat(0)));
}

/** Four elements of an array: neighbours, up or down, and equal ones are one load. */
// @ts-ignore: decorator
@inline
function gather4(pd: usize, index: v128, array: usize): void {
  const first = i32x4.extract_lane(index, 0), at = array + (<usize>first << 2);
  const steps = i32x4.sub(index, i32x4.splat(first)), up = i32x4(0, 1, 2, 3);
  if (i32x4.all_true(i32x4.eq(steps, up))) v128.store(pd, v128.load(at));
  else if (!v128.any_true(steps)) v128.store(pd, v128.load32_splat(at));
  else if (i32x4.all_true(i32x4.eq(steps, i32x4.neg(up)))) {
    const down = v128.load(at - 12);
    v128.store(pd, v128.shuffle<i32>(down, down, 3, 2, 1, 0));
  } else {
    store<i32>(pd, load<i32>(at));
    store<i32>(pd, load<i32>(array + (<usize>i32x4.extract_lane(index, 1) << 2)), 4);
    store<i32>(pd, load<i32>(array + (<usize>i32x4.extract_lane(index, 2) << 2)), 8);
    store<i32>(pd, load<i32>(array + (<usize>i32x4.extract_lane(index, 3) << 2)), 12);
  }
}

/** Elements a + c of the array at pb. */
export function gather(n: i32, pd: usize, sd: usize, pa: usize, sa: usize, pb: usize, sb: usize, pc: usize, sc: usize): void {
  const up = i32x4(0, 1, 2, 3), further = i32x4(4, 5, 6, 7);
  for (; n > 0; --n) {
    const low = i32x4.add(v128.load(pa), v128.load(pc)), high = i32x4.add(v128.load(pa, 16), v128.load(pc, 16));
    const first = i32x4.extract_lane(low, 0), at = pb + (<usize>first << 2), from = i32x4.splat(first);
    const a = i32x4.sub(low, from), b = i32x4.sub(high, from);
    if (!v128.any_true(v128.or(a, b))) { // what is held at the end of a table
      const one = v128.load32_splat(at);
      v128.store(pd, one);
      v128.store(pd, one, 16);
    } else if (!v128.any_true(v128.or(v128.xor(a, up), v128.xor(b, further)))) {
      const lower = v128.load(at), upper = v128.load(at, 16);
      v128.store(pd, lower);
      v128.store(pd, upper, 16);
    } else {
      gather4(pd, low, pb);
      gather4(pd + 16, high, pb);
    }
    pd += sd;
    pa += sa;
    pc += sc;
  }
}

/** Adds x to element `index` of an array. */
// @ts-ignore: decorator
@inline
function addTo(array: usize, index: i32, x: f32): void {
  const at = array + (<usize>index << 2);
  store<f32>(at, load<f32>(at) + x);
}

/** Adds eight values to eight elements of an array, or to one that all want. */
function flush(array: usize, low: v128, high: v128, x: v128, y: v128): void {
  const first = i32x4.extract_lane(low, 0), from = i32x4.splat(first);
  if (!v128.any_true(v128.or(v128.xor(low, from), v128.xor(high, from)))) {
    const s = f32x4.add(x, y);
    addTo(array, first, (f32x4.extract_lane(s, 0) + f32x4.extract_lane(s, 1)) + (f32x4.extract_lane(s, 2) + f32x4.extract_lane(s, 3)));
    return;
  }
  addTo(array, first, f32x4.extract_lane(x, 0));
  addTo(array, i32x4.extract_lane(low, 1), f32x4.extract_lane(x, 1));
  addTo(array, i32x4.extract_lane(low, 2), f32x4.extract_lane(x, 2));
  addTo(array, i32x4.extract_lane(low, 3), f32x4.extract_lane(x, 3));
  addTo(array, i32x4.extract_lane(high, 0), f32x4.extract_lane(y, 0));
  addTo(array, i32x4.extract_lane(high, 1), f32x4.extract_lane(y, 1));
  addTo(array, i32x4.extract_lane(high, 2), f32x4.extract_lane(y, 2));
  addTo(array, i32x4.extract_lane(high, 3), f32x4.extract_lane(y, 3));
}

/**
 * Adds the values at pd to elements a + c of the array at pb. Rows that want the same elements are added up first. So
 * are those of a table of distances: where lanes fall by one and rows rise by one, sums move on by a lane from row to
 * row, and the last lane's is done.
 */
export function scatter(n: i32, pd: usize, sd: usize, pa: usize, sa: usize, pb: usize, sb: usize, pc: usize, sc: usize): void {
  const zero = i32x4.splat(0), one = i32x4.splat(1), down = i32x4(0, -1, -2, -3);
  let low = i32x4.add(v128.load(pa), v128.load(pc)), high = i32x4.add(v128.load(pa, 16), v128.load(pc, 16));
  let x = v128.load(pd), y = v128.load(pd, 16), falls = false;
  for (let row = 1; ; ++row) {
    const first = i32x4.splat(i32x4.extract_lane(low, 0)), a = i32x4.add(first, down);
    falls = !v128.any_true(v128.or(v128.xor(low, a), v128.xor(high, i32x4.sub(a, i32x4.splat(4)))));
    for (; row < n; ++row) {
      pa += sa;
      pc += sc;
      pd += sd;
      const l = i32x4.add(v128.load(pa), v128.load(pc)), h = i32x4.add(v128.load(pa, 16), v128.load(pc, 16));
      const stepLow = i32x4.sub(l, low), stepHigh = i32x4.sub(h, high);
      if (falls && i32x4.all_true(v128.and(i32x4.eq(stepLow, one), i32x4.eq(stepHigh, one)))) {
        addTo(pb, i32x4.extract_lane(high, 3), f32x4.extract_lane(y, 3));
        y = f32x4.add(v128.load(pd, 16), v128.shuffle<f32>(x, y, 3, 4, 5, 6));
        x = f32x4.add(v128.load(pd), v128.shuffle<f32>(zero, x, 0, 4, 5, 6));
        low = l;
        high = h;
      } else if (!v128.any_true(v128.or(stepLow, stepHigh))) {
        x = f32x4.add(x, v128.load(pd));
        y = f32x4.add(y, v128.load(pd, 16));
      } else {
        flush(pb, low, high, x, y);
        low = l;
        high = h;
        x = v128.load(pd);
        y = v128.load(pd, 16);
        break;
      }
    }
    if (row < n) continue;
    return flush(pb, low, high, x, y);
  }
}

/** What `hide` found since these were cleared: whether a pair was hidden, and whether one was shown. */
let hidden: v128 = i32x4.splat(0), shown: v128 = i32x4.splat(0);

/** Minus infinity where b does not hold, else a. */
export function hide(n: i32, pd: usize, sd: usize, pa: usize, sa: usize, pb: usize, sb: usize): void {
  const masked = f32x4.splat(-Infinity);
  let all = i32x4.splat(-1), any = i32x4.splat(0);
  for (; n > 0; --n) {
    const low = v128.load(pb), high = v128.load(pb, 16);
    all = v128.and(all, v128.and(low, high));
    any = v128.or(any, v128.or(low, high));
    v128.store(pd, v128.bitselect(v128.load(pa), masked, low));
    v128.store(pd, v128.bitselect(v128.load(pa, 16), masked, high), 16);
    pd += sd;
    pa += sa;
    pb += sb;
  }
  hidden = v128.or(hidden, v128.not(all));
  shown = v128.or(shown, any);
}

/** Forgets what `hide` found. */
export function clearFound(): void {
  hidden = shown = i32x4.splat(0);
}

/** Whether a pair was hidden. */
export function anyHidden(): bool {
  return v128.any_true(hidden);
}

/** Whether a pair was shown. */
export function anyShown(): bool {
  return v128.any_true(shown);
}
