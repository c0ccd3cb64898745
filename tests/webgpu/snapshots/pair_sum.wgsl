// see params.wgsl
const HIDDEN: f32 = -1e30;
const FLOOR: f32 = -5e29;
@group(0) @binding(1) var<storage, read> schedule: array<u32>;
fn cap_tanh(x: vec4<f32>) -> vec4<f32> {
  let t = exp2(abs(x) * -2.8853900817779268);
  let big = sign(x) * (1.0 - t) / (1.0 + t);
  let y = x * x;
  let small = x * (1.0 + y * (-0.33333333 + y * (0.13333333 + y * (-0.05396825 + y * 0.02186949))));
  return select(big, small, abs(x) < vec4<f32>(0.25));
}
// d(s) / d(product): 1 - tanh^2, without the difference of near numbers when saturated
fn cap_slope(x: vec4<f32>) -> vec4<f32> {
  let t = exp2(abs(x) * -2.8853900817779268); let u = 1.0 + t;
  return 4.0 * t / (u * u);
}
fn minus_slope(batch: u32, head: u32) -> f32 {
  return -bitcast<f32>(schedule[U.alibi_slopes_at + batch * U.alibi_slopes_batch + head * U.alibi_slopes_head]);
}
fn minus_slopes(batch: u32, head: vec4<u32>) -> vec4<f32> {
  return vec4<f32>(minus_slope(batch, head.x), minus_slope(batch, head.y), minus_slope(batch, head.z), minus_slope(batch, head.w));
}
@group(0) @binding(13) var<storage, read> bias: array<f32>;
fn bias_at(i: u32) -> f32 { return bias[i]; }
fn bias_value(at: vec4<u32>) -> vec4<f32> {
  return vec4<f32>(bias_at(at.x), bias_at(at.y), bias_at(at.z), bias_at(at.w));
}
// minus infinity by its bits: WGSL has no literal for it
fn is_hole(b: vec4<f32>) -> vec4<bool> { return bitcast<vec4<u32>>(b) == vec4<u32>(0xff800000u); }
fn mask_byte(i: u32) -> bool { return ((schedule[i >> 2u] >> ((i & 3u) * 8u)) & 0xffu) != 0u; }
fn mask_sees(at: vec4<u32>) -> vec4<bool> {
  return vec4<bool>(mask_byte(at.x), mask_byte(at.y), mask_byte(at.z), mask_byte(at.w));
}
fn sink_of(head: u32) -> f32 { return bitcast<f32>(schedule[U.sink_at + head * U.sink_head]); }
fn sink_logit(head: u32, split: u32) -> f32 {
  if (split > 0u || U.sink_at == 0u) { return U.neg_inf; }
  return sink_of(head);
}
// its share of the row: 0 where there is none, 1 where it is infinite and so all
fn sink_share(sink: f32, lse: f32, m: f32, log2l: f32) -> f32 {
  let bits = bitcast<u32>(sink);
  if (bits == 0xff800000u) { return 0.0; }
  if (bits == 0x7f800000u && bitcast<u32>(lse) == bits) { return 1.0; }
  return exp2(fma(sink - m, 1.4426950408889634, -log2l));
}
// infinities and NaN by their bits: compilers may assume that there are none
fn joining(logit: f32) -> f32 { return select(logit, HIDDEN, bitcast<u32>(logit) == 0xff800000u); }
// exp(logit - top); what is not finite stays so, and the row is repaired
fn joining_weight(logit: f32, top: f32) -> f32 {
  if ((bitcast<u32>(logit) & 0x7f800000u) == 0x7f800000u) { return logit; }
  return exp2((logit - top) * 1.4426950408889634);
}
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
fn load_q(at: u32, c: u32) -> vec4<f32> { return q[(at >> 2u) + c]; }
@group(0) @binding(3) var<storage, read> k: array<vec4<f32>>;
fn load_k(at: u32, c: u32) -> vec4<f32> { return k[(at >> 2u) + c]; }
@group(0) @binding(4) var<storage, read> v: array<vec4<f32>>;
fn load_v(at: u32, c: u32) -> vec4<f32> { return v[(at >> 2u) + c]; }
@group(0) @binding(7) var<storage, read> dout: array<vec4<f32>>;
fn load_dout(at: u32, c: u32) -> vec4<f32> { return dout[(at >> 2u) + c]; }
@group(0) @binding(31) var<storage, read> stats: array<vec4<f32>>;
@group(0) @binding(20) var<storage, read_write> dbias: array<f32>;
fn q_row(b: u32, h: u32, i: u32) -> u32 {
  return U.q_at + b * U.q_batch + h * U.q_head + i * U.q_row;
}
fn k_row(b: u32, h: u32, i: u32) -> u32 {
  return U.k_at + b * U.k_batch + h * U.k_head + i * U.k_row;
}
fn v_row(b: u32, h: u32, i: u32) -> u32 {
  return U.v_at + b * U.v_batch + h * U.v_head + i * U.v_row;
}
fn dout_row(b: u32, h: u32, i: u32) -> u32 {
  return U.dout_at + b * U.dout_batch + h * U.dout_head + i * U.dout_row;
}
fn is_top(x: vec4<f32>) -> vec4<bool> { return bitcast<vec4<u32>>(x) == vec4<u32>(0x7f800000u); }
// high and low word of a product
fn wide_product(a: u32, b: u32) -> vec2<u32> {
  let al = a & 0xffffu; let ah = a >> 16u; let bl = b & 0xffffu; let bh = b >> 16u;
  let middle = ah * bl + ((al * bl) >> 16u); let other = al * bh + (middle & 0xffffu);
  return vec2<u32>(ah * bh + (middle >> 16u) + (other >> 16u), a * b);
}
fn philox_round(x: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
  let p = wide_product(x.x, 0xd2511f53u); let q = wide_product(x.z, 0xcd9e8d57u);
  return vec4<u32>(q.x ^ x.y ^ key.x, q.y, p.x ^ x.w ^ key.y, p.y);
}
fn dropout_kept(batch: u32, head: u32, query: u32, group: u32) -> u32 {
  var x = vec4<u32>(group, query, head, batch);
  var key = vec2<u32>(U.dropout_seed_low, U.dropout_seed_high);
  x = philox_round(x, key); key += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  x = philox_round(x, key); key += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  x = philox_round(x, key); key += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  x = philox_round(x, key); key += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  x = philox_round(x, key); key += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  x = philox_round(x, key); key += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  x = philox_round(x, key); key += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  x = philox_round(x, key); key += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  x = philox_round(x, key); key += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  x = philox_round(x, key); key += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  let least = vec4<u32>(U.dropout_threshold); let exchanged = (x << vec4<u32>(16u)) | (x >> vec4<u32>(16u));
  let bits = select(vec4<u32>(0u), vec4<u32>(1u, 2u, 4u, 8u), x >= least)
    | select(vec4<u32>(0u), vec4<u32>(16u, 32u, 64u, 128u), exchanged >= least);
  return bits.x | bits.y | bits.z | bits.w;
}
fn kept_bits(batch: u32, head: u32, query: u32, group: u32) -> u32 {
  return dropout_kept(U.batch_begin + batch, U.head_begin + head, U.query_begin + query, group);
}
var<workgroup> kept: array<array<u32, 2>, 8>;
fn kept_pairs(query: vec4<u32>, key: vec4<u32>) -> vec4<f32> {
  let group = key / vec4<u32>(8u);
  let bits = vec4<u32>(kept[query.x][group.x], kept[query.y][group.y], kept[query.z][group.z], kept[query.w][group.w])
    >> (key % vec4<u32>(8u));
  return select(vec4<f32>(0.0), vec4<f32>(U.dropout_scale), (bits & vec4<u32>(1u)) == vec4<u32>(1u));
}
// a dropped pair has none of x, whatever that is
fn weighed(x: vec4<f32>, z: vec4<f32>) -> vec4<f32> { return select(vec4<f32>(0.0), x * z, z > vec4<f32>(0.0)); }
var<workgroup> rt: array<array<array<vec4<f32>, 3>, 2>, 2>;
var<workgroup> ct: array<array<array<vec4<f32>, 3>, 2>, 2>;
var<workgroup> shares: array<f32, 4>;
@compute @workgroup_size(4)
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let tx = li % 2u; let ty = li / 2u;
  let stage_row = li / 2u; let stage_column = li % 2u;
  let stage_slot = li % 4u + 4u * (li / 4u); let stage_step = (li / 4u) % 1u;
  let sum_head = wid.y; let sum_batch = wid.z; let tile = U.item_base + wid.x;
  let j_tiles = (U.length_k + 7u) / 8u;
  let i_tile = (tile / j_tiles) * 8u; let j_tile = (tile % j_tiles) * 8u;
  let staged_scale = (U.scale / U.softcap);
  var s0_0 = vec4<f32>(0.0);
  var s1_0 = vec4<f32>(0.0);
  var s2_0 = vec4<f32>(0.0);
  var s3_0 = vec4<f32>(0.0);
  var dp0_0 = vec4<f32>(0.0);
  var dp1_0 = vec4<f32>(0.0);
  var dp2_0 = vec4<f32>(0.0);
  var dp3_0 = vec4<f32>(0.0);
  var acc0_0 = vec4<f32>(0.0);
  var acc1_0 = vec4<f32>(0.0);
  var acc2_0 = vec4<f32>(0.0);
  var acc3_0 = vec4<f32>(0.0);
  for (var batch = sum_batch; batch < sum_batch + 1u; batch++) {
  let sequence = 4u * batch;
  let limit = schedule[sequence];
  let low = bitcast<i32>(schedule[sequence + 1u]); let high = bitcast<i32>(schedule[sequence + 2u]);
  let offset = bitcast<i32>(schedule[sequence + 3u]);
  let end = min(limit, U.length_k);
  for (var head = sum_head; head < sum_head + 1u; head++) {
  let kv_head = head / U.group;
  let stats_base = (batch * U.kv_heads + kv_head) * U.length_q * U.group + head % U.group;
  for (var i0 = i_tile; i0 < min(i_tile + 1u, U.length_q); i0 += 8u) {
  let query0 = i0 + ty * 4u + 0u; let head0 = head; var lse0 = 3.4028234e38; var delta0 = 0.0; var low_sum0 = 0.0;
  if (query0 < U.length_q) { let x = stats[stats_base + query0 * U.group]; lse0 = x.x; delta0 = x.y; low_sum0 = x.z; }
  let query1 = i0 + ty * 4u + 1u; let head1 = head; var lse1 = 3.4028234e38; var delta1 = 0.0; var low_sum1 = 0.0;
  if (query1 < U.length_q) { let x = stats[stats_base + query1 * U.group]; lse1 = x.x; delta1 = x.y; low_sum1 = x.z; }
  let query2 = i0 + ty * 4u + 2u; let head2 = head; var lse2 = 3.4028234e38; var delta2 = 0.0; var low_sum2 = 0.0;
  if (query2 < U.length_q) { let x = stats[stats_base + query2 * U.group]; lse2 = x.x; delta2 = x.y; low_sum2 = x.z; }
  let query3 = i0 + ty * 4u + 3u; let head3 = head; var lse3 = 3.4028234e38; var delta3 = 0.0; var low_sum3 = 0.0;
  if (query3 < U.length_q) { let x = stats[stats_base + query3 * U.group]; lse3 = x.x; delta3 = x.y; low_sum3 = x.z; }
  let alibi_slopes_slope_q0 = minus_slope(batch, head0);
  let alibi_slopes_diagonal_q0 = f32(i32(query0) + offset);
  let bias_row_q0 = U.bias_at + batch * U.bias_batch + head0 * U.bias_head + query0 * U.bias_row;
  let mask_row_q0 = U.mask_at + batch * U.mask_batch + head0 * U.mask_head + query0 * U.mask_row;
  let alibi_slopes_slope_q1 = minus_slope(batch, head1);
  let alibi_slopes_diagonal_q1 = f32(i32(query1) + offset);
  let bias_row_q1 = U.bias_at + batch * U.bias_batch + head1 * U.bias_head + query1 * U.bias_row;
  let mask_row_q1 = U.mask_at + batch * U.mask_batch + head1 * U.mask_head + query1 * U.mask_row;
  let alibi_slopes_slope_q2 = minus_slope(batch, head2);
  let alibi_slopes_diagonal_q2 = f32(i32(query2) + offset);
  let bias_row_q2 = U.bias_at + batch * U.bias_batch + head2 * U.bias_head + query2 * U.bias_row;
  let mask_row_q2 = U.mask_at + batch * U.mask_batch + head2 * U.mask_head + query2 * U.mask_row;
  let alibi_slopes_slope_q3 = minus_slope(batch, head3);
  let alibi_slopes_diagonal_q3 = f32(i32(query3) + offset);
  let bias_row_q3 = U.bias_at + batch * U.bias_batch + head3 * U.bias_head + query3 * U.bias_row;
  let mask_row_q3 = U.mask_at + batch * U.mask_batch + head3 * U.mask_head + query3 * U.mask_row;
  let last_query = i32(min(i0 + 8u, U.length_q)) - 1;
  for (var j0 = j_tile; j0 < min(j_tile + 1u, end); j0 += 8u) {
  // tiles that the band does not touch are skipped
  if (!(i32(j0) > last_query + high || i32(j0) + 7 < i32(i0) + low)) {
  let key_0 = vec4<u32>(j0 + tx) + vec4<u32>(0u, 2u, 4u, 6u);
  let alibi_slopes_position_k0 = vec4<f32>(key_0);
  let bias_column_k0 = key_0 * U.bias_column;
  let mask_column_k0 = key_0 * U.mask_column;
  // which pairs of the tile are kept, by groups of keys
  let kept_key = U.key_begin + j0; let kept_shift = kept_key % 8u;
  let kept_groups = (kept_shift + 15u) / 8u;
  workgroupBarrier();
  for (var t = li; t < 8u * kept_groups; t += 4u) {
    let row = i0 + t / kept_groups; let group = t % kept_groups;
    kept[t / kept_groups][group] = kept_bits(batch, head, row, kept_key / 8u + group);
  }
  // dP = dOut V^T
  dp0_0 = vec4<f32>(0.0);
  dp1_0 = vec4<f32>(0.0);
  dp2_0 = vec4<f32>(0.0);
  dp3_0 = vec4<f32>(0.0);
  for (var c0 = 0u; c0 < 2u; c0 += 1u) {
  workgroupBarrier();
  {
    let last_row = max(U.length_q, 1u) - 1u; let last_column = ((U.value_dim + 3u) >> 2u) - 1u;
    let inside = (c0 + stage_step) <= last_column; let from_column = min((c0 + stage_step), last_column);
    if (stage_slot < 2u) {
    let from0_0 = i0 + 4u * stage_slot + 0u; let x0_0 = load_dout(dout_row(batch, head, min(from0_0, last_row)), from_column);
    let from0_1 = i0 + 4u * stage_slot + 1u; let x0_1 = load_dout(dout_row(batch, head, min(from0_1, last_row)), from_column);
    let from0_2 = i0 + 4u * stage_slot + 2u; let x0_2 = load_dout(dout_row(batch, head, min(from0_2, last_row)), from_column);
    let from0_3 = i0 + 4u * stage_slot + 3u; let x0_3 = load_dout(dout_row(batch, head, min(from0_3, last_row)), from_column);
    let real0 = vec4<bool>(inside) & vec4<bool>(from0_0 < U.length_q, from0_1 < U.length_q, from0_2 < U.length_q, from0_3 < U.length_q);
    rt[(4u * stage_step + 0u) / 2u][(4u * stage_step + 0u) % 2u][stage_slot] = select(vec4<f32>(0.0), vec4<f32>(x0_0.x, x0_1.x, x0_2.x, x0_3.x), real0);
    rt[(4u * stage_step + 1u) / 2u][(4u * stage_step + 1u) % 2u][stage_slot] = select(vec4<f32>(0.0), vec4<f32>(x0_0.y, x0_1.y, x0_2.y, x0_3.y), real0);
    rt[(4u * stage_step + 2u) / 2u][(4u * stage_step + 2u) % 2u][stage_slot] = select(vec4<f32>(0.0), vec4<f32>(x0_0.z, x0_1.z, x0_2.z, x0_3.z), real0);
    rt[(4u * stage_step + 3u) / 2u][(4u * stage_step + 3u) % 2u][stage_slot] = select(vec4<f32>(0.0), vec4<f32>(x0_0.w, x0_1.w, x0_2.w, x0_3.w), real0);
    }
  }
  {
    let last_row = max(end, 1u) - 1u; let last_column = ((U.value_dim + 3u) >> 2u) - 1u;
    let inside = (c0 + stage_step) <= last_column; let from_column = min((c0 + stage_step), last_column);
    if (stage_slot < 2u) {
    let from0_0 = j0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 0u); let x0_0 = load_v(v_row(batch, kv_head, min(from0_0, last_row)), from_column);
    let from0_1 = j0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 1u); let x0_1 = load_v(v_row(batch, kv_head, min(from0_1, last_row)), from_column);
    let from0_2 = j0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 2u); let x0_2 = load_v(v_row(batch, kv_head, min(from0_2, last_row)), from_column);
    let from0_3 = j0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 3u); let x0_3 = load_v(v_row(batch, kv_head, min(from0_3, last_row)), from_column);
    let real0 = vec4<bool>(inside) & vec4<bool>(from0_0 < end, from0_1 < end, from0_2 < end, from0_3 < end);
    ct[(4u * stage_step + 0u) / 2u][(4u * stage_step + 0u) % 2u][stage_slot] = select(vec4<f32>(0.0), vec4<f32>(x0_0.x, x0_1.x, x0_2.x, x0_3.x), real0);
    ct[(4u * stage_step + 1u) / 2u][(4u * stage_step + 1u) % 2u][stage_slot] = select(vec4<f32>(0.0), vec4<f32>(x0_0.y, x0_1.y, x0_2.y, x0_3.y), real0);
    ct[(4u * stage_step + 2u) / 2u][(4u * stage_step + 2u) % 2u][stage_slot] = select(vec4<f32>(0.0), vec4<f32>(x0_0.z, x0_1.z, x0_2.z, x0_3.z), real0);
    ct[(4u * stage_step + 3u) / 2u][(4u * stage_step + 3u) % 2u][stage_slot] = select(vec4<f32>(0.0), vec4<f32>(x0_0.w, x0_1.w, x0_2.w, x0_3.w), real0);
    }
  }
  workgroupBarrier();
  for (var d = 0u; d < 2u; d++) {
    {
      let a0 = rt[d][0][ty * 1u + 0u];
      let b0 = ct[d][0][tx + 0u];
      dp0_0 = fma(vec4<f32>(a0.x), b0, dp0_0);
      dp1_0 = fma(vec4<f32>(a0.y), b0, dp1_0);
      dp2_0 = fma(vec4<f32>(a0.z), b0, dp2_0);
      dp3_0 = fma(vec4<f32>(a0.w), b0, dp3_0);
    }
    {
      let a0 = rt[d][1][ty * 1u + 0u];
      let b0 = ct[d][1][tx + 0u];
      dp0_0 = fma(vec4<f32>(a0.x), b0, dp0_0);
      dp1_0 = fma(vec4<f32>(a0.y), b0, dp1_0);
      dp2_0 = fma(vec4<f32>(a0.z), b0, dp2_0);
      dp3_0 = fma(vec4<f32>(a0.w), b0, dp3_0);
    }
  }
  }
  // S = Q K^T
  s0_0 = vec4<f32>(0.0);
  s1_0 = vec4<f32>(0.0);
  s2_0 = vec4<f32>(0.0);
  s3_0 = vec4<f32>(0.0);
  for (var c0 = 0u; c0 < 2u; c0 += 1u) {
  workgroupBarrier();
  {
    let last_row = max(U.length_q, 1u) - 1u; let last_column = ((U.head_dim + 3u) >> 2u) - 1u;
    let inside = (c0 + stage_step) <= last_column; let from_column = min((c0 + stage_step), last_column);
    if (stage_slot < 2u) {
    let from0_0 = i0 + 4u * stage_slot + 0u; let x0_0 = load_q(q_row(batch, head, min(from0_0, last_row)), from_column) * staged_scale;
    let from0_1 = i0 + 4u * stage_slot + 1u; let x0_1 = load_q(q_row(batch, head, min(from0_1, last_row)), from_column) * staged_scale;
    let from0_2 = i0 + 4u * stage_slot + 2u; let x0_2 = load_q(q_row(batch, head, min(from0_2, last_row)), from_column) * staged_scale;
    let from0_3 = i0 + 4u * stage_slot + 3u; let x0_3 = load_q(q_row(batch, head, min(from0_3, last_row)), from_column) * staged_scale;
    let real0 = vec4<bool>(inside) & vec4<bool>(from0_0 < U.length_q, from0_1 < U.length_q, from0_2 < U.length_q, from0_3 < U.length_q);
    rt[(4u * stage_step + 0u) / 2u][(4u * stage_step + 0u) % 2u][stage_slot] = select(vec4<f32>(0.0), vec4<f32>(x0_0.x, x0_1.x, x0_2.x, x0_3.x), real0);
    rt[(4u * stage_step + 1u) / 2u][(4u * stage_step + 1u) % 2u][stage_slot] = select(vec4<f32>(0.0), vec4<f32>(x0_0.y, x0_1.y, x0_2.y, x0_3.y), real0);
    rt[(4u * stage_step + 2u) / 2u][(4u * stage_step + 2u) % 2u][stage_slot] = select(vec4<f32>(0.0), vec4<f32>(x0_0.z, x0_1.z, x0_2.z, x0_3.z), real0);
    rt[(4u * stage_step + 3u) / 2u][(4u * stage_step + 3u) % 2u][stage_slot] = select(vec4<f32>(0.0), vec4<f32>(x0_0.w, x0_1.w, x0_2.w, x0_3.w), real0);
    }
  }
  {
    let last_row = max(end, 1u) - 1u; let last_column = ((U.head_dim + 3u) >> 2u) - 1u;
    let inside = (c0 + stage_step) <= last_column; let from_column = min((c0 + stage_step), last_column);
    if (stage_slot < 2u) {
    let from0_0 = j0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 0u); let x0_0 = load_k(k_row(batch, kv_head, min(from0_0, last_row)), from_column);
    let from0_1 = j0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 1u); let x0_1 = load_k(k_row(batch, kv_head, min(from0_1, last_row)), from_column);
    let from0_2 = j0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 2u); let x0_2 = load_k(k_row(batch, kv_head, min(from0_2, last_row)), from_column);
    let from0_3 = j0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 3u); let x0_3 = load_k(k_row(batch, kv_head, min(from0_3, last_row)), from_column);
    let real0 = vec4<bool>(inside) & vec4<bool>(from0_0 < end, from0_1 < end, from0_2 < end, from0_3 < end);
    ct[(4u * stage_step + 0u) / 2u][(4u * stage_step + 0u) % 2u][stage_slot] = select(vec4<f32>(0.0), vec4<f32>(x0_0.x, x0_1.x, x0_2.x, x0_3.x), real0);
    ct[(4u * stage_step + 1u) / 2u][(4u * stage_step + 1u) % 2u][stage_slot] = select(vec4<f32>(0.0), vec4<f32>(x0_0.y, x0_1.y, x0_2.y, x0_3.y), real0);
    ct[(4u * stage_step + 2u) / 2u][(4u * stage_step + 2u) % 2u][stage_slot] = select(vec4<f32>(0.0), vec4<f32>(x0_0.z, x0_1.z, x0_2.z, x0_3.z), real0);
    ct[(4u * stage_step + 3u) / 2u][(4u * stage_step + 3u) % 2u][stage_slot] = select(vec4<f32>(0.0), vec4<f32>(x0_0.w, x0_1.w, x0_2.w, x0_3.w), real0);
    }
  }
  workgroupBarrier();
  for (var d = 0u; d < 2u; d++) {
    {
      let a0 = rt[d][0][ty * 1u + 0u];
      let b0 = ct[d][0][tx + 0u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = rt[d][1][ty * 1u + 0u];
      let b0 = ct[d][1][tx + 0u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
  }
  }
  // acc += term(P (dP - delta))
  {
    let hi = min(i32(end) - 1, i32(query0) + high); let lo = i32(query0) + low;
    let outside = (vec4<i32>(key_0) > vec4<i32>(hi)) | (vec4<i32>(key_0) < vec4<i32>(lo));
  let seen0_0 = mask_sees(mask_row_q0 + mask_column_k0);
    let slope_softcap = cap_slope(s0_0);
    s0_0 = cap_tanh(s0_0) * U.softcap;
    s0_0 = fma(vec4<f32>(alibi_slopes_slope_q0), abs(vec4<f32>(alibi_slopes_diagonal_q0) - vec4<f32>(alibi_slopes_position_k0)), s0_0);
    let b = bias_value(bias_row_q0 + bias_column_k0);
    s0_0 += b;
    let hide = (is_hole(b)) | (!seen0_0);
    let z = kept_pairs(vec4<u32>(ty * 4u + 0u), vec4<u32>(0u + tx) + vec4<u32>(0u, 2u, 4u, 6u) + vec4<u32>(kept_shift));
    var log2p = fma(s0_0 - vec4<f32>(lse0), vec4<f32>(1.4426950408889634), vec4<f32>(-low_sum0));
    // one infinite score: the limit of one that grows without end
    let limit_pair = is_top(s0_0) & vec4<bool>(is_top(vec4<f32>(lse0)).x);
    let p = select(exp2(log2p), vec4<f32>(1.0), limit_pair); log2p = select(log2p, vec4<f32>(0.0), limit_pair);
    let ds = p * (weighed(dp0_0, z) - vec4<f32>(delta0));
    acc0_0 += select(ds, vec4<f32>(0.0), hide | outside | vec4<bool>(query0 >= U.length_q));
  }
  {
    let hi = min(i32(end) - 1, i32(query1) + high); let lo = i32(query1) + low;
    let outside = (vec4<i32>(key_0) > vec4<i32>(hi)) | (vec4<i32>(key_0) < vec4<i32>(lo));
  let seen1_0 = mask_sees(mask_row_q1 + mask_column_k0);
    let slope_softcap = cap_slope(s1_0);
    s1_0 = cap_tanh(s1_0) * U.softcap;
    s1_0 = fma(vec4<f32>(alibi_slopes_slope_q1), abs(vec4<f32>(alibi_slopes_diagonal_q1) - vec4<f32>(alibi_slopes_position_k0)), s1_0);
    let b = bias_value(bias_row_q1 + bias_column_k0);
    s1_0 += b;
    let hide = (is_hole(b)) | (!seen1_0);
    let z = kept_pairs(vec4<u32>(ty * 4u + 1u), vec4<u32>(0u + tx) + vec4<u32>(0u, 2u, 4u, 6u) + vec4<u32>(kept_shift));
    var log2p = fma(s1_0 - vec4<f32>(lse1), vec4<f32>(1.4426950408889634), vec4<f32>(-low_sum1));
    // one infinite score: the limit of one that grows without end
    let limit_pair = is_top(s1_0) & vec4<bool>(is_top(vec4<f32>(lse1)).x);
    let p = select(exp2(log2p), vec4<f32>(1.0), limit_pair); log2p = select(log2p, vec4<f32>(0.0), limit_pair);
    let ds = p * (weighed(dp1_0, z) - vec4<f32>(delta1));
    acc1_0 += select(ds, vec4<f32>(0.0), hide | outside | vec4<bool>(query1 >= U.length_q));
  }
  {
    let hi = min(i32(end) - 1, i32(query2) + high); let lo = i32(query2) + low;
    let outside = (vec4<i32>(key_0) > vec4<i32>(hi)) | (vec4<i32>(key_0) < vec4<i32>(lo));
  let seen2_0 = mask_sees(mask_row_q2 + mask_column_k0);
    let slope_softcap = cap_slope(s2_0);
    s2_0 = cap_tanh(s2_0) * U.softcap;
    s2_0 = fma(vec4<f32>(alibi_slopes_slope_q2), abs(vec4<f32>(alibi_slopes_diagonal_q2) - vec4<f32>(alibi_slopes_position_k0)), s2_0);
    let b = bias_value(bias_row_q2 + bias_column_k0);
    s2_0 += b;
    let hide = (is_hole(b)) | (!seen2_0);
    let z = kept_pairs(vec4<u32>(ty * 4u + 2u), vec4<u32>(0u + tx) + vec4<u32>(0u, 2u, 4u, 6u) + vec4<u32>(kept_shift));
    var log2p = fma(s2_0 - vec4<f32>(lse2), vec4<f32>(1.4426950408889634), vec4<f32>(-low_sum2));
    // one infinite score: the limit of one that grows without end
    let limit_pair = is_top(s2_0) & vec4<bool>(is_top(vec4<f32>(lse2)).x);
    let p = select(exp2(log2p), vec4<f32>(1.0), limit_pair); log2p = select(log2p, vec4<f32>(0.0), limit_pair);
    let ds = p * (weighed(dp2_0, z) - vec4<f32>(delta2));
    acc2_0 += select(ds, vec4<f32>(0.0), hide | outside | vec4<bool>(query2 >= U.length_q));
  }
  {
    let hi = min(i32(end) - 1, i32(query3) + high); let lo = i32(query3) + low;
    let outside = (vec4<i32>(key_0) > vec4<i32>(hi)) | (vec4<i32>(key_0) < vec4<i32>(lo));
  let seen3_0 = mask_sees(mask_row_q3 + mask_column_k0);
    let slope_softcap = cap_slope(s3_0);
    s3_0 = cap_tanh(s3_0) * U.softcap;
    s3_0 = fma(vec4<f32>(alibi_slopes_slope_q3), abs(vec4<f32>(alibi_slopes_diagonal_q3) - vec4<f32>(alibi_slopes_position_k0)), s3_0);
    let b = bias_value(bias_row_q3 + bias_column_k0);
    s3_0 += b;
    let hide = (is_hole(b)) | (!seen3_0);
    let z = kept_pairs(vec4<u32>(ty * 4u + 3u), vec4<u32>(0u + tx) + vec4<u32>(0u, 2u, 4u, 6u) + vec4<u32>(kept_shift));
    var log2p = fma(s3_0 - vec4<f32>(lse3), vec4<f32>(1.4426950408889634), vec4<f32>(-low_sum3));
    // one infinite score: the limit of one that grows without end
    let limit_pair = is_top(s3_0) & vec4<bool>(is_top(vec4<f32>(lse3)).x);
    let p = select(exp2(log2p), vec4<f32>(1.0), limit_pair); log2p = select(log2p, vec4<f32>(0.0), limit_pair);
    let ds = p * (weighed(dp3_0, z) - vec4<f32>(delta3));
    acc3_0 += select(ds, vec4<f32>(0.0), hide | outside | vec4<bool>(query3 >= U.length_q));
  }
  }
  }
  }
  }
  }
  // sum over what repeats
  if ((i_tile + ty * 4u + 0u) < U.length_q && (j_tile + tx + 0u) < U.length_k) { let at = U.dbias_at + sum_batch * U.dbias_batch + sum_head * U.dbias_head + (i_tile + ty * 4u + 0u) * U.dbias_row + (j_tile + tx + 0u); if (U.accumulate > 0u) { dbias[at] += acc0_0[0]; } else { dbias[at] = acc0_0[0]; } }
  if ((i_tile + ty * 4u + 0u) < U.length_q && (j_tile + tx + 2u) < U.length_k) { let at = U.dbias_at + sum_batch * U.dbias_batch + sum_head * U.dbias_head + (i_tile + ty * 4u + 0u) * U.dbias_row + (j_tile + tx + 2u); if (U.accumulate > 0u) { dbias[at] += acc0_0[1]; } else { dbias[at] = acc0_0[1]; } }
  if ((i_tile + ty * 4u + 0u) < U.length_q && (j_tile + tx + 4u) < U.length_k) { let at = U.dbias_at + sum_batch * U.dbias_batch + sum_head * U.dbias_head + (i_tile + ty * 4u + 0u) * U.dbias_row + (j_tile + tx + 4u); if (U.accumulate > 0u) { dbias[at] += acc0_0[2]; } else { dbias[at] = acc0_0[2]; } }
  if ((i_tile + ty * 4u + 0u) < U.length_q && (j_tile + tx + 6u) < U.length_k) { let at = U.dbias_at + sum_batch * U.dbias_batch + sum_head * U.dbias_head + (i_tile + ty * 4u + 0u) * U.dbias_row + (j_tile + tx + 6u); if (U.accumulate > 0u) { dbias[at] += acc0_0[3]; } else { dbias[at] = acc0_0[3]; } }
  if ((i_tile + ty * 4u + 1u) < U.length_q && (j_tile + tx + 0u) < U.length_k) { let at = U.dbias_at + sum_batch * U.dbias_batch + sum_head * U.dbias_head + (i_tile + ty * 4u + 1u) * U.dbias_row + (j_tile + tx + 0u); if (U.accumulate > 0u) { dbias[at] += acc1_0[0]; } else { dbias[at] = acc1_0[0]; } }
  if ((i_tile + ty * 4u + 1u) < U.length_q && (j_tile + tx + 2u) < U.length_k) { let at = U.dbias_at + sum_batch * U.dbias_batch + sum_head * U.dbias_head + (i_tile + ty * 4u + 1u) * U.dbias_row + (j_tile + tx + 2u); if (U.accumulate > 0u) { dbias[at] += acc1_0[1]; } else { dbias[at] = acc1_0[1]; } }
  if ((i_tile + ty * 4u + 1u) < U.length_q && (j_tile + tx + 4u) < U.length_k) { let at = U.dbias_at + sum_batch * U.dbias_batch + sum_head * U.dbias_head + (i_tile + ty * 4u + 1u) * U.dbias_row + (j_tile + tx + 4u); if (U.accumulate > 0u) { dbias[at] += acc1_0[2]; } else { dbias[at] = acc1_0[2]; } }
  if ((i_tile + ty * 4u + 1u) < U.length_q && (j_tile + tx + 6u) < U.length_k) { let at = U.dbias_at + sum_batch * U.dbias_batch + sum_head * U.dbias_head + (i_tile + ty * 4u + 1u) * U.dbias_row + (j_tile + tx + 6u); if (U.accumulate > 0u) { dbias[at] += acc1_0[3]; } else { dbias[at] = acc1_0[3]; } }
  if ((i_tile + ty * 4u + 2u) < U.length_q && (j_tile + tx + 0u) < U.length_k) { let at = U.dbias_at + sum_batch * U.dbias_batch + sum_head * U.dbias_head + (i_tile + ty * 4u + 2u) * U.dbias_row + (j_tile + tx + 0u); if (U.accumulate > 0u) { dbias[at] += acc2_0[0]; } else { dbias[at] = acc2_0[0]; } }
  if ((i_tile + ty * 4u + 2u) < U.length_q && (j_tile + tx + 2u) < U.length_k) { let at = U.dbias_at + sum_batch * U.dbias_batch + sum_head * U.dbias_head + (i_tile + ty * 4u + 2u) * U.dbias_row + (j_tile + tx + 2u); if (U.accumulate > 0u) { dbias[at] += acc2_0[1]; } else { dbias[at] = acc2_0[1]; } }
  if ((i_tile + ty * 4u + 2u) < U.length_q && (j_tile + tx + 4u) < U.length_k) { let at = U.dbias_at + sum_batch * U.dbias_batch + sum_head * U.dbias_head + (i_tile + ty * 4u + 2u) * U.dbias_row + (j_tile + tx + 4u); if (U.accumulate > 0u) { dbias[at] += acc2_0[2]; } else { dbias[at] = acc2_0[2]; } }
  if ((i_tile + ty * 4u + 2u) < U.length_q && (j_tile + tx + 6u) < U.length_k) { let at = U.dbias_at + sum_batch * U.dbias_batch + sum_head * U.dbias_head + (i_tile + ty * 4u + 2u) * U.dbias_row + (j_tile + tx + 6u); if (U.accumulate > 0u) { dbias[at] += acc2_0[3]; } else { dbias[at] = acc2_0[3]; } }
  if ((i_tile + ty * 4u + 3u) < U.length_q && (j_tile + tx + 0u) < U.length_k) { let at = U.dbias_at + sum_batch * U.dbias_batch + sum_head * U.dbias_head + (i_tile + ty * 4u + 3u) * U.dbias_row + (j_tile + tx + 0u); if (U.accumulate > 0u) { dbias[at] += acc3_0[0]; } else { dbias[at] = acc3_0[0]; } }
  if ((i_tile + ty * 4u + 3u) < U.length_q && (j_tile + tx + 2u) < U.length_k) { let at = U.dbias_at + sum_batch * U.dbias_batch + sum_head * U.dbias_head + (i_tile + ty * 4u + 3u) * U.dbias_row + (j_tile + tx + 2u); if (U.accumulate > 0u) { dbias[at] += acc3_0[1]; } else { dbias[at] = acc3_0[1]; } }
  if ((i_tile + ty * 4u + 3u) < U.length_q && (j_tile + tx + 4u) < U.length_k) { let at = U.dbias_at + sum_batch * U.dbias_batch + sum_head * U.dbias_head + (i_tile + ty * 4u + 3u) * U.dbias_row + (j_tile + tx + 4u); if (U.accumulate > 0u) { dbias[at] += acc3_0[2]; } else { dbias[at] = acc3_0[2]; } }
  if ((i_tile + ty * 4u + 3u) < U.length_q && (j_tile + tx + 6u) < U.length_k) { let at = U.dbias_at + sum_batch * U.dbias_batch + sum_head * U.dbias_head + (i_tile + ty * 4u + 3u) * U.dbias_row + (j_tile + tx + 6u); if (U.accumulate > 0u) { dbias[at] += acc3_0[3]; } else { dbias[at] = acc3_0[3]; } }
}
