// see params.wgsl
fn is_finite(x: f32) -> bool { return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u; }
fn is_nan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }
fn is_plus_infinity(x: f32) -> bool { return bitcast<u32>(x) == 0x7f800000u; }
fn is_minus_infinity(x: f32) -> bool { return bitcast<u32>(x) == 0xff800000u; }
fn part_weight(lse: f32, m: f32) -> f32 {
  if (is_minus_infinity(lse)) { return 0.0; }
  if (lse == m || is_nan(lse)) { return 1.0; }
  return select(exp2((lse - m) * 1.4426950408889634), 0.0, is_plus_infinity(m));
}
// The sum of all shares; of parts that have no sum: NaN.
fn all_weights(sum: f32, infinite: u32, nan: bool) -> f32 {
  return select(sum, bitcast<f32>(bitcast<u32>(U.neg_inf) | 0x400000u), nan || infinite > 1u);
}
fn merged_lse(m: f32, l: f32) -> f32 {
  if (l == 0.0) { return U.neg_inf; }
  return select(m + log2(l) * 0.6931471805599453, select(m, l, is_nan(l)), is_nan(l) || is_plus_infinity(m));
}
@group(0) @binding(35) var<storage, read> part_out: array<vec4<f32>>;
fn load_part_out(at: u32, c: u32) -> vec4<f32> { return part_out[(at >> 2u) + c]; }
@group(0) @binding(36) var<storage, read> part_lse: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> lse: array<f32>;
fn part_out_row(b: u32, h: u32, i: u32) -> u32 {
  return U.part_out_at + b * U.part_out_batch + h * U.part_out_head + i * U.part_out_row;
}
fn part_lse_row(b: u32, h: u32, i: u32) -> u32 {
  return U.part_lse_at + b * U.part_lse_batch + h * U.part_lse_head + i * U.part_lse_row;
}
fn out_row(b: u32, h: u32, i: u32) -> u32 {
  return U.out_at + b * U.out_batch + h * U.out_head + i * U.out_row;
}
fn lse_row(b: u32, h: u32, i: u32) -> u32 {
  return U.lse_at + b * U.lse_batch + h * U.lse_head + i * U.lse_row;
}
@group(0) @binding(34) var<storage, read_write> row_statistics: array<vec4<f32>>;
fn row_of(ps: f32, top: f32, pj: f32, pairs: f32, l: f32) -> vec4<f32> {
  if (l == 0.0) { return vec4<f32>(0.0); }
  let f = 1.0 / l;
  return vec4<f32>(max(0.0, f * fma(pairs, log2(l) * 0.6931471805599453, -ps)), min(1.0, f * top), f * pj, f * pairs);
}
fn weighted(x: vec4<f32>, w: f32) -> vec4<f32> {
  if (w == 0.0) { return vec4<f32>(0.0); }
  return w * vec4<f32>(fma(-x.w, log2(w) * 0.6931471805599453, x.x), x.y, x.z, x.w);
}
fn joined(x: vec4<f32>, y: vec4<f32>) -> vec4<f32> {
  return vec4<f32>(x.x + y.x, max(x.y, y.y), x.z + y.z, x.w + y.w);
}
@group(0) @binding(37) var<storage, read> part_statistics: array<vec4<f32>>;
var<workgroup> old: vec2<f32>;
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let query = U.item_base + wid.x; let head = wid.y; let batch = wid.z;
  let at = out_row(batch, head, query); let source = part_out_row(batch, head, query);
  let x = part_lse[part_lse_row(batch, head, query)]; let place = lse_row(batch, head, query);
  if (li == 0u) {
    old = vec2<f32>(U.neg_inf, 0.0);
    if (U.accumulate > 0u) { old = vec2<f32>(lse[place], 1.0); }
  }
  let there = workgroupUniformLoad(&old); let y = there.x;
  // weights of what is there and of the part
  var m = select(x, y, is_nan(x)); if (!is_nan(x) && !is_nan(y)) { m = max(x, y); }
  let new_weight = part_weight(x, m); let old_weight = part_weight(y, m) * there.y;
  let infinite = select(0u, 2u, is_plus_infinity(x) && is_plus_infinity(y));
  let l = all_weights(new_weight + old_weight, infinite, is_nan(x) || is_nan(y) || is_nan(there.y));
  let inverse = select(1.0 / l, 0.0, l == 0.0); let a = old_weight * inverse; let b = new_weight * inverse;
  for (var c = li; c < U.value_dim / 4u; c += 64u) {
    var sum = vec4<f32>(0.0);
    if (old_weight != 0.0) { sum = a * out[(at >> 2u) + c]; }
    if (new_weight != 0.0) { sum = fma(vec4<f32>(b), load_part_out(source, c), sum); }
    out[(at >> 2u) + c] = sum;
  }
  if (li == 0u) { lse[place] = merged_lse(m, l);  }
  if (li == 0u) {
    let part_place = part_lse_row(batch, head, query);
    row_statistics[place] = joined(weighted(row_statistics[place], a), weighted(part_statistics[part_place], b));
  }
}
