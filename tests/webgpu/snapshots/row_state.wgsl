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
@group(0) @binding(28) var<storage, read_write> stats: array<vec4<f32>>;
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
var<workgroup> rt: array<array<array<vec4<f32>, 3>, 1>, 2>;
var<workgroup> ct: array<array<array<vec4<f32>, 3>, 2>, 4>;
var<workgroup> rm: array<array<array<f32, 3>, 1>, 2>;
var<workgroup> large: atomic<u32>;
var<workgroup> any_large: u32;
fn is_large(lse: f32) -> bool { return is_finite(lse) && abs(lse) > 8192.0; }
@compute @workgroup_size(4)
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let tx = li % 2u; let ty = li / 2u;
  let stage_row = li / 2u; let stage_column = li % 2u;
  let item = (U.item_base + wid.x) * 8u;
  let batch = schedule[item]; let first = schedule[item + 1u];
  let begin = schedule[item + 2u]; let end = schedule[item + 3u];
  let low = bitcast<i32>(schedule[item + 4u]); let high = bitcast<i32>(schedule[item + 5u]);
  let limit = schedule[item + 6u]; let slot = schedule[item + 7u];
  let offset = bitcast<i32>(schedule[4u * batch + 3u]);
  let kv_head = wid.y; let row_count = U.length_q * U.group;
  let stats_base = (batch * U.kv_heads + kv_head) * row_count;
  if (li < 2u && first + li < row_count && is_large(stats[stats_base + first + li].w)) {
    atomicOr(&large, 1u);
  }
  workgroupBarrier();
  if (li == 0u) { any_large = atomicLoad(&large); }
  if (workgroupUniformLoad(&any_large) == 0u) { return; }
  let row0 = first + ty * 1u + 0u; let query0 = (row0 / U.group);
  let head0 = (kv_head * U.group + row0 % U.group);
  var m0 = -3.4028234e38; var l0 = 0.0;
  let alibi_slopes_slope_q0 = minus_slope(batch, head0);
  let alibi_slopes_diagonal_q0 = f32(i32(query0) + offset);
  let bias_row_q0 = U.bias_at + batch * U.bias_batch + head0 * U.bias_head + query0 * U.bias_row;
  let mask_row_q0 = U.mask_at + batch * U.mask_batch + head0 * U.mask_head + query0 * U.mask_row;
  var s0_0 = vec4<f32>(0.0);
  let last = min(first + 2u, row_count) - 1u;
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
  var run = true;
  if ((verdict_mask == 3u && U.mask_head > 0u)) {
  if (li == 0u) { atomicStore(&vote, 0u); }
  workgroupBarrier();
  if (any(seen0_0)) { atomicStore(&vote, 1u); }
  workgroupBarrier();
  if (li == 0u) { outcome = atomicLoad(&vote); }
  run = workgroupUniformLoad(&outcome) != 0u;
  }
  if (run) {
  // S = Q K^T
  s0_0 = vec4<f32>(0.0);
  for (var c0 = 0u; c0 < 2u; c0 += 2u) {
  workgroupBarrier();
  {
    let inside = c0 + stage_column < ((U.head_dim + 3u) >> 2u);
    var x0 = vec4<f32>(0.0); let from0 = first + 0u + stage_row;
    if (inside && from0 < row_count) { x0 = load_q(q_row(batch, (kv_head * U.group + from0 % U.group), (from0 / U.group)), c0 + stage_column) * staged_scale; }
    rt[(stage_row) / 1u][(stage_row) % 1u][stage_column] = x0;
  }
  {
    let inside = c0 + stage_column < ((U.head_dim + 3u) >> 2u);
    var x0 = vec4<f32>(0.0); let from0 = k0 + 0u + stage_row;
    if (inside && from0 < end) { x0 = load_k(k_row(batch, kv_head, from0), c0 + stage_column); }
    var x1 = vec4<f32>(0.0); let from1 = k0 + 2u + stage_row;
    if (inside && from1 < end) { x1 = load_k(k_row(batch, kv_head, from1), c0 + stage_column); }
    var x2 = vec4<f32>(0.0); let from2 = k0 + 4u + stage_row;
    if (inside && from2 < end) { x2 = load_k(k_row(batch, kv_head, from2), c0 + stage_column); }
    var x3 = vec4<f32>(0.0); let from3 = k0 + 6u + stage_row;
    if (inside && from3 < end) { x3 = load_k(k_row(batch, kv_head, from3), c0 + stage_column); }
    ct[(stage_row) / 2u][(stage_row) % 2u][stage_column] = x0;
    ct[(stage_row + 2u) / 2u][(stage_row + 2u) % 2u][stage_column] = x1;
    ct[(stage_row + 4u) / 2u][(stage_row + 4u) % 2u][stage_column] = x2;
    ct[(stage_row + 6u) / 2u][(stage_row + 6u) % 2u][stage_column] = x3;
  }
  workgroupBarrier();
  for (var d = 0u; d < 2u; d += 1u) {
    {
      let b0 = ct[0][tx][d];
      let b1 = ct[1][tx][d];
      let b2 = ct[2][tx][d];
      let b3 = ct[3][tx][d];
      let a0 = rt[ty][0][d];
      let b_x0 = vec4<f32>(b0.x, b1.x, b2.x, b3.x);
      s0_0 = fma(vec4<f32>(a0.x), b_x0, s0_0);
      let b_y0 = vec4<f32>(b0.y, b1.y, b2.y, b3.y);
      s0_0 = fma(vec4<f32>(a0.y), b_y0, s0_0);
      let b_z0 = vec4<f32>(b0.z, b1.z, b2.z, b3.z);
      s0_0 = fma(vec4<f32>(a0.z), b_z0, s0_0);
      let b_w0 = vec4<f32>(b0.w, b1.w, b2.w, b3.w);
      s0_0 = fma(vec4<f32>(a0.w), b_w0, s0_0);
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
  // hide pairs outside the band
  if (k0 + 8u > end || i32(k0) + 7 > first_query + high || i32(k0) < last_query + low) {
    let hi0 = min(i32(end) - 1, i32(query0) + high); let lo0 = i32(query0) + low;
    s0_0 = select(s0_0, vec4<f32>(U.neg_inf), (vec4<i32>(key_0) > vec4<i32>(hi0)) | (vec4<i32>(key_0) < vec4<i32>(lo0)));
  }
  // m' = max(m, rowmax S)
  rm[ty][0][tx] = max(m0, max(max(s0_0.x, s0_0.y), max(s0_0.z, s0_0.w)));
  workgroupBarrier(); // the chunks of Q and K are free as well
  var n0 = m0;
  n0 = max(n0, rm[ty][0][0]);
  n0 = max(n0, rm[ty][0][1]);
  // P = exp(S - m'), l = l exp(m - m') + rowsum P, O = O exp(m - m')
  { let a = exp2((m0 - n0) * 1.4426950408889634); m0 = n0; l0 *= a;
    s0_0 = exp2((s0_0 - vec4<f32>(n0)) * 1.4426950408889634); l0 += (s0_0.x + s0_0.y) + (s0_0.z + s0_0.w);
  }
  }
  }
  workgroupBarrier();
  rm[ty][0][tx] = l0;
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
}
