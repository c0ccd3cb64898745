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
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
fn load_q(at: u32, c: u32) -> vec4<f32> { return q[(at >> 2u) + c]; }
@group(0) @binding(3) var<storage, read> k: array<vec4<f32>>;
fn load_k(at: u32, c: u32) -> vec4<f32> { return k[(at >> 2u) + c]; }
@group(0) @binding(31) var<storage, read> stats: array<vec4<f32>>;
fn is_top(x: vec4<f32>) -> vec4<bool> { return bitcast<vec4<u32>>(x) == vec4<u32>(0x7f800000u); }
fn weight(s: vec4<f32>, row: vec4<f32>) -> vec4<f32> {
  let p = exp2(fma(s - vec4<f32>(row.x), vec4<f32>(1.4426950408889634), vec4<f32>(-row.z)));
  return select(p, vec4<f32>(1.0), is_top(s) & is_top(vec4<f32>(row.x)));
}
fn q_row(b: u32, h: u32, i: u32) -> u32 {
  return U.q_at + b * U.q_batch + h * U.q_head + i * U.q_row;
}
fn k_row(b: u32, h: u32, i: u32) -> u32 {
  return U.k_at + b * U.k_batch + h * U.k_head + i * U.k_row;
}
var<workgroup> rt: array<array<array<vec4<f32>, 3>, 2>, 2>;
var<workgroup> ct: array<array<array<vec4<f32>, 3>, 2>, 2>;
@group(0) @binding(24) var<storage, read_write> scores: array<f32>;
@compute @workgroup_size(4)
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let tx = li % 2u; let ty = li / 2u;
  let stage_row = li / 2u; let stage_column = li % 2u;
  let stage_slot = li % 4u + 4u * (li / 4u); let stage_step = (li / 4u) % 1u;
  let head = wid.y; let batch = wid.z; let kv_head = head / U.group; let tile = U.item_base + wid.x;
  let sequence = 4u * batch;
  let limit = schedule[sequence];
  let low = bitcast<i32>(schedule[sequence + 1u]); let high = bitcast<i32>(schedule[sequence + 2u]);
  let offset = bitcast<i32>(schedule[sequence + 3u]);
  let end = min(limit, U.length_k);
  let staged_scale = (U.scale / U.softcap);
  var s0_0 = vec4<f32>(0.0);
  var s1_0 = vec4<f32>(0.0);
  var s2_0 = vec4<f32>(0.0);
  var s3_0 = vec4<f32>(0.0);
  let j_tiles = (U.length_k + 7u) / 8u;
  let i0 = (tile / j_tiles) * 8u; let j0 = (tile % j_tiles) * 8u;
  let key_0 = vec4<u32>(j0 + tx) + vec4<u32>(0u, 2u, 4u, 6u);
  let query0 = i0 + ty * 4u + 0u; let head0 = head;
  var stats0 = vec4<f32>(0.0); if (query0 < U.length_q) { stats0 = stats[(batch * U.kv_heads + head / U.group) * U.length_q * U.group + query0 * U.group + head % U.group]; }
  let query1 = i0 + ty * 4u + 1u; let head1 = head;
  var stats1 = vec4<f32>(0.0); if (query1 < U.length_q) { stats1 = stats[(batch * U.kv_heads + head / U.group) * U.length_q * U.group + query1 * U.group + head % U.group]; }
  let query2 = i0 + ty * 4u + 2u; let head2 = head;
  var stats2 = vec4<f32>(0.0); if (query2 < U.length_q) { stats2 = stats[(batch * U.kv_heads + head / U.group) * U.length_q * U.group + query2 * U.group + head % U.group]; }
  let query3 = i0 + ty * 4u + 3u; let head3 = head;
  var stats3 = vec4<f32>(0.0); if (query3 < U.length_q) { stats3 = stats[(batch * U.kv_heads + head / U.group) * U.length_q * U.group + query3 * U.group + head % U.group]; }
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
  var r0_0 = vec4<f32>(0.0);
  var r1_0 = vec4<f32>(0.0);
  var r2_0 = vec4<f32>(0.0);
  var r3_0 = vec4<f32>(0.0);
  if (j0 < end && !(i32(j0) > last_query + high || i32(j0) + 7 < i32(i0) + low)) {
  let alibi_slopes_position_k0 = vec4<f32>(key_0);
  let bias_column_k0 = key_0 * U.bias_column;
  let mask_column_k0 = key_0 * U.mask_column;
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
  {
    let hi = min(i32(end) - 1, i32(query0) + high); let lo = i32(query0) + low;
  let seen0_0 = mask_sees(mask_row_q0 + mask_column_k0);
    s0_0 = cap_tanh(s0_0) * U.softcap;
    s0_0 = fma(vec4<f32>(alibi_slopes_slope_q0), abs(vec4<f32>(alibi_slopes_diagonal_q0) - vec4<f32>(alibi_slopes_position_k0)), s0_0);
    let b = bias_value(bias_row_q0 + bias_column_k0);
    s0_0 += b;
    let hide = (is_hole(b)) | (!seen0_0);
    let hidden = hide | ((vec4<i32>(key_0) > vec4<i32>(hi)) | (vec4<i32>(key_0) < vec4<i32>(lo)));
    r0_0 = select(weight(s0_0, stats0), vec4<f32>(0.0), hidden);
  }
  {
    let hi = min(i32(end) - 1, i32(query1) + high); let lo = i32(query1) + low;
  let seen1_0 = mask_sees(mask_row_q1 + mask_column_k0);
    s1_0 = cap_tanh(s1_0) * U.softcap;
    s1_0 = fma(vec4<f32>(alibi_slopes_slope_q1), abs(vec4<f32>(alibi_slopes_diagonal_q1) - vec4<f32>(alibi_slopes_position_k0)), s1_0);
    let b = bias_value(bias_row_q1 + bias_column_k0);
    s1_0 += b;
    let hide = (is_hole(b)) | (!seen1_0);
    let hidden = hide | ((vec4<i32>(key_0) > vec4<i32>(hi)) | (vec4<i32>(key_0) < vec4<i32>(lo)));
    r1_0 = select(weight(s1_0, stats1), vec4<f32>(0.0), hidden);
  }
  {
    let hi = min(i32(end) - 1, i32(query2) + high); let lo = i32(query2) + low;
  let seen2_0 = mask_sees(mask_row_q2 + mask_column_k0);
    s2_0 = cap_tanh(s2_0) * U.softcap;
    s2_0 = fma(vec4<f32>(alibi_slopes_slope_q2), abs(vec4<f32>(alibi_slopes_diagonal_q2) - vec4<f32>(alibi_slopes_position_k0)), s2_0);
    let b = bias_value(bias_row_q2 + bias_column_k0);
    s2_0 += b;
    let hide = (is_hole(b)) | (!seen2_0);
    let hidden = hide | ((vec4<i32>(key_0) > vec4<i32>(hi)) | (vec4<i32>(key_0) < vec4<i32>(lo)));
    r2_0 = select(weight(s2_0, stats2), vec4<f32>(0.0), hidden);
  }
  {
    let hi = min(i32(end) - 1, i32(query3) + high); let lo = i32(query3) + low;
  let seen3_0 = mask_sees(mask_row_q3 + mask_column_k0);
    s3_0 = cap_tanh(s3_0) * U.softcap;
    s3_0 = fma(vec4<f32>(alibi_slopes_slope_q3), abs(vec4<f32>(alibi_slopes_diagonal_q3) - vec4<f32>(alibi_slopes_position_k0)), s3_0);
    let b = bias_value(bias_row_q3 + bias_column_k0);
    s3_0 += b;
    let hide = (is_hole(b)) | (!seen3_0);
    let hidden = hide | ((vec4<i32>(key_0) > vec4<i32>(hi)) | (vec4<i32>(key_0) < vec4<i32>(lo)));
    r3_0 = select(weight(s3_0, stats3), vec4<f32>(0.0), hidden);
  }
  }
  if (query0 < U.length_q) {
    let at = U.scores_at + batch * U.scores_batch + head * U.scores_head + query0 * U.scores_row;
    if (key_0.x < U.length_k) { scores[at + key_0.x] = r0_0.x; }
    if (key_0.y < U.length_k) { scores[at + key_0.y] = r0_0.y; }
    if (key_0.z < U.length_k) { scores[at + key_0.z] = r0_0.z; }
    if (key_0.w < U.length_k) { scores[at + key_0.w] = r0_0.w; }
  }
  if (query1 < U.length_q) {
    let at = U.scores_at + batch * U.scores_batch + head * U.scores_head + query1 * U.scores_row;
    if (key_0.x < U.length_k) { scores[at + key_0.x] = r1_0.x; }
    if (key_0.y < U.length_k) { scores[at + key_0.y] = r1_0.y; }
    if (key_0.z < U.length_k) { scores[at + key_0.z] = r1_0.z; }
    if (key_0.w < U.length_k) { scores[at + key_0.w] = r1_0.w; }
  }
  if (query2 < U.length_q) {
    let at = U.scores_at + batch * U.scores_batch + head * U.scores_head + query2 * U.scores_row;
    if (key_0.x < U.length_k) { scores[at + key_0.x] = r2_0.x; }
    if (key_0.y < U.length_k) { scores[at + key_0.y] = r2_0.y; }
    if (key_0.z < U.length_k) { scores[at + key_0.z] = r2_0.z; }
    if (key_0.w < U.length_k) { scores[at + key_0.w] = r2_0.w; }
  }
  if (query3 < U.length_q) {
    let at = U.scores_at + batch * U.scores_batch + head * U.scores_head + query3 * U.scores_row;
    if (key_0.x < U.length_k) { scores[at + key_0.x] = r3_0.x; }
    if (key_0.y < U.length_k) { scores[at + key_0.y] = r3_0.y; }
    if (key_0.z < U.length_k) { scores[at + key_0.z] = r3_0.z; }
    if (key_0.w < U.length_k) { scores[at + key_0.w] = r3_0.w; }
  }
}
