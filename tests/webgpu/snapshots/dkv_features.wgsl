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
var<workgroup> vote: atomic<u32>;
var<workgroup> outcome: u32;
fn seen_bits(word: u32) -> u32 { return schedule[U.classified_at + word] & 0x55555555u; }
fn seen_tiles(word: u32, tiles: u32) -> u32 {
  var t = tiles;
  while (t > 0u) {
    let bits = seen_bits(word + (t - 1u) / 16u) << (2u * (16u - 1u - (t - 1u) % 16u));
    if (bits != 0u) { return t - countLeadingZeros(bits) / 2u; }
    t = (t - 1u) / 16u * 16u;
  }
  return 0u;
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
@group(0) @binding(18) var<storage, read_write> dk: array<vec4<f32>>;
fn store_dk(at: u32, c: u32, x: vec4<f32>) {
  if (4u * c < U.head_dim) { dk[(at >> 2u) + c] = x; }
}
fn q_row(b: u32, h: u32, i: u32) -> u32 {
  return U.q_at + b * U.q_batch + h * U.q_head + i * U.q_row;
}
fn k_row(b: u32, h: u32, i: u32) -> u32 {
  return U.k_at + b * U.k_batch + h * U.k_head + i * U.k_row;
}
fn dout_row(b: u32, h: u32, i: u32) -> u32 {
  return U.dout_at + b * U.dout_batch + h * U.dout_head + i * U.dout_row;
}
fn v_row(b: u32, h: u32, i: u32) -> u32 {
  return U.v_at + b * U.v_batch + h * U.v_head + i * U.v_row;
}
fn dk_row(b: u32, h: u32, i: u32) -> u32 {
  return U.dk_at + b * U.dk_batch + h * U.dk_head + i * U.dk_row;
}
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
@compute @workgroup_size(4)
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let tx = li % 2u; let ty = li / 2u;
  let stage_row = li / 2u; let stage_column = li % 2u;
  let stage_slot = li % 4u + 4u * (li / 4u); let stage_step = (li / 4u) % 1u;
  let item = (U.item_base + wid.x) * 8u;
  let batch = schedule[item]; let first = schedule[item + 1u];
  let begin = schedule[item + 2u]; let end = schedule[item + 3u];
  let low = bitcast<i32>(schedule[item + 4u]); let high = bitcast<i32>(schedule[item + 5u]);
  let limit = schedule[item + 6u]; let slot = schedule[item + 7u];
  let offset = bitcast<i32>(schedule[4u * batch + 3u]);
  let kv_head = wid.y; let row_count = U.length_q * U.group;
  let block = wid.z * 2u;
  let stats_base = (batch * U.kv_heads + kv_head) * row_count;
  let key0 = first + ty * 4u + 0u;
  let key1 = first + ty * 4u + 1u;
  let key2 = first + ty * 4u + 2u;
  let key3 = first + ty * 4u + 3u;
  let alibi_slopes_position_k0 = f32(key0);
  let bias_column_k0 = key0 * U.bias_column;
  let mask_column_k0 = key0 * U.mask_column;
  let alibi_slopes_position_k1 = f32(key1);
  let bias_column_k1 = key1 * U.bias_column;
  let mask_column_k1 = key1 * U.mask_column;
  let alibi_slopes_position_k2 = f32(key2);
  let bias_column_k2 = key2 * U.bias_column;
  let mask_column_k2 = key2 * U.mask_column;
  let alibi_slopes_position_k3 = f32(key3);
  let bias_column_k3 = key3 * U.bias_column;
  let mask_column_k3 = key3 * U.mask_column;
  var dk0_0 = vec4<f32>(0.0);
  var dk1_0 = vec4<f32>(0.0);
  var dk2_0 = vec4<f32>(0.0);
  var dk3_0 = vec4<f32>(0.0);
  var s0_0 = vec4<f32>(0.0);
  var s1_0 = vec4<f32>(0.0);
  var s2_0 = vec4<f32>(0.0);
  var s3_0 = vec4<f32>(0.0);
  var dp0_0 = vec4<f32>(0.0);
  var dp1_0 = vec4<f32>(0.0);
  var dp2_0 = vec4<f32>(0.0);
  var dp3_0 = vec4<f32>(0.0);
  let last_key = min(first + 8u, limit) - 1u;
  let staged_scale = (U.scale / U.softcap);
  // last rows first: below a diagonal they have the smallest P, and sums that begin small round less
  for (var left = (end - begin + 7u) / 8u; left > 0u; left--) {
  left = seen_tiles((U.item_base + wid.x) * U.verdict_words, left);
  if (left == 0u) { break; }
  let r0 = begin + (left - 1u) * 8u;
  let row_0 = vec4<u32>(r0 + tx) + vec4<u32>(0u, 2u, 4u, 6u);
  let head_0 = (vec4<u32>(kv_head * U.group) + row_0 % vec4<u32>(U.group));
  let query_0 = (row_0 / vec4<u32>(U.group));
  var lse_0 = vec4<f32>(3.4028234e38); var low_sum_0 = vec4<f32>(0.0); var delta_0 = vec4<f32>(0.0);
  if (row_0[0] < end) { let x = stats[stats_base + row_0[0]]; lse_0[0] = x.x; low_sum_0[0] = x.z; delta_0[0] = x.y; }
  if (row_0[1] < end) { let x = stats[stats_base + row_0[1]]; lse_0[1] = x.x; low_sum_0[1] = x.z; delta_0[1] = x.y; }
  if (row_0[2] < end) { let x = stats[stats_base + row_0[2]]; lse_0[2] = x.x; low_sum_0[2] = x.z; delta_0[2] = x.y; }
  if (row_0[3] < end) { let x = stats[stats_base + row_0[3]]; lse_0[3] = x.x; low_sum_0[3] = x.z; delta_0[3] = x.y; }
  let alibi_slopes_slope_q0 = minus_slopes(batch, head_0);
  let alibi_slopes_diagonal_q0 = vec4<f32>(vec4<i32>(query_0) + offset);
  let bias_row_q0 = U.bias_at + batch * U.bias_batch + head_0 * U.bias_head + query_0 * U.bias_row;
  let mask_row_q0 = U.mask_at + batch * U.mask_batch + head_0 * U.mask_head + query_0 * U.mask_row;
  let tile = left - 1u;
  let verdict_word = (U.item_base + wid.x) * U.verdict_words + tile / 16u;
  let verdict_bit = 2u * (tile % 16u);
  let verdict_mask = (schedule[U.classified_at + verdict_word] >> verdict_bit) & 3u;
  var seen0_0 = (row_0 < select(vec4<u32>(0u), vec4<u32>(end), key0 < limit));
  if (verdict_mask == 3u) { seen0_0 = seen0_0 & mask_sees(mask_row_q0 + mask_column_k0); }
  var seen1_0 = (row_0 < select(vec4<u32>(0u), vec4<u32>(end), key1 < limit));
  if (verdict_mask == 3u) { seen1_0 = seen1_0 & mask_sees(mask_row_q0 + mask_column_k1); }
  var seen2_0 = (row_0 < select(vec4<u32>(0u), vec4<u32>(end), key2 < limit));
  if (verdict_mask == 3u) { seen2_0 = seen2_0 & mask_sees(mask_row_q0 + mask_column_k2); }
  var seen3_0 = (row_0 < select(vec4<u32>(0u), vec4<u32>(end), key3 < limit));
  if (verdict_mask == 3u) { seen3_0 = seen3_0 & mask_sees(mask_row_q0 + mask_column_k3); }
  var run = true;
  if ((verdict_mask == 3u && U.mask_head > 0u)) {
  if (li == 0u) { atomicStore(&vote, 0u); }
  workgroupBarrier();
  if (any(seen0_0) || any(seen1_0) || any(seen2_0) || any(seen3_0)) { atomicStore(&vote, 1u); }
  workgroupBarrier();
  if (li == 0u) { outcome = atomicLoad(&vote); }
  run = workgroupUniformLoad(&outcome) != 0u;
  }
  if (run) {
  // which pairs of the tile are kept, by groups of keys
  let kept_key = U.key_begin + first; let kept_shift = kept_key % 8u;
  let kept_groups = (kept_shift + 15u) / 8u;
  workgroupBarrier();
  for (var t = li; t < 8u * kept_groups; t += 4u) {
    let row = r0 + t / kept_groups; let group = t % kept_groups;
    kept[t / kept_groups][group] = kept_bits(batch, (kv_head * U.group + row % U.group), (row / U.group), kept_key / 8u + group);
  }
  // dP^T = V dOut^T
  dp0_0 = vec4<f32>(0.0);
  dp1_0 = vec4<f32>(0.0);
  dp2_0 = vec4<f32>(0.0);
  dp3_0 = vec4<f32>(0.0);
  for (var c0 = 0u; c0 < 2u; c0 += 1u) {
  workgroupBarrier();
  {
    let last_row = max(limit, 1u) - 1u; let last_column = ((U.value_dim + 3u) >> 2u) - 1u;
    let inside = (c0 + stage_step) <= last_column; let from_column = min((c0 + stage_step), last_column);
    if (stage_slot < 2u) {
    let from0_0 = first + 4u * stage_slot + 0u; let x0_0 = load_v(v_row(batch, kv_head, min(from0_0, last_row)), from_column);
    let from0_1 = first + 4u * stage_slot + 1u; let x0_1 = load_v(v_row(batch, kv_head, min(from0_1, last_row)), from_column);
    let from0_2 = first + 4u * stage_slot + 2u; let x0_2 = load_v(v_row(batch, kv_head, min(from0_2, last_row)), from_column);
    let from0_3 = first + 4u * stage_slot + 3u; let x0_3 = load_v(v_row(batch, kv_head, min(from0_3, last_row)), from_column);
    let real0 = vec4<bool>(inside) & vec4<bool>(from0_0 < limit, from0_1 < limit, from0_2 < limit, from0_3 < limit);
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
    let from0_0 = r0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 0u); let x0_0 = load_dout(dout_row(batch, (kv_head * U.group + min(from0_0, last_row) % U.group), (min(from0_0, last_row) / U.group)), from_column);
    let from0_1 = r0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 1u); let x0_1 = load_dout(dout_row(batch, (kv_head * U.group + min(from0_1, last_row) % U.group), (min(from0_1, last_row) / U.group)), from_column);
    let from0_2 = r0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 2u); let x0_2 = load_dout(dout_row(batch, (kv_head * U.group + min(from0_2, last_row) % U.group), (min(from0_2, last_row) / U.group)), from_column);
    let from0_3 = r0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 3u); let x0_3 = load_dout(dout_row(batch, (kv_head * U.group + min(from0_3, last_row) % U.group), (min(from0_3, last_row) / U.group)), from_column);
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
  // S^T = K Q^T
  s0_0 = vec4<f32>(0.0);
  s1_0 = vec4<f32>(0.0);
  s2_0 = vec4<f32>(0.0);
  s3_0 = vec4<f32>(0.0);
  for (var c0 = 0u; c0 < 2u; c0 += 1u) {
  workgroupBarrier();
  {
    let last_row = max(limit, 1u) - 1u; let last_column = ((U.head_dim + 3u) >> 2u) - 1u;
    let inside = (c0 + stage_step) <= last_column; let from_column = min((c0 + stage_step), last_column);
    if (stage_slot < 2u) {
    let from0_0 = first + 4u * stage_slot + 0u; let x0_0 = load_k(k_row(batch, kv_head, min(from0_0, last_row)), from_column);
    let from0_1 = first + 4u * stage_slot + 1u; let x0_1 = load_k(k_row(batch, kv_head, min(from0_1, last_row)), from_column);
    let from0_2 = first + 4u * stage_slot + 2u; let x0_2 = load_k(k_row(batch, kv_head, min(from0_2, last_row)), from_column);
    let from0_3 = first + 4u * stage_slot + 3u; let x0_3 = load_k(k_row(batch, kv_head, min(from0_3, last_row)), from_column);
    let real0 = vec4<bool>(inside) & vec4<bool>(from0_0 < limit, from0_1 < limit, from0_2 < limit, from0_3 < limit);
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
    let from0_0 = r0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 0u); let x0_0 = load_q(q_row(batch, (kv_head * U.group + min(from0_0, last_row) % U.group), (min(from0_0, last_row) / U.group)), from_column) * staged_scale;
    let from0_1 = r0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 1u); let x0_1 = load_q(q_row(batch, (kv_head * U.group + min(from0_1, last_row) % U.group), (min(from0_1, last_row) / U.group)), from_column) * staged_scale;
    let from0_2 = r0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 2u); let x0_2 = load_q(q_row(batch, (kv_head * U.group + min(from0_2, last_row) % U.group), (min(from0_2, last_row) / U.group)), from_column) * staged_scale;
    let from0_3 = r0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 3u); let x0_3 = load_q(q_row(batch, (kv_head * U.group + min(from0_3, last_row) % U.group), (min(from0_3, last_row) / U.group)), from_column) * staged_scale;
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
  // P = exp(features(S) - lse), dS = P (dP - delta) slope
  {
    let slope_softcap = cap_slope(s0_0);
    s0_0 = cap_tanh(s0_0) * U.softcap;
    s0_0 = fma(vec4<f32>(alibi_slopes_slope_q0), abs(vec4<f32>(alibi_slopes_diagonal_q0) - vec4<f32>(alibi_slopes_position_k0)), s0_0);
    let b = bias_value(bias_row_q0 + bias_column_k0);
    s0_0 += b;
    let hide = (is_hole(b)) | (row_0 >= vec4<u32>(end)) | (!seen0_0);
    let z = kept_pairs(vec4<u32>(0u + tx) + vec4<u32>(0u, 2u, 4u, 6u), vec4<u32>(ty * 4u + 0u) + vec4<u32>(kept_shift));
    let log2p = fma(s0_0 - lse_0, vec4<f32>(1.4426950408889634), -low_sum_0);
    let p = exp2(log2p);
    s0_0 = select(weighed(p, z), vec4<f32>(0.0), hide);
    dp0_0 = select(p * (weighed(dp0_0, z) - delta_0) * slope_softcap, vec4<f32>(0.0), hide);
  }
  {
    let slope_softcap = cap_slope(s1_0);
    s1_0 = cap_tanh(s1_0) * U.softcap;
    s1_0 = fma(vec4<f32>(alibi_slopes_slope_q0), abs(vec4<f32>(alibi_slopes_diagonal_q0) - vec4<f32>(alibi_slopes_position_k1)), s1_0);
    let b = bias_value(bias_row_q0 + bias_column_k1);
    s1_0 += b;
    let hide = (is_hole(b)) | (row_0 >= vec4<u32>(end)) | (!seen1_0);
    let z = kept_pairs(vec4<u32>(0u + tx) + vec4<u32>(0u, 2u, 4u, 6u), vec4<u32>(ty * 4u + 1u) + vec4<u32>(kept_shift));
    let log2p = fma(s1_0 - lse_0, vec4<f32>(1.4426950408889634), -low_sum_0);
    let p = exp2(log2p);
    s1_0 = select(weighed(p, z), vec4<f32>(0.0), hide);
    dp1_0 = select(p * (weighed(dp1_0, z) - delta_0) * slope_softcap, vec4<f32>(0.0), hide);
  }
  {
    let slope_softcap = cap_slope(s2_0);
    s2_0 = cap_tanh(s2_0) * U.softcap;
    s2_0 = fma(vec4<f32>(alibi_slopes_slope_q0), abs(vec4<f32>(alibi_slopes_diagonal_q0) - vec4<f32>(alibi_slopes_position_k2)), s2_0);
    let b = bias_value(bias_row_q0 + bias_column_k2);
    s2_0 += b;
    let hide = (is_hole(b)) | (row_0 >= vec4<u32>(end)) | (!seen2_0);
    let z = kept_pairs(vec4<u32>(0u + tx) + vec4<u32>(0u, 2u, 4u, 6u), vec4<u32>(ty * 4u + 2u) + vec4<u32>(kept_shift));
    let log2p = fma(s2_0 - lse_0, vec4<f32>(1.4426950408889634), -low_sum_0);
    let p = exp2(log2p);
    s2_0 = select(weighed(p, z), vec4<f32>(0.0), hide);
    dp2_0 = select(p * (weighed(dp2_0, z) - delta_0) * slope_softcap, vec4<f32>(0.0), hide);
  }
  {
    let slope_softcap = cap_slope(s3_0);
    s3_0 = cap_tanh(s3_0) * U.softcap;
    s3_0 = fma(vec4<f32>(alibi_slopes_slope_q0), abs(vec4<f32>(alibi_slopes_diagonal_q0) - vec4<f32>(alibi_slopes_position_k3)), s3_0);
    let b = bias_value(bias_row_q0 + bias_column_k3);
    s3_0 += b;
    let hide = (is_hole(b)) | (row_0 >= vec4<u32>(end)) | (!seen3_0);
    let z = kept_pairs(vec4<u32>(0u + tx) + vec4<u32>(0u, 2u, 4u, 6u), vec4<u32>(ty * 4u + 3u) + vec4<u32>(kept_shift));
    let log2p = fma(s3_0 - lse_0, vec4<f32>(1.4426950408889634), -low_sum_0);
    let p = exp2(log2p);
    s3_0 = select(weighed(p, z), vec4<f32>(0.0), hide);
    dp3_0 = select(p * (weighed(dp3_0, z) - delta_0) * slope_softcap, vec4<f32>(0.0), hide);
  }
  // hide pairs outside the band
  let first_query = i32((r0 / U.group));
  let last_query = i32(((min(r0 + 8u, end) - 1u) / U.group));
  if (i32(last_key) > first_query + high || i32(first) < last_query + low) {
    { let hide = (vec4<i32>(query_0) > vec4<i32>(i32(key0) - low)) | (vec4<i32>(query_0) < vec4<i32>(i32(key0) - high));
      s0_0 = select(s0_0, vec4<f32>(0.0), hide);
      dp0_0 = select(dp0_0, vec4<f32>(0.0), hide); }
    { let hide = (vec4<i32>(query_0) > vec4<i32>(i32(key1) - low)) | (vec4<i32>(query_0) < vec4<i32>(i32(key1) - high));
      s1_0 = select(s1_0, vec4<f32>(0.0), hide);
      dp1_0 = select(dp1_0, vec4<f32>(0.0), hide); }
    { let hide = (vec4<i32>(query_0) > vec4<i32>(i32(key2) - low)) | (vec4<i32>(query_0) < vec4<i32>(i32(key2) - high));
      s2_0 = select(s2_0, vec4<f32>(0.0), hide);
      dp2_0 = select(dp2_0, vec4<f32>(0.0), hide); }
    { let hide = (vec4<i32>(query_0) > vec4<i32>(i32(key3) - low)) | (vec4<i32>(query_0) < vec4<i32>(i32(key3) - high));
      s3_0 = select(s3_0, vec4<f32>(0.0), hide);
      dp3_0 = select(dp3_0, vec4<f32>(0.0), hide); }
  }
  // dK += dS^T Q
  workgroupBarrier();
  rt[(tx + 0u) / 2u][(tx + 0u) % 2u][ty * 1u + 0u] = vec4<f32>(dp0_0.x, dp1_0.x, dp2_0.x, dp3_0.x);
  rt[(tx + 2u) / 2u][(tx + 2u) % 2u][ty * 1u + 0u] = vec4<f32>(dp0_0.y, dp1_0.y, dp2_0.y, dp3_0.y);
  {
    let last_row = max(end, 1u) - 1u; let last_column = ((U.head_dim + 3u) >> 2u) - 1u;
    let inside = (0u + stage_column) <= last_column; let from_column = min((0u + stage_column), last_column);
    let from0 = r0 + 0u + stage_row; let x0 = load_q(q_row(batch, (kv_head * U.group + min(from0, last_row) % U.group), (min(from0, last_row) / U.group)), from_column) * staged_scale;
    let from1 = r0 + 2u + stage_row; let x1 = load_q(q_row(batch, (kv_head * U.group + min(from1, last_row) % U.group), (min(from1, last_row) / U.group)), from_column) * staged_scale;
    ct[(stage_row) / 2u][(stage_row) % 2u][stage_column] = select(vec4<f32>(0.0), x0, inside & (from0 < end));
    ct[(stage_row + 2u) / 2u][(stage_row + 2u) % 2u][stage_column] = select(vec4<f32>(0.0), x1, inside & (from1 < end));
  }
  workgroupBarrier();
  for (var x = 0u; x < 2u; x++) {
    {
      let a0 = rt[x][0][ty * 1u + 0u];
      let b0 = ct[x][0][tx + 0u];
      dk0_0 = fma(vec4<f32>(a0.x), b0, dk0_0);
      dk1_0 = fma(vec4<f32>(a0.y), b0, dk1_0);
      dk2_0 = fma(vec4<f32>(a0.z), b0, dk2_0);
      dk3_0 = fma(vec4<f32>(a0.w), b0, dk3_0);
    }
    {
      let a0 = rt[x][1][ty * 1u + 0u];
      let b0 = ct[x][1][tx + 0u];
      dk0_0 = fma(vec4<f32>(a0.x), b0, dk0_0);
      dk1_0 = fma(vec4<f32>(a0.y), b0, dk1_0);
      dk2_0 = fma(vec4<f32>(a0.z), b0, dk2_0);
      dk3_0 = fma(vec4<f32>(a0.w), b0, dk3_0);
    }
  }
  workgroupBarrier();
  rt[(tx + 0u) / 2u][(tx + 0u) % 2u][ty * 1u + 0u] = vec4<f32>(dp0_0.z, dp1_0.z, dp2_0.z, dp3_0.z);
  rt[(tx + 2u) / 2u][(tx + 2u) % 2u][ty * 1u + 0u] = vec4<f32>(dp0_0.w, dp1_0.w, dp2_0.w, dp3_0.w);
  {
    let last_row = max(end, 1u) - 1u; let last_column = ((U.head_dim + 3u) >> 2u) - 1u;
    let inside = (0u + stage_column) <= last_column; let from_column = min((0u + stage_column), last_column);
    let from0 = r0 + 4u + stage_row; let x0 = load_q(q_row(batch, (kv_head * U.group + min(from0, last_row) % U.group), (min(from0, last_row) / U.group)), from_column) * staged_scale;
    let from1 = r0 + 6u + stage_row; let x1 = load_q(q_row(batch, (kv_head * U.group + min(from1, last_row) % U.group), (min(from1, last_row) / U.group)), from_column) * staged_scale;
    ct[(stage_row) / 2u][(stage_row) % 2u][stage_column] = select(vec4<f32>(0.0), x0, inside & (from0 < end));
    ct[(stage_row + 2u) / 2u][(stage_row + 2u) % 2u][stage_column] = select(vec4<f32>(0.0), x1, inside & (from1 < end));
  }
  workgroupBarrier();
  for (var x = 0u; x < 2u; x++) {
    {
      let a0 = rt[x][0][ty * 1u + 0u];
      let b0 = ct[x][0][tx + 0u];
      dk0_0 = fma(vec4<f32>(a0.x), b0, dk0_0);
      dk1_0 = fma(vec4<f32>(a0.y), b0, dk1_0);
      dk2_0 = fma(vec4<f32>(a0.z), b0, dk2_0);
      dk3_0 = fma(vec4<f32>(a0.w), b0, dk3_0);
    }
    {
      let a0 = rt[x][1][ty * 1u + 0u];
      let b0 = ct[x][1][tx + 0u];
      dk0_0 = fma(vec4<f32>(a0.x), b0, dk0_0);
      dk1_0 = fma(vec4<f32>(a0.y), b0, dk1_0);
      dk2_0 = fma(vec4<f32>(a0.z), b0, dk2_0);
      dk3_0 = fma(vec4<f32>(a0.w), b0, dk3_0);
    }
  }
  }
  }
  // dk = dK, dv = dV
  if (key0 < U.length_k) {
    let real = key0 < limit; // keys past the sequence's length have gradient 0
    let at_dk = dk_row(batch, kv_head, key0);
    store_dk(at_dk, block + tx + 0u, select(vec4<f32>(0.0), dk0_0 * U.softcap, real));
  }
  if (key1 < U.length_k) {
    let real = key1 < limit; // keys past the sequence's length have gradient 0
    let at_dk = dk_row(batch, kv_head, key1);
    store_dk(at_dk, block + tx + 0u, select(vec4<f32>(0.0), dk1_0 * U.softcap, real));
  }
  if (key2 < U.length_k) {
    let real = key2 < limit; // keys past the sequence's length have gradient 0
    let at_dk = dk_row(batch, kv_head, key2);
    store_dk(at_dk, block + tx + 0u, select(vec4<f32>(0.0), dk2_0 * U.softcap, real));
  }
  if (key3 < U.length_k) {
    let real = key3 < limit; // keys past the sequence's length have gradient 0
    let at_dk = dk_row(batch, kv_head, key3);
    store_dk(at_dk, block + tx + 0u, select(vec4<f32>(0.0), dk3_0 * U.softcap, real));
  }
}
