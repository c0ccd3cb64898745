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
fn next_seen(word: u32, tile: u32, tiles: u32) -> u32 {
  var t = tile;
  while (t < tiles) {
    let bits = seen_bits(word + t / 16u) >> (2u * (t % 16u));
    if (bits != 0u) { return t + countTrailingZeros(bits) / 2u; }
    t = (t / 16u + 1u) * 16u;
  }
  return tiles;
}
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
fn load_q(at: u32, c: u32) -> vec4<f32> { return q[(at >> 2u) + c]; }
@group(0) @binding(3) var<storage, read> k: array<vec4<f32>>;
fn load_k(at: u32, c: u32) -> vec4<f32> { return k[(at >> 2u) + c]; }
@group(0) @binding(31) var<storage, read_write> stats: array<vec4<f32>>;
fn q_row(b: u32, h: u32, i: u32) -> u32 {
  return U.q_at + b * U.q_batch + h * U.q_head + i * U.q_row;
}
fn k_row(b: u32, h: u32, i: u32) -> u32 {
  return U.k_at + b * U.k_batch + h * U.k_head + i * U.k_row;
}
fn is_finite(x: f32) -> bool { return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u; }
fn is_nan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }
fn is_plus_infinity(x: f32) -> bool { return bitcast<u32>(x) == 0x7f800000u; }
fn is_minus_infinity(x: f32) -> bool { return bitcast<u32>(x) == 0xff800000u; }
var<workgroup> rt: array<array<array<vec4<f32>, 3>, 2>, 2>;
var<workgroup> ct: array<array<array<vec4<f32>, 3>, 2>, 2>;
var<workgroup> rm: array<array<array<f32, 3>, 4>, 2>;
var<workgroup> large: atomic<u32>;
var<workgroup> any_large: u32;
fn is_large(lse: f32) -> bool { return is_finite(lse) && abs(lse) > 8192.0; }
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
  let stats_base = (batch * U.kv_heads + kv_head) * row_count;
  if (li < 8u && first + li < row_count && is_large(stats[stats_base + first + li].w)) {
    atomicOr(&large, 1u);
  }
  workgroupBarrier();
  if (li == 0u) { any_large = atomicLoad(&large); }
  if (workgroupUniformLoad(&any_large) == 0u) { return; }
  let row0 = first + ty * 4u + 0u; let query0 = (row0 / U.group);
  let head0 = (kv_head * U.group + row0 % U.group);
  var m0 = -3.4028234e38; var l0 = 0.0;
  let row1 = first + ty * 4u + 1u; let query1 = (row1 / U.group);
  let head1 = (kv_head * U.group + row1 % U.group);
  var m1 = -3.4028234e38; var l1 = 0.0;
  let row2 = first + ty * 4u + 2u; let query2 = (row2 / U.group);
  let head2 = (kv_head * U.group + row2 % U.group);
  var m2 = -3.4028234e38; var l2 = 0.0;
  let row3 = first + ty * 4u + 3u; let query3 = (row3 / U.group);
  let head3 = (kv_head * U.group + row3 % U.group);
  var m3 = -3.4028234e38; var l3 = 0.0;
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
  var s0_0 = vec4<f32>(0.0);
  var s1_0 = vec4<f32>(0.0);
  var s2_0 = vec4<f32>(0.0);
  var s3_0 = vec4<f32>(0.0);
  let last = min(first + 8u, row_count) - 1u;
  let first_query = i32((first / U.group)); let last_query = i32((last / U.group));
  let staged_scale = (U.scale / U.softcap);
  for (var k0 = begin; k0 < end; k0 += 8u) {
  k0 = begin + next_seen((U.item_base + wid.x) * U.verdict_words, (k0 - begin) / 8u, (end - begin + 7u) / 8u) * 8u;
  if (k0 >= end) { break; }
  let key_0 = vec4<u32>(k0 + tx) + vec4<u32>(0u, 2u, 4u, 6u);
  let alibi_slopes_position_k0 = vec4<f32>(key_0);
  let bias_column_k0 = key_0 * U.bias_column;
  let mask_column_k0 = key_0 * U.mask_column;
  let tile = (k0 - begin) / 8u;
  let verdict_word = (U.item_base + wid.x) * U.verdict_words + tile / 16u;
  let verdict_bit = 2u * (tile % 16u);
  let verdict_mask = (schedule[U.classified_at + verdict_word] >> verdict_bit) & 3u;
  var seen0_0 = (key_0 < select(vec4<u32>(0u), vec4<u32>(end), row0 < row_count));
  if (verdict_mask == 3u) { seen0_0 = seen0_0 & mask_sees(mask_row_q0 + mask_column_k0); }
  var seen1_0 = (key_0 < select(vec4<u32>(0u), vec4<u32>(end), row1 < row_count));
  if (verdict_mask == 3u) { seen1_0 = seen1_0 & mask_sees(mask_row_q1 + mask_column_k0); }
  var seen2_0 = (key_0 < select(vec4<u32>(0u), vec4<u32>(end), row2 < row_count));
  if (verdict_mask == 3u) { seen2_0 = seen2_0 & mask_sees(mask_row_q2 + mask_column_k0); }
  var seen3_0 = (key_0 < select(vec4<u32>(0u), vec4<u32>(end), row3 < row_count));
  if (verdict_mask == 3u) { seen3_0 = seen3_0 & mask_sees(mask_row_q3 + mask_column_k0); }
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
  // S = Q K^T
  s0_0 = vec4<f32>(0.0);
  s1_0 = vec4<f32>(0.0);
  s2_0 = vec4<f32>(0.0);
  s3_0 = vec4<f32>(0.0);
  for (var c0 = 0u; c0 < 2u; c0 += 1u) {
  workgroupBarrier();
  {
    let last_row = max(row_count, 1u) - 1u; let last_column = ((U.head_dim + 3u) >> 2u) - 1u;
    let inside = (c0 + stage_step) <= last_column; let from_column = min((c0 + stage_step), last_column);
    if (stage_slot < 2u) {
    let from0_0 = first + 4u * stage_slot + 0u; let x0_0 = load_q(q_row(batch, (kv_head * U.group + min(from0_0, last_row) % U.group), (min(from0_0, last_row) / U.group)), from_column) * staged_scale;
    let from0_1 = first + 4u * stage_slot + 1u; let x0_1 = load_q(q_row(batch, (kv_head * U.group + min(from0_1, last_row) % U.group), (min(from0_1, last_row) / U.group)), from_column) * staged_scale;
    let from0_2 = first + 4u * stage_slot + 2u; let x0_2 = load_q(q_row(batch, (kv_head * U.group + min(from0_2, last_row) % U.group), (min(from0_2, last_row) / U.group)), from_column) * staged_scale;
    let from0_3 = first + 4u * stage_slot + 3u; let x0_3 = load_q(q_row(batch, (kv_head * U.group + min(from0_3, last_row) % U.group), (min(from0_3, last_row) / U.group)), from_column) * staged_scale;
    let real0 = vec4<bool>(inside) & vec4<bool>(from0_0 < row_count, from0_1 < row_count, from0_2 < row_count, from0_3 < row_count);
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
    let from0_0 = k0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 0u); let x0_0 = load_k(k_row(batch, kv_head, min(from0_0, last_row)), from_column);
    let from0_1 = k0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 1u); let x0_1 = load_k(k_row(batch, kv_head, min(from0_1, last_row)), from_column);
    let from0_2 = k0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 2u); let x0_2 = load_k(k_row(batch, kv_head, min(from0_2, last_row)), from_column);
    let from0_3 = k0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 3u); let x0_3 = load_k(k_row(batch, kv_head, min(from0_3, last_row)), from_column);
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
  // S = features(S)
  {
    s0_0 = cap_tanh(s0_0) * U.softcap;
    s0_0 = fma(vec4<f32>(alibi_slopes_slope_q0), abs(vec4<f32>(alibi_slopes_diagonal_q0) - vec4<f32>(alibi_slopes_position_k0)), s0_0);
    let b = bias_value(bias_row_q0 + bias_column_k0);
    s0_0 += b;
    let hide = (is_hole(b)) | (!seen0_0);
    s0_0 = select(s0_0, vec4<f32>(U.neg_inf), hide);
  }
  {
    s1_0 = cap_tanh(s1_0) * U.softcap;
    s1_0 = fma(vec4<f32>(alibi_slopes_slope_q1), abs(vec4<f32>(alibi_slopes_diagonal_q1) - vec4<f32>(alibi_slopes_position_k0)), s1_0);
    let b = bias_value(bias_row_q1 + bias_column_k0);
    s1_0 += b;
    let hide = (is_hole(b)) | (!seen1_0);
    s1_0 = select(s1_0, vec4<f32>(U.neg_inf), hide);
  }
  {
    s2_0 = cap_tanh(s2_0) * U.softcap;
    s2_0 = fma(vec4<f32>(alibi_slopes_slope_q2), abs(vec4<f32>(alibi_slopes_diagonal_q2) - vec4<f32>(alibi_slopes_position_k0)), s2_0);
    let b = bias_value(bias_row_q2 + bias_column_k0);
    s2_0 += b;
    let hide = (is_hole(b)) | (!seen2_0);
    s2_0 = select(s2_0, vec4<f32>(U.neg_inf), hide);
  }
  {
    s3_0 = cap_tanh(s3_0) * U.softcap;
    s3_0 = fma(vec4<f32>(alibi_slopes_slope_q3), abs(vec4<f32>(alibi_slopes_diagonal_q3) - vec4<f32>(alibi_slopes_position_k0)), s3_0);
    let b = bias_value(bias_row_q3 + bias_column_k0);
    s3_0 += b;
    let hide = (is_hole(b)) | (!seen3_0);
    s3_0 = select(s3_0, vec4<f32>(U.neg_inf), hide);
  }
  // hide pairs outside the band
  if (k0 + 8u > end || i32(k0) + 7 > first_query + high || i32(k0) < last_query + low) {
    let hi0 = min(i32(end) - 1, i32(query0) + high); let lo0 = i32(query0) + low;
    s0_0 = select(s0_0, vec4<f32>(U.neg_inf), (vec4<i32>(key_0) > vec4<i32>(hi0)) | (vec4<i32>(key_0) < vec4<i32>(lo0)));
    let hi1 = min(i32(end) - 1, i32(query1) + high); let lo1 = i32(query1) + low;
    s1_0 = select(s1_0, vec4<f32>(U.neg_inf), (vec4<i32>(key_0) > vec4<i32>(hi1)) | (vec4<i32>(key_0) < vec4<i32>(lo1)));
    let hi2 = min(i32(end) - 1, i32(query2) + high); let lo2 = i32(query2) + low;
    s2_0 = select(s2_0, vec4<f32>(U.neg_inf), (vec4<i32>(key_0) > vec4<i32>(hi2)) | (vec4<i32>(key_0) < vec4<i32>(lo2)));
    let hi3 = min(i32(end) - 1, i32(query3) + high); let lo3 = i32(query3) + low;
    s3_0 = select(s3_0, vec4<f32>(U.neg_inf), (vec4<i32>(key_0) > vec4<i32>(hi3)) | (vec4<i32>(key_0) < vec4<i32>(lo3)));
  }
  // m' = max(m, rowmax S)
  rm[ty][0][tx] = max(m0, max(max(s0_0.x, s0_0.y), max(s0_0.z, s0_0.w)));
  rm[ty][1][tx] = max(m1, max(max(s1_0.x, s1_0.y), max(s1_0.z, s1_0.w)));
  rm[ty][2][tx] = max(m2, max(max(s2_0.x, s2_0.y), max(s2_0.z, s2_0.w)));
  rm[ty][3][tx] = max(m3, max(max(s3_0.x, s3_0.y), max(s3_0.z, s3_0.w)));
  workgroupBarrier(); // the chunks of Q and K are free as well
  var n0 = m0;
  var n1 = m1;
  var n2 = m2;
  var n3 = m3;
  n0 = max(n0, rm[ty][0][0]);
  n1 = max(n1, rm[ty][1][0]);
  n2 = max(n2, rm[ty][2][0]);
  n3 = max(n3, rm[ty][3][0]);
  n0 = max(n0, rm[ty][0][1]);
  n1 = max(n1, rm[ty][1][1]);
  n2 = max(n2, rm[ty][2][1]);
  n3 = max(n3, rm[ty][3][1]);
  // P = exp(S - m'), l = l exp(m - m') + rowsum P, O = O exp(m - m')
  { let a = exp2((m0 - n0) * 1.4426950408889634); m0 = n0; l0 *= a;
    s0_0 = exp2((s0_0 - vec4<f32>(n0)) * 1.4426950408889634); l0 += (s0_0.x + s0_0.y) + (s0_0.z + s0_0.w);
  }
  { let a = exp2((m1 - n1) * 1.4426950408889634); m1 = n1; l1 *= a;
    s1_0 = exp2((s1_0 - vec4<f32>(n1)) * 1.4426950408889634); l1 += (s1_0.x + s1_0.y) + (s1_0.z + s1_0.w);
  }
  { let a = exp2((m2 - n2) * 1.4426950408889634); m2 = n2; l2 *= a;
    s2_0 = exp2((s2_0 - vec4<f32>(n2)) * 1.4426950408889634); l2 += (s2_0.x + s2_0.y) + (s2_0.z + s2_0.w);
  }
  { let a = exp2((m3 - n3) * 1.4426950408889634); m3 = n3; l3 *= a;
    s3_0 = exp2((s3_0 - vec4<f32>(n3)) * 1.4426950408889634); l3 += (s3_0.x + s3_0.y) + (s3_0.z + s3_0.w);
  }
  }
  }
  workgroupBarrier();
  rm[ty][0][tx] = l0;
  rm[ty][1][tx] = l1;
  rm[ty][2][tx] = l2;
  rm[ty][3][tx] = l3;
  workgroupBarrier();
  if (row0 < row_count && tx == 0u) {
    let at = stats_base + row0; let x = stats[at]; var l = 0.0;
    l += rm[ty][0][0];
    l += rm[ty][0][1];
    { let s = sink_logit(head0, 0u); if (!is_minus_infinity(s)) {
      let top = max(m0, s); l = l * exp2((m0 - top) * 1.4426950408889634) + exp2((s - top) * 1.4426950408889634); m0 = top;
    } }
    let own = abs(m0 + log2(l) * 0.6931471805599453 - x.w) <= 5e-7 * abs(x.w);
    if (is_large(x.w) && l > 0.0) {
      stats[at] = vec4<f32>(m0, x.y, select((x.w - m0) * 1.4426950408889634, log2(l), own), x.w);
    }
  }
  if (row1 < row_count && tx == 0u) {
    let at = stats_base + row1; let x = stats[at]; var l = 0.0;
    l += rm[ty][1][0];
    l += rm[ty][1][1];
    { let s = sink_logit(head1, 0u); if (!is_minus_infinity(s)) {
      let top = max(m1, s); l = l * exp2((m1 - top) * 1.4426950408889634) + exp2((s - top) * 1.4426950408889634); m1 = top;
    } }
    let own = abs(m1 + log2(l) * 0.6931471805599453 - x.w) <= 5e-7 * abs(x.w);
    if (is_large(x.w) && l > 0.0) {
      stats[at] = vec4<f32>(m1, x.y, select((x.w - m1) * 1.4426950408889634, log2(l), own), x.w);
    }
  }
  if (row2 < row_count && tx == 0u) {
    let at = stats_base + row2; let x = stats[at]; var l = 0.0;
    l += rm[ty][2][0];
    l += rm[ty][2][1];
    { let s = sink_logit(head2, 0u); if (!is_minus_infinity(s)) {
      let top = max(m2, s); l = l * exp2((m2 - top) * 1.4426950408889634) + exp2((s - top) * 1.4426950408889634); m2 = top;
    } }
    let own = abs(m2 + log2(l) * 0.6931471805599453 - x.w) <= 5e-7 * abs(x.w);
    if (is_large(x.w) && l > 0.0) {
      stats[at] = vec4<f32>(m2, x.y, select((x.w - m2) * 1.4426950408889634, log2(l), own), x.w);
    }
  }
  if (row3 < row_count && tx == 0u) {
    let at = stats_base + row3; let x = stats[at]; var l = 0.0;
    l += rm[ty][3][0];
    l += rm[ty][3][1];
    { let s = sink_logit(head3, 0u); if (!is_minus_infinity(s)) {
      let top = max(m3, s); l = l * exp2((m3 - top) * 1.4426950408889634) + exp2((s - top) * 1.4426950408889634); m3 = top;
    } }
    let own = abs(m3 + log2(l) * 0.6931471805599453 - x.w) <= 5e-7 * abs(x.w);
    if (is_large(x.w) && l > 0.0) {
      stats[at] = vec4<f32>(m3, x.y, select((x.w - m3) * 1.4426950408889634, log2(l), own), x.w);
    }
  }
}
