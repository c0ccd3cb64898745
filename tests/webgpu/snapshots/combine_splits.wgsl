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
fn store_out(at: u32, c: u32, x: vec4<f32>) {
  if (4u * c < U.value_dim) { out[(at >> 2u) + c] = x; }
}
@group(0) @binding(6) var<storage, read_write> lse: array<f32>;
fn out_row(b: u32, h: u32, i: u32) -> u32 {
  return U.out_at + b * U.out_batch + h * U.out_head + i * U.out_row;
}
fn lse_row(b: u32, h: u32, i: u32) -> u32 {
  return U.lse_at + b * U.lse_batch + h * U.lse_head + i * U.lse_row;
}
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let query = U.item_base + wid.x; let head = wid.y; let batch = wid.z;
  let row = (batch * U.kv_heads * U.group + head) * U.length_q + query;
  // m = max lse_p, l = sum of exp(lse_p - m)
  var m = U.neg_inf; var infinite = 0u; var nan = false; var sum = 0.0;
  for (var p = 0u; p < U.num_splits; p++) {
    let x = part_lse[p * U.split_rows + row];
    if (is_nan(x)) { nan = true; } else { m = max(m, x); }
    if (is_plus_infinity(x)) { infinite++; }
  }
  for (var p = 0u; p < U.num_splits; p++) { sum += part_weight(part_lse[p * U.split_rows + row], m); }
  let l = all_weights(sum, infinite, nan);
  // out = sum of exp(lse_p - m) out_p / l
  let inverse = select(1.0 / l, 0.0, l == 0.0);
  let columns = (U.value_dim + 3u) / 4u; let at = out_row(batch, head, query);
  for (var c = li; c < columns; c += 64u) {
    var sum = vec4<f32>(0.0);
    for (var p = 0u; p < U.num_splits; p++) {
      let w = part_weight(part_lse[p * U.split_rows + row], m);
      if (w == 0.0) { continue; }
      sum = fma(vec4<f32>(w * inverse), load_part_out((p * U.split_rows + row) * U.value_dim, c), sum);
    }
    store_out(at, c, sum);
  }
  if (li == 0u) { lse[lse_row(batch, head, query)] = merged_lse(m, l); }
}
