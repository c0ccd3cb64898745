// The band: causal masks, windows and key lengths all say low <= j <= high for each query, so one
// elementwise pass serves them. Only tiles that the edge of the band crosses need it.

/** Sets n scores of four lanes, the first for key `key`, to minus infinity outside [low, high]. */
export function bandTile(sp: usize, pitch: usize, n: i32, key: i32, low: v128, high: v128): void {
  const masked = f32x4.splat(-Infinity), one = i32x4.splat(1);
  let j = i32x4.splat(key);
  for (let t = 0; t < n; ++t) {
    const outside = v128.or(i32x4.lt_s(j, low), i32x4.gt_s(j, high));
    v128.store(sp, v128.bitselect(masked, v128.load(sp), outside));
    j = i32x4.add(j, one);
    sp += pitch;
  }
}
