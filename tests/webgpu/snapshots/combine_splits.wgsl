// see params.wgsl
const HIDDEN: f32 = -1e30;
const FLOOR: f32 = -5e29;
@group(0) @binding(21) var<storage, read> part_out: array<vec4<f32>>;
fn load_part_out(at: u32, c: u32) -> vec4<f32> { return part_out[(at >> 2u) + c]; }
@group(0) @binding(22) var<storage, read> part_lse: array<f32>;
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
  var m = FLOOR;
  for (var p = 0u; p < U.num_splits; p++) { m = max(m, part_lse[p * U.split_rows + row]); }
  var l = 0.0;
  for (var p = 0u; p < U.num_splits; p++) {
    l += exp2((part_lse[p * U.split_rows + row] - m) * 1.4426950408889634);
  }
  // out = sum of exp(lse_p - m) out_p / l
  let inverse = select(1.0 / l, 0.0, l == 0.0);
  let columns = (U.value_dim + 3u) / 4u; let at = out_row(batch, head, query);
  for (var c = li; c < columns; c += 64u) {
    var sum = vec4<f32>(0.0);
    for (var p = 0u; p < U.num_splits; p++) {
      let w = exp2((part_lse[p * U.split_rows + row] - m) * 1.4426950408889634) * inverse;
      sum = fma(vec4<f32>(w), load_part_out((p * U.split_rows + row) * U.value_dim, c), sum);
    }
    store_out(at, c, sum);
  }
  if (li == 0u) { lse[lse_row(batch, head, query)] = select(m + log2(l) * 0.6931471805599453, U.neg_inf, l == 0.0); }
}
