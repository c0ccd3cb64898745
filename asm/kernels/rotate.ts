// Rotating pairs of columns in place: rows of an operand as they are staged, and rows of its gradient on their way back.
//
//   (a, b) -> (a cos - b sin, b cos + a sin)
//
// A pair is two neighbours, or column c and c + dims / 2; columns from `dims` on stay as they are. A row of the table
// holds the cosines of all pairs, then their sines. Products and sums are not fused: both builds, and the host, make
// the same bits.

/** Columns c and c + half of a row for c in [0, half). */
// @ts-ignore: decorator
@inline
function rotateHalves(x: usize, half: i32, cos: usize, sin: usize, inverse: bool): void {
  const across = <usize>half << 2;
  let c = 0;
  for (; c + 4 <= half; c += 4, x += 16, cos += 16, sin += 16) {
    const a = v128.load(x), b = v128.load(x + across), u = v128.load(cos);
    const v = inverse ? f32x4.neg(v128.load(sin)) : v128.load(sin);
    v128.store(x, f32x4.sub(f32x4.mul(a, u), f32x4.mul(b, v)));
    v128.store(x + across, f32x4.add(f32x4.mul(b, u), f32x4.mul(a, v)));
  }
  for (; c < half; ++c, x += 4, cos += 4, sin += 4) {
    const a = load<f32>(x), b = load<f32>(x + across), u = load<f32>(cos);
    const v = inverse ? -load<f32>(sin) : load<f32>(sin);
    store<f32>(x, a * u - b * v);
    store<f32>(x + across, b * u + a * v);
  }
}

/** Columns 2p and 2p + 1 of a row for p in [0, half). */
// @ts-ignore: decorator
@inline
function rotateNeighbours(x: usize, half: i32, cos: usize, sin: usize, inverse: bool): void {
  const signs = inverse ? f32x4(1, -1, 1, -1) : f32x4(-1, 1, -1, 1);
  let p = 0;
  for (; p + 2 <= half; p += 2, x += 16, cos += 8, sin += 8) {
    const ab = v128.load(x), us = v128.load64_zero(cos), vs = v128.load64_zero(sin);
    const u = v128.shuffle<f32>(us, us, 0, 0, 1, 1), v = f32x4.mul(v128.shuffle<f32>(vs, vs, 0, 0, 1, 1), signs);
    v128.store(x, f32x4.add(f32x4.mul(ab, u), f32x4.mul(v128.shuffle<f32>(ab, ab, 1, 0, 3, 2), v)));
  }
  if (p < half) {
    const a = load<f32>(x), b = load<f32>(x, 4), u = load<f32>(cos), v = inverse ? -load<f32>(sin) : load<f32>(sin);
    store<f32>(x, a * u - b * v);
    store<f32>(x, b * u + a * v, 4);
  }
}

/** Rotates n rows of f32, `pitch` bytes apart, by as many rows of a table of `dims` floats each; `inverse`: back. */
export function rotate(rows: usize, pitch: usize, n: i32, dims: i32, table: usize, interleaved: bool, inverse: bool): void {
  const half = dims >> 1, across = <usize>half << 2;
  for (let i = 0; i < n; ++i, rows += pitch, table += across << 1) {
    if (interleaved) rotateNeighbours(rows, half, table, table + across, inverse);
    else rotateHalves(rows, half, table, table + across, inverse);
  }
}
